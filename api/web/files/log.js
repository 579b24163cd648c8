// The pings that the page holds, in the order in which they are listed: history
// first, as the node gives it, then what arrives. Pure.

import { later } from "./history.js";

// most is how many are held; older ones can be loaded again.
export const most = 20_000;

// Log holds items: pings as the API gives them, or {gap: text, id}.
export class Log {
  items = [];
  view = []; // the items that the filter lets through
  waiting = 0; // how many came while paused, and pass the filter
  trimmed = null; // of what was let go of at the old end, and not loaded again, the ping sent last
  paused = false;
  #queue = []; // what came while paused: nothing that is held makes way for it
  #skipped = null; // of what the queue let go of, the ping sent last
  #ids = new Set();
  #needle = "";
  #most;

  constructor(limit = most) {
    this.#most = limit;
  }

  has(id) {
    return this.#ids.has(id);
  }

  // append adds what arrived and returns {added, grown, dropped}: the items that
  // are new, and the numbers of rows that came to the view at its new end and
  // left it at its old one.
  append(items) {
    const added = items.filter((item) => this.#take(item));
    if (!this.paused) return { added, ...this.#add(added) };
    this.waiting += added.filter((item) => this.matches(item)).length;
    this.#queue = this.#queue.concat(added);
    if (this.#queue.length > this.#most) this.#skipped = this.#letGo(this.#queue.splice(0, this.#queue.length - this.#keep), this.#skipped);
    return { added, grown: 0, dropped: 0 };
  }

  // prepend adds older items before all others and returns {added, rows}: the
  // numbers of items that are new, and of rows that this added to the view.
  prepend(items) {
    const room = Math.max(0, this.#most - this.items.length);
    const fresh = items.filter((item) => this.#take(item));
    const added = room > 0 ? fresh.slice(-room) : [];
    for (const item of fresh.slice(0, fresh.length - added.length)) this.#ids.delete(item.id);
    this.items = added.concat(this.items);
    const matching = added.filter((item) => this.matches(item));
    this.view = matching.concat(this.view);
    return { added: added.length, rows: matching.length };
  }

  get full() {
    return this.items.length >= this.#most;
  }

  // pause lets what arrives wait, and resume takes it; that returns what append does.
  pause() {
    this.paused = true;
  }

  resume() {
    const added = this.#queue;
    this.#queue = [];
    this.paused = false;
    this.waiting = 0;
    const { grown, dropped } = this.#add(added);
    // Where the queue was too long, all that was held has made way for it.
    this.trimmed = later(this.trimmed, this.#skipped);
    this.#skipped = null;
    return { added, grown, dropped };
  }

  // filter shows only what has all of the words in it. While paused the items
  // that wait go on waiting.
  filter(text) {
    this.#needle = fold(text).split(/\s+/).filter(Boolean);
    this.view = this.items.filter((item) => this.matches(item));
    this.waiting = this.#queue.filter((item) => this.matches(item)).length;
  }

  get filtered() {
    return this.#needle.length > 0;
  }

  matches(item) {
    if (this.#needle.length === 0) return true;
    if (item.gap) return false;
    item.folded ??= fold(`${item.text}\n${item.author}\n${item.via}`);
    return this.#needle.every((word) => item.folded.includes(word));
  }

  #take(item) {
    if (this.#ids.has(item.id)) return false;
    this.#ids.add(item.id);
    return true;
  }

  #add(added) {
    const matching = added.filter((item) => this.matches(item));
    for (const item of added) this.items.push(item);
    for (const item of matching) this.view.push(item);
    return { grown: matching.length, dropped: this.#trim() };
  }

  // #keep is how many are left of too many: a tenth goes at a time, so that it
  // is rarely done.
  get #keep() {
    return Math.floor(this.#most * 0.9);
  }

  #trim() {
    if (this.items.length <= this.#most) return 0;
    const gone = new Set(this.items.slice(0, this.items.length - this.#keep));
    this.trimmed = this.#letGo(gone, this.trimmed);
    this.items = this.items.slice(gone.size);
    let dropped = 0;
    while (dropped < this.view.length && gone.has(this.view[dropped])) dropped++;
    this.view = this.view.slice(dropped);
    return dropped;
  }

  // #letGo forgets items and returns the ping sent last of them and last.
  #letGo(items, last) {
    for (const item of items) {
      this.#ids.delete(item.id);
      if (!item.gap) last = later(last, item);
    }
    return last;
  }
}

const fold = (text) => String(text ?? "").normalize("NFKC").toLowerCase();

// windowOf returns the rows [first, end) to be drawn of count rows of one
// height, with some more on either side.
export function windowOf(scrollTop, height, rowHeight, count, more = 6) {
  if (!(rowHeight > 0) || count === 0) return { first: 0, end: 0 };
  const first = Math.max(0, Math.min(count - 1, Math.floor(scrollTop / rowHeight)) - more);
  const end = Math.min(count, Math.ceil((scrollTop + height) / rowHeight) + more);
  return { first, end: Math.max(first, end) };
}
