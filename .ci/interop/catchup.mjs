// Catch-up: the section of that name of PROTOCOL.md. A Session knows nothing of
// streams: it says what a turn of its own has, and takes what the other's had.

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { lpStream } from "@libp2p/utils";
import { Reader, need, prefixed, signed, varint } from "./bytes.mjs";
import { fromBytes, keyAt, sha256 } from "./entry.mjs";
import { ahead, fingerprint } from "./ledger.mjs";

export const protocol = "/p2ping/catchup/1.0.0";

const kinds = { hello: 1, welcome: 2, busy: 3, ranges: 4, entries: 5, end: 6 };
const items = { split: 0, list: 1, want: 2 };
const takesEntries = 1;
const equal = 2;
const left = 1;
const later = 2;

const maxFrame = 132_161;
const maxTurns = 16;
const maxQuestions = 8192;
const maxListed = 32_768;
const maxEntries = 65_536;
const maxBytes = 16 << 20;
const maxTime = 253_402_300_799_999;
const maxCount = 2 ** 40;
const parts = 32; // of a split
const listed = 64; // a range of so many is listed

export const topicTag = (topic) => sha256(topic).subarray(0, 4);

// pad makes a whole key of one that is cut short.
const pad = (key) => key.padEnd(80, "0");

class Session {
  constructor(ledger, lo, hi, takes) {
    this.ledger = ledger;
    this.lo = pad(keyAt(lo));
    this.hi = pad(keyAt(hi));
    this.takes = takes; // whether the other side takes entries
    this.salt = randomBytes(8);
    this.asked = []; // by this side in its last turn
    this.open = []; // questions that this side's next turn answers
    this.owed = new Map(); // entries to send, by key
    this.result = { received: 0, added: [], sent: 0, turns: 0, left: false };
  }

  // claim is what a hello, or a part of a split, says of a range.
  claim(lo, hi, count, print) {
    this.open.push({ lo, hi, count, print });
  }

  // speak gives the frames of a turn, and what says whether it was the last.
  speak() {
    this.asked = [];
    const frames = new Frames(this.salt);
    this.ids = 0;
    this.cut = false;
    for (const [number, question] of this.open.entries()) {
      if (question.ids) this.answerList(frames, number, question);
      else this.answerClaim(frames, number, question);
    }
    this.open = [];
    const asks = this.asked.length > 0;
    if (!asks) this.sendOwed(frames);
    const keeps = asks && this.owed.size > 0;
    frames.end((this.cut ? left : 0) | (keeps ? later : 0));
    this.result.turns++;
    this.result.left ||= this.cut;
    return { frames: frames.all, ranges: frames.items > 0, later: keeps };
  }

  answerClaim(frames, number, { lo, hi, count, print }) {
    const held = this.ledger.range(lo, hi);
    if (held.length === count && (count === 0 || fingerprint(held).equals(print))) return;
    if (count === 0) this.owe(held);
    else if (held.length <= listed) this.list(frames, number, lo, hi, held);
    else this.split(frames, number, lo, hi, held);
  }

  list(frames, number, lo, hi, held) {
    if (this.asked.length + 1 > maxQuestions || this.ids + held.length > maxListed) return void (this.cut = true);
    this.ids += held.length;
    this.asked.push({ lo, hi, held });
    frames.item(number, items.list, varint(held.length), ...held.map((e) => short(this.salt, e)));
  }

  // split asks about parts of equally many entries.
  split(frames, number, lo, hi, held) {
    if (this.asked.length + parts > maxQuestions) return void (this.cut = true);
    const body = [varint(parts)];
    let [from, first] = [lo, 0];
    for (let part = 1; part <= parts; part++) {
      const next = Math.floor((held.length * part) / parts);
      const until = part === parts ? hi : boundBetween(held[next - 1], held[next]);
      const inside = held.slice(first, next);
      if (part > 1) body.push(bound(this.asked.at(-1).lo, from));
      this.asked.push({ lo: from, hi: until });
      body.push(varint(inside.length), fingerprint(inside));
      [from, first] = [until, next];
    }
    frames.item(number, items.split, ...body);
  }

  // answerList asks for what this side lacks, and owes what the list lacks.
  answerList(frames, number, { lo, hi, ids, salt }) {
    const held = this.ledger.range(lo, hi);
    const have = new Set(held.map((e) => short(salt, e).toString("hex")));
    const bits = Buffer.alloc(ids.length);
    const bytes = Buffer.alloc(Math.ceil(ids.length / 8));
    for (const [i, id] of ids.entries()) if (!have.has(id)) bytes[i >> 3] |= (bits[i] = 1) << (i & 7);
    const known = new Set(ids);
    this.owe(held.filter((e) => !known.has(short(salt, e).toString("hex"))));
    if (bits.includes(1)) frames.item(number, items.want, varint(bytes.length), bytes);
  }

  owe(entries) {
    if (this.takes) for (const entry of entries) this.owed.set(entry.key, entry);
  }

