// Server-sent events over fetch: EventSource can't send a token.

// longest bounds one event, in characters: a ping of 4 KiB in JSON that escapes
// each byte of it, and room.
const longest = 1 << 20;

// Parser turns the text of an event stream into events, by the rules of the
// WHATWG's standard. Feed it pieces cut anywhere.
export class Parser {
  #rest = "";
  #data = [];
  #size = 0;
  #type = "";
  #id; // of the event under way
  #first = true;
  lastID = ""; // where to resume; comments and empty events move it too

  // push returns the events that piece completes: {type, data, id}.
  push(piece) {
    if (this.#first && piece !== "") {
      this.#first = false;
      if (piece.startsWith("\uFEFF")) piece = piece.slice(1);
    }
    const text = this.#rest + piece;
    const events = [];
    let start = 0;
    for (;;) {
      const end = lineEnd(text, start);
      if (end < 0) break;
      const event = this.#line(text.slice(start, end));
      if (event) events.push(event);
      start = end + (text[end] === "\r" && text[end + 1] === "\n" ? 2 : 1);
    }
    this.#rest = text.slice(start);
    if (this.#rest.length > longest) throw new Error("the stream has a line that is too long");
    return events;
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    if (line[0] === ":") return null; // a comment: the heartbeat
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    switch (field) {
      case "event": this.#type = value; break;
      case "data":
        this.#size += value.length;
        if (this.#size > longest) throw new Error("the stream has an event that is too long");
        this.#data.push(value);
        break;
      case "id": if (!value.includes("\0")) this.#id = value; break;
    }
    return null;
  }

  #dispatch() {
    if (this.#id !== undefined) this.lastID = this.#id;
    const event = { type: this.#type || "message", data: this.#data.join("\n"), id: this.lastID };
    const empty = this.#data.length === 0;
    this.#data = [];
    this.#size = 0;
    this.#type = "";
    this.#id = undefined;
    return empty ? null : event;
  }
}

// lineEnd finds the next CR or LF from start. A CR at the very end may be half
// of a CRLF: it is left for the next piece.
function lineEnd(text, start) {
  const lf = text.indexOf("\n", start);
  const cr = text.indexOf("\r", start);
  if (cr < 0 || (lf >= 0 && lf < cr)) return lf;
  return cr === text.length - 1 ? -1 : cr;
}

// backoff returns how long to wait before try n (from 0), in milliseconds:
// doubling from half a second to ten, with half of it left to chance, so that
// many pages do not come back at once.
export function backoff(n, random = Math.random) {
  const most = Math.min(10_000, 500 * 2 ** Math.min(n, 10));
  return most / 2 + (random() * most) / 2;
}

// silence is how long a stream may say nothing, in milliseconds: the heartbeat
// comes every 15 s.
const silence = 40_000;

// Follower keeps a stream open for as long as it is wanted, and resumes it
// where it ended.
//
// open(lastID, signal) makes the request and resolves to a Response.
// onEvent gets each event and must not throw, onState "connecting" | "live" | "waiting" |
// "resting" with a detail: for waiting the milliseconds until the next try.
export class Follower {
  #open; #onEvent; #onState;
  #lastID = "";
  #tries = 0;
  #abort = null;
  #wake = null;
  #resting = false;

  constructor({ open, onEvent, onState }) {
    this.#open = open;
    this.#onEvent = onEvent;
    this.#onState = onState;
  }

  // run never returns.
  async run() {
    for (;;) {
      if (this.#resting) {
        this.#onState("resting");
        await this.#sleep(0);
        continue;
      }
      this.#onState("connecting");
      const began = Date.now();
      const reason = await this.#once();
      if (this.#resting) continue;
      if (Date.now() - began > 10_000) this.#tries = 0; // it worked for a while
      const wait = backoff(this.#tries++);
      this.#onState("waiting", { wait, reason });
      await this.#sleep(wait);
    }
  }

  // hurry tries again now, if it waits.
  hurry() {
    if (!this.#wake) return;
    this.#tries = 0;
    this.#wake();
  }

  // rest gives the connection back: browsers have only six for a node, all tabs
  // together. Nothing is lost, as the stream resumes.
  rest(resting) {
    if (this.#resting === resting) return;
    this.#resting = resting;
    if (resting) this.#abort?.abort();
    this.#wake?.();
  }

  // #sleep waits until woken, or for ms where that is not 0.
  #sleep(ms) {
    return new Promise((done) => {
      const timer = ms > 0 ? setTimeout(() => this.#wake?.(), ms) : 0;
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = null;
        done();
      };
    });
  }

  // #once follows one stream to its end and returns why it ended.
  async #once() {
    const abort = new AbortController();
    this.#abort = abort;
    let watchdog = setTimeout(() => abort.abort(), silence);
    try {
      const answer = await this.#open(this.#lastID, abort.signal);
      const parser = new Parser();
      parser.lastID = this.#lastID;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      this.#onState("live");
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return "the node ended the stream";
        this.#tries = 0;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), silence);
        for (const event of parser.push(value)) this.#onEvent(event);
        this.#lastID = parser.lastID;
      }
    } catch (err) {
      return err instanceof Error ? err.message : String(err);
    } finally {
      clearTimeout(watchdog);
      abort.abort();
    }
  }
}
