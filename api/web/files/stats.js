// Pings a minute and percentiles of their delay over the last hour. Pure.

export const minutes = 60;
const minuteMS = 60_000;

// Delays are counted in classes that grow by a fifth of a power of two each:
// from 0.1 ms to beyond a day, a percentile is good to 15 %.
const smallest = 0.1;
const perDouble = 5;
const classes = 160;

// Stats counts by the minute in which this node received a ping.
export class Stats {
  #buckets = new Map(); // minute -> {count, heard, classes}

  // add counts a ping: received in ms since 1970; delay in ms, or NaN for one
  // whose delay says nothing, such as this node's own.
  add(received, delay) {
    const minute = Math.floor(received / minuteMS);
    if (!Number.isFinite(minute)) return;
    let b = this.#buckets.get(minute);
    if (!b) {
      if (this.#buckets.size > 2 * minutes) this.#forget(Math.max(...this.#buckets.keys()));
      b = { count: 0, heard: 0, classes: new Uint32Array(classes) };
      this.#buckets.set(minute, b);
    }
    b.count++;
    if (Number.isNaN(delay)) return;
    b.heard++;
    b.classes[classOf(delay)]++;
  }

  #forget(latest) {
    for (const minute of this.#buckets.keys()) {
      if (minute <= latest - minutes) this.#buckets.delete(minute);
    }
    // A clock that leaps must not make it grow for ever.
    if (this.#buckets.size > 2 * minutes) this.#buckets.clear();
  }

  // series returns the last hour, oldest minute first, the one under way last:
  // {at, count, p50, p99}; the percentiles are NaN where nothing was heard.
  series(now) {
    const last = Math.floor(now / minuteMS);
    return Array.from({ length: minutes }, (_, i) => {
      const minute = last - minutes + 1 + i;
      const b = this.#buckets.get(minute);
      return {
        at: minute * minuteMS,
        count: b?.count ?? 0,
        p50: b ? percentile(b, 0.5) : NaN,
        p99: b ? percentile(b, 0.99) : NaN,
      };
    });
  }
}

const classOf = (delay) =>
  delay <= smallest ? 0 : Math.min(classes - 1, 1 + Math.floor(Math.log2(delay / smallest) * perDouble));

function percentile(b, p) {
  if (b.heard === 0) return NaN;
  let left = Math.ceil(b.heard * p);
  for (let i = 0; i < classes; i++) {
    left -= b.classes[i];
    if (left <= 0) return i === 0 ? smallest : smallest * 2 ** ((i - 0.5) / perDouble);
  }
  return NaN;
}

// Recent counts what happened in the last so many milliseconds, by the second.
export class Recent {
  #seconds = new Map();
  #length;

  constructor(length = 60_000) {
    this.#length = length;
  }

  add(now, n = 1) {
    const s = Math.floor(now / 1000);
    this.#seconds.set(s, (this.#seconds.get(s) ?? 0) + n);
  }

  count(now) {
    let sum = 0;
    for (const [s, n] of this.#seconds) {
      if (s * 1000 <= now - this.#length) this.#seconds.delete(s);
      else sum += n;
    }
    return sum;
  }
}

// ceiling rounds up to 1, 2 or 5 times a power of ten: the top of an axis.
export function ceiling(n) {
  if (!(n > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(n));
  for (const m of [1, 2, 5, 10]) if (n <= m * power * (1 + 1e-9)) return m * power;
  return 10 * power;
}