  sendOwed(frames) {
    let size = 0;
    for (const key of [...this.owed.keys()].sort()) {
      const { bytes } = this.owed.get(key);
      if (this.result.sent === maxEntries || size + bytes.length > maxBytes) {
        this.cut = true;
        break;
      }
      frames.entry(bytes);
      size += bytes.length;
      this.result.sent++;
    }
    this.owed.clear();
  }

  // ranges takes a frame that answers what this side asked.
  ranges(payload) {
    const from = new Reader(payload);
    const salt = from.take(8);
    let question = -1;
    need(from.left > 0, "a frame of no items");
    while (from.left > 0) {
      const head = from.number(4 * maxQuestions);
      question += Math.floor(head / 4) + 1;
      const asked = this.asked[question];
      need(asked, `an answer to question ${question} of ${this.asked.length}`);
      need(question > this.answered, "two answers to a question");
      this.answered = question;
      if (head % 4 === items.split && !asked.held) this.takeSplit(from, asked);
      else if (head % 4 === items.list && !asked.held) this.takeList(from, asked, salt);
      else if (head % 4 === items.want && asked.held) this.takeWant(from, asked.held);
      else need(false, `an item of kind ${head % 4} to question ${question}`);
    }
  }

  takeSplit(from, { lo, hi }) {
    const n = from.number(64);
    need(n >= 1, "a split of no parts");
    let [start, part] = [lo, takePart(from)];
    for (let i = 1; i < n; i++) {
      const next = takeBound(from, start);
      need(next > start && next < hi, "a bound out of place");
      this.claim(start, next, ...part);
      [start, part] = [next, takePart(from)];
    }
    this.claim(start, hi, ...part);
  }

  takeList(from, { lo, hi }, salt) {
    const n = from.number(listed);
    const ids = Array.from({ length: n }, () => from.take(8).toString("hex"));
    this.open.push({ lo, hi, ids, salt });
  }

  takeWant(from, held) {
    const bits = from.prefixed(listed / 8);
    need(bits.length === Math.ceil(held.length / 8), `${bits.length} bytes of wants for ${held.length} ids`);
    const wanted = held.filter((_entry, i) => (bits[i >> 3] >> (i & 7)) & 1);
    this.owe(wanted);
  }

  async entries(payload) {
    const from = new Reader(payload);
    need(from.left > 0, "a frame of no entries");
    while (from.left > 0) {
      const entry = await fromBytes(from.prefixed(66_560));
      need(entry.key > this.lastKey && entry.key >= this.lo && entry.key < this.hi, "an entry out of place");
      this.lastKey = entry.key;
      this.result.received++;
      if (this.ledger.add(entry)) this.result.added.push(entry);
    }
  }

  // hear takes a turn of the other side, and gives what says whether it was the last.
  async hear(wire) {
    this.answered = -1;
    this.lastKey = "";
    let ranges = false;
    let last = kinds.ranges;
    for (;;) {
      const { kind, payload } = await wire.read();
      need(kind >= last, "a frame out of order");
      last = kind;
      if (kind === kinds.ranges) {
        ranges = true;
        this.ranges(payload);
      } else if (kind === kinds.entries) {
        await this.entries(payload);
      } else {
        need(kind === kinds.end, `a frame of kind ${kind} in a turn`);
        need(payload.length === 1, "an end of another length");
        const flags = flagsOf(payload[0], left | later);
        this.result.left ||= (flags & left) !== 0;
        return { ranges, later: (flags & later) !== 0 };
      }
    }
  }

  // run takes turns until nobody has anything to add.
  async run(wire, mine) {
    let wanted = false; // whether the side whose turn it is not has said "later"
    for (let turn = 0; turn < 2 * maxTurns; turn++, mine = !mine) {
      const said = mine ? this.speak() : await this.hear(wire);
      if (mine) await wire.write(...said.frames);
      if (!said.ranges && !said.later && !wanted) return this.result;
      wanted = said.later;
    }
    throw new Error(`no end after ${maxTurns} turns`);
  }
}

// short is what a list says of an entry.
const short = (salt, entry) => sha256(salt, Buffer.from(entry.id, "hex")).subarray(0, 8);

// boundBetween is the shortest key above one entry's, and not above the next one's.
function boundBetween(before, after) {
  let digits = 16;
  while (pad(after.key.slice(0, digits)) <= before.key) digits += 2;
  return pad(after.key.slice(0, digits));
}

const timeOf = (key) => Number.parseInt(key.slice(0, 16), 16);

function bound(before, key) {
  const id = Buffer.from(key.slice(16).replace(/(00)+$/, ""), "hex");
  return Buffer.concat([varint(timeOf(key) - timeOf(before)), Buffer.from([id.length]), id]);
}

function takeBound(from, before) {
  const time = timeOf(before) + from.number(maxTime);
  need(time <= maxTime, "a bound after the year 9999");
  const n = from.byte();
  need(n <= 32, "a bound's id of more than 32 bytes");
  return pad(keyAt(time) + from.take(n).toString("hex"));
}

