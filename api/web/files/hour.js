// The last hour in figures: from history once, then from what arrives.

import { count, instant } from "./format.js";
import { Recent, Stats } from "./stats.js";

const pageSize = 1000;
const mostPages = 30; // so that a busy node's history does not fill memory
const mostFailures = 3;

// breathe lets the page do other things.
const breathe = () => new Promise((done) => { setTimeout(done); });

// Hour counts pings by when this node received them.
export class Hour {
  note = ""; // what is not counted
  #stats = new Stats();
  #recent = new Recent();
  #waiting = []; // what arrives while history is read; null after
  #loading = false;
  #failures = 0;
  #now;

  constructor(now) {
    this.#now = now;
  }

  // record takes a ping that arrived.
  record(ping) {
    if (this.#waiting) this.#waiting.push(ping);
    else this.#count(ping);
    this.#justNow(ping);
  }

  // #justNow counts a ping of the last minute: what comes from a stream that
  // resumes may be older.
  #justNow(ping) {
    const at = instant(ping.received_at), now = this.#now();
    if (at > now - 60_000) this.#recent.add(Math.min(at, now));
  }

  // series is what is plotted.
  series() {
    return this.#stats.series(this.#now());
  }

  // lastMinute is the number of pings that came in it.
  lastMinute() {
    return this.#recent.count(this.#now());
  }

  // load reads history, once. get(path) resolves to a page. Where that fails it
  // throws, and may be called again; after some tries it makes do without.
  async load(get) {
    if (!this.#waiting || this.#loading) return;
    this.#loading = true;
    try {
      await this.#settle(await this.#read(get));
    } catch (err) {
      if (++this.#failures < mostFailures) throw err;
      this.note = "Earlier pings are not counted: the history could not be read.";
      await this.#settle([]);
    } finally {
      this.#loading = false;
    }
  }

  async #read(get) {
    const pages = [];
    let next = `/pings?since=1h&limit=${pageSize}`;
    while (next && pages.length < mostPages) {
      const page = await get(next);
      pages.push(page.pings);
      next = page.next;
      await breathe();
    }
    if (next) this.note = `Only the latest ${count(pageSize * mostPages)} pings are counted.`;
    return pages;
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
        this.#justNow(ping);
      }
      await breathe();
    }
  }

  #count(ping) {
    const received = instant(ping.received_at);
    const heard = ping.via === "gossip" || ping.via === "catch-up";
    this.#stats.add(received, heard ? Math.max(0, received - instant(ping.sent_at)) : NaN);
  }
}
