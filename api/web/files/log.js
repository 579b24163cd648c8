// The pings that the page holds, in the order in which they are listed: history
// first, as the node gives it, then what arrives. Pure.

// most is how many are held; older ones can be loaded again.
export const most = 20_000;

// Log holds items: pings as the API gives them, or {gap: text, id}.
export class Log {
  items = [];
  view = []; // the items that the filter lets through; frozen while paused
  waiting = 0; // how many came while paused, and pass the filter
  trimmed = false; // something was let go of at the old end since the last prepend
  paused = false;
  #ids = new Set();
  #needle = "";
  #most;

  constructor(limit = most) {
    this.#most = limit;
  }

  has(id) {
    return this.#ids.has(id);
  }

  // append adds what arrived and returns {added, dropped}: the items that are new
  // and the number of rows that left the view at its old end.
  append(items) {
    const added = items.filter((item) => this.#take(item));
    this.items.push(...added);
    const matching = added.filter((item) => this.matches(item));
    if (this.paused) this.waiting += matching.length;
    else this.view.push(...matching);
    return { added, dropped: this.#trim() };
  }

  // prepend adds older items before all others and returns the number of rows
  // that this added to the view.
  prepend(items) {
    const room = Math.max(0, this.#most - this.items.length);
    const fresh = items.filter((item) => this.#take(item));
    const added = room > 0 ? fresh.slice(-room) : [];
    for (const item of fresh.slice(0, fresh.length - added.length)) this.#ids.delete(item.id);
    this.items = added.concat(this.items);
    const matching = added.filter((item) => this.matches(item));
    this.view = matching.concat(this.view);
    return matching.length;
  }

  // oldest returns the first ping held.
  get oldest() {
    return this.items.find((item) => !item.gap);
  }

  get full() {
    return this.items.length >= this.#most;
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) this.#rebuild();
  }

  // filter shows only what has all of the words in it. While paused the items
  // that wait go on waiting.
  filter(text) {
    this.#needle = fold(text).split(/\s+/).filter(Boolean);
    this.#rebuild();
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

  #rebuild() {
    this.view = this.items.filter((item) => this.matches(item));
    if (!this.paused) this.waiting = 0;
  }

  #take(item) {
    if (this.#ids.has(item.id)) return false;
    this.#ids.add(item.id);
    return true;
  }

  // #trim lets go of a tenth at a time, so that it is rarely done.
  #trim() {
    if (this.items.length <= this.#most) return 0;
    const cut = this.items.length - Math.floor(this.#most * 0.9);
    const gone = new Set(this.items.slice(0, cut));
    for (const item of gone) this.#ids.delete(item.id);
    this.items = this.items.slice(cut);
    this.trimmed = true;
    let dropped = 0;
    while (dropped < this.view.length && gone.has(this.view[dropped])) dropped++;
    this.view = this.view.slice(dropped);
    return dropped;
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