function takePart(from) {
  const count = from.number(maxCount);
  return [count, count > 0 ? from.take(32) : undefined];
}

const frame = (kind, ...payload) => Buffer.concat([Buffer.from([kind]), ...payload]);

function flagsOf(byte, known) {
  need((byte & ~known) === 0, `unknown flags in ${byte}`);
  return byte;
}

// Frames gathers a turn, no frame longer than the longest.
class Frames {
  constructor(salt) {
    this.all = [];
    this.items = 0;
    this.salt = salt;
    this.room = 0;
  }

  item(question, kind, ...body) {
    const bytes = Buffer.concat(body);
    if (this.kind !== kinds.ranges || bytes.length + 10 > this.room) {
      this.begin(kinds.ranges, this.salt);
      this.last = -1;
    }
    this.add(varint((question - this.last - 1) * 4 + kind), bytes);
    this.last = question;
    this.items++;
  }

  entry(bytes) {
    if (this.kind !== kinds.entries || bytes.length + 10 > this.room) this.begin(kinds.entries);
    this.add(prefixed(bytes));
  }

  end(flags) {
    this.begin(kinds.end, Buffer.from([flags]));
    this.all = this.all.map((pieces) => Buffer.concat(pieces));
  }

  begin(kind, ...payload) {
    this.kind = kind;
    this.room = maxFrame;
    this.all.push([]);
    this.add(Buffer.from([kind]), ...payload);
  }

  add(...pieces) {
    for (const piece of pieces) this.room -= piece.length;
    this.all.at(-1).push(...pieces);
  }
}

// Wire reads and writes frames on a stream.
class Wire {
  constructor(stream) {
    this.stream = stream;
    this.frames = lpStream(stream, { maxDataLength: maxFrame, maxBufferSize: 2 * maxBytes });
  }

  async read() {
    const bytes = (await this.frames.read({ signal: AbortSignal.timeout(10_000) })).subarray();
    need(bytes.length > 0, "an empty frame");
    return { kind: bytes[0], payload: Buffer.from(bytes.subarray(1)) };
  }

  write(...frames) {
    return this.frames.writeV(frames, { signal: AbortSignal.timeout(10_000) });
  }
}

// initiate has a session on a stream that this side has opened. It gives
// {busy: seconds}, {equal: true}, or what was received, added and sent. welcomed()
// is called once the other side has agreed to it.
export async function initiate(stream, ledger, welcomed = () => {}) {
  const wire = new Wire(stream);
  const [clock, floor] = [ledger.now(), ledger.floor];
  const held = ledger.range(keyAt(floor), keyAt(clock + ahead));
  const print = fingerprint(held);
  await wire.write(frame(kinds.hello, topicTag(ledger.topic), varint(clock), varint(floor), Buffer.from([takesEntries]), varint(held.length), print));
  const { kind, payload } = await wire.read();
  const from = new Reader(payload);
  if (kind === kinds.busy) return { busy: from.number(60) };
  need(kind === kinds.welcome, `a frame of kind ${kind} for a welcome`);
  const theirs = { clock: clock + Number(from.signed()), floor: floor + Number(from.signed()), flags: flagsOf(from.byte(), takesEntries | equal) };
  from.end();
  welcomed();
  if (theirs.flags & equal) return { equal: true };
  const session = new Session(ledger, Math.max(floor, theirs.floor), Math.min(clock, theirs.clock) + ahead, (theirs.flags & takesEntries) !== 0);
  session.asked = [{ lo: session.lo, hi: session.hi }];
  return session.run(wire, false);
}

// respond has a session on a stream that the other side has opened, if busy() is
// undefined once the hello is here; else it says to stay away for so many seconds.
export async function respond(stream, ledger, busy) {
  const wire = new Wire(stream);
  const { kind, payload } = await wire.read();
  need(kind === kinds.hello, `a frame of kind ${kind} for a hello`);
  const from = new Reader(payload);
  need(from.take(4).equals(topicTag(ledger.topic)), "another topic");
  const hello = { clock: from.number(maxTime), floor: from.number(maxTime), flags: flagsOf(from.byte(), takesEntries), count: from.number(maxCount), print: from.take(32) };
  from.end();
  const seconds = busy();
  if (seconds !== undefined) {
    await wire.write(frame(kinds.busy, varint(seconds)));
    return { busy: seconds };
  }
  const clock = ledger.now();
  const [lo, hi] = [Math.max(ledger.floor, hello.floor), Math.min(clock, hello.clock) + ahead];
  const session = new Session(ledger, lo, hi, (hello.flags & takesEntries) !== 0);
  const held = ledger.range(session.lo, session.hi);
  const same = held.length === hello.count && fingerprint(held).equals(hello.print);
  await wire.write(frame(kinds.welcome, signed(clock - hello.clock), signed(ledger.floor - hello.floor), Buffer.from([takesEntries | (same ? equal : 0)])));
  if (same) return { equal: true };
  session.claim(session.lo, session.hi, hello.count, hello.print);
  return session.run(wire, true);
}
