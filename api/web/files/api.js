// The node's HTTP API, as far as the page needs it.

// Refused is a problem document (RFC 9457) of the node's.
export class Refused extends Error {
  constructor(status, document) {
    super(document?.detail || document?.title || `the node answered ${status}`);
    this.status = status;
    this.hint = document?.hint || "";
  }
}

const tokenKey = "p2ping-token";

// patience is how long an answer may take, in milliseconds. A browser has six
// connections for a node: those that a node which hangs, or is gone without a
// word, would keep for ever are wanted when it is back.
const patience = 30_000;

// sendable tells whether a token can be one: only these go into a header.
const sendable = /^[\x21-\x7e]+$/;

// API speaks to the node that the page came from. askToken(refused) resolves to
// a token; it is called when the node wants one, once for all that wait.
export class API {
  #askToken;
  #asking = null;
  #token;
  #offset = 0; // of the node's clock from this browser's, in ms

  constructor(askToken) {
    this.#askToken = askToken;
    this.#token = remembered();
  }

  // now is the time by the node's clock, good to a second.
  now() {
    return Date.now() + this.#offset;
  }

  async get(path) {
    return (await this.request(path)).json();
  }

  // request resolves to an answer of 2xx, or throws Refused, or what fetch throws.
  // With a signal of the caller's it may take for ever.
  async request(path, options = {}) {
    for (;;) {
      const used = this.#token;
      const headers = { Accept: "application/json", ...options.headers };
      if (used) headers.Authorization = `Bearer ${used}`;
      const signal = options.signal ?? AbortSignal.timeout(patience);
      const answer = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options, headers, signal });
      const date = Date.parse(answer.headers.get("Date") ?? "");
      // A Date is cut to seconds: half of one is the best guess for the rest.
      if (date) this.#offset = date + 500 - Date.now();
      if (answer.ok) return answer;
      const document = await answer.json().catch(() => null);
      if (answer.status !== 401) throw new Refused(answer.status, document);
      if (used === this.#token) await this.#renew(Boolean(used));
    }
  }

  async #renew(refused) {
    this.#asking ??= this.#ask(refused).finally(() => { this.#asking = null; });
    this.#token = await this.#asking;
    remember(this.#token);
  }

  async #ask(refused) {
    for (;;) {
      const token = await this.#askToken(refused);
      if (sendable.test(token)) return token;
      refused = true;
    }
  }

  // events opens the stream of events after the cursor, or from now.
  events(cursor, signal) {
    const headers = { Accept: "text/event-stream" };
    if (cursor) headers["Last-Event-ID"] = cursor;
    return this.request("/events?topics=ping,peer,sync", { headers, signal });
  }

  // publish posts a ping. With wait it answers when that many other nodes have
  // stored it, or after the timeout.
  async publish(text, wait = 0) {
    const query = wait > 0 ? `?wait=${wait}&timeout=5s` : "";
    const body = JSON.stringify(text === "" ? {} : { text });
    const answer = await this.request(`/ping${query}`, { method: "POST", body, headers: { "Content-Type": "application/json" } });
    return answer.json();
  }
}

// The tab's session storage survives a reload, not the tab. It may be denied.
function remembered() {
  try { return sessionStorage.getItem(tokenKey) ?? ""; } catch { return ""; }
}

function remember(token) {
  try { sessionStorage.setItem(tokenKey, token); } catch { /* then in memory only */ }
}
