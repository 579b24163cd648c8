// A ledger in memory: "Admission" and "Ledger and digest" of PROTOCOL.md.

import { keyAt, sha256 } from "./entry.mjs";

export const ahead = 86_400_000; // how far ahead of the clock an entry may be, in milliseconds

// fingerprint is the digest of entries that are in the order of their keys.
export const fingerprint = (entries) => sha256(entries.map((e) => `${e.id}\n`).join(""));

export class Ledger {
  constructor(topic, { floor = 0, now = Date.now } = {}) {
    this.topic = topic;
    this.floor = floor;
    this.now = now;
    this.entries = []; // in the order of keys
    this.held = new Map(); // by id
    this.waiting = new Set();
  }

  // add takes an entry whose signature was verified, and says whether it is new.
  add(entry) {
    if (entry.topic !== this.topic || entry.time < this.floor || entry.time > this.now() + ahead) return false;
    if (this.held.has(entry.id)) return false;
    this.entries.splice(this.position(entry.key), 0, entry);
    this.held.set(entry.id, entry);
    for (const look of this.waiting) look();
    return true;
  }

  // position is where the first entry is whose key is not below this one.
  position(key) {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle].key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // range lists the entries from lo to hi, lo included, hi not. Keys are in hex;
  // one that is cut short stands for the same with zeros at its end.
  range(lo, hi) {
    return this.entries.slice(this.position(lo), this.position(hi));
  }

  get digest() {
    return fingerprint(this.entries.slice(this.position(keyAt(this.floor)))).toString("hex");
  }

  // until waits until look() is truthy, and gives that. It looks again whenever an
  // entry was added.
  until(what, look, patience = 15_000) {
    return new Promise((done, fail) => {
      const again = () => {
        const seen = look();
        if (!seen) return;
        this.waiting.delete(again);
        clearTimeout(timer);
        done(seen);
      };
      const timer = setTimeout(() => {
        this.waiting.delete(again);
        fail(new Error(`${what}: not within ${patience} ms; the ledger holds ${this.entries.length} entries`));
      }, patience);
      this.waiting.add(again);
      again();
    });
  }
}
