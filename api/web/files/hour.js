// The last hour in figures: from history once, then from what arrives.

import { count, instant } from "./format.js";
import { Recent, Stats } from "./stats.js";

const pageSize = 1000;
const mostPages = 30; // so that a busy node's history does not fill memory

// Hour counts pings by when this node received them.
export class Hour {
  note = ""; // what is not counted
  #stats = new Stats();
  #recent = new Recent();
  #waiting = []; // what arrives while history is read; null after
  #now;

  constructor(now) {
    this.#now = now;
  }

  // record takes a ping that arrived.
  record(ping) {
    if (this.#waiting) this.#waiting.push(ping);
    else this.#count(ping);
    this.#recent.add(this.#now());
  }

  // series is what is plotted.
  series() {
    return this.#stats.series(this.#now());
  }

  // lastMinute is the number of pings that came in it.
  lastMinute() {
    return this.#recent.count(this.#now());
  }

  // load reads history. get(path) resolves to a page.
  async load(get) {
    const pings = [];
    let next = `/pings?since=1h&limit=${pageSize}`;
    try {
      for (let i = 0; i < mostPages && next; i++) {
        const page = await get(next);
        pings.push(page.pings);
        next = page.next;
        await new Promise((done) => { setTimeout(done); });
      }
    } catch (err) {
      this.note = "Earlier pings are not counted: the history could not be read.";
      console.warn("reading the last hour:", err);
    }
    if (next && !this.note) this.note = `Only the latest ${count(pageSize * mostPages)} pings are counted.`;
    await this.#settle(pings);
  }

  async #settle(pages) {
    const live = this.#waiting;
    const seen = new Set(live.map((ping) => ping.id));
    this.#waiting = null;
    live.forEach((ping) => this.#count(ping));
    for (const page of pages) {
      for (const ping of page) {
        if (seen.has(ping.id)) continue;
        this.#count(ping);
        const at = instant(ping.received_at);
        if (at > this.#now() - 60_000) this.#recent.add(at);
      }
      await new Promise((done) => { setTimeout(done); });
    }
  }

  #count(ping) {
    const received = instant(ping.received_at);
    const heard = ping.via === "gossip" || ping.via === "catch-up";
    this.#stats.add(received, heard ? Math.max(0, received - instant(ping.sent_at)) : NaN);
  }
}
