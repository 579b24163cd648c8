// The list of pings: only the rows in sight exist, and they are filled once a
// frame at most.

import { identicon } from "./author.js";
import { clip, clock, delay, instant, short, visible } from "./format.js";
import { windowOf } from "./log.js";

// List shows log in its frame. onOpen(ping) is called for the one that the user
// wants whole, onTop() when the oldest comes into sight, onChange() when it
// begins or ceases to follow.
export class List {
  following = true;
  #box; #space; #log; #palette; #now; #receipts; #on;
  #rows = []; // pool of row elements
  #rowHeight = 0;
  #active = null; // the item that the keyboard is on
  #planned = false;
  #unseen = 0; // rows below, that came since the user went up
  #top = -1; // where the box was last scrolled to, by the list or by the user

  constructor({ box, space, log, palette, now, receipts, onOpen, onTop, onChange }) {
    this.#box = box;
    this.#space = space;
    this.#log = log;
    this.#palette = palette;
    this.#now = now;
    this.#receipts = receipts;
    this.#on = { open: onOpen, top: onTop, change: onChange };
    box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    box.addEventListener("keydown", (e) => this.#key(e));
    box.addEventListener("focus", () => this.#focused());
    box.addEventListener("click", (e) => this.#click(e));
    new ResizeObserver(() => { this.#measure(); this.draw(); }).observe(box);
  }

  get unseen() {
    return this.#unseen;
  }

  // atTop tells whether the user has gone up to the oldest.
  get atTop() {
    return !this.following && this.#box.scrollTop < 3 * this.#rowHeight;
  }

  // plan draws with the next frame.
  plan() {
    if (this.#planned) return;
    this.#planned = true;
    requestAnimationFrame(() => {
      this.#planned = false;
      this.draw();
    });
  }

  // grew tells that n rows came at the new end and dropped left at the old one.
  grew(n, dropped) {
    if (!this.following) this.#unseen = Math.min(this.#unseen + n, this.#log.view.length);
    if (dropped === 0) {
      this.plan();
      return;
    }
    if (!this.following) this.#scroll(this.#box.scrollTop - dropped * this.#rowHeight);
    this.draw(); // now: a frame of other rows in the same place would flicker
  }

  // grewAbove tells that n rows came at the old end: what is in sight stays.
  grewAbove(n) {
    this.draw(n);
  }

  follow(on) {
    this.following = on;
    if (on) {
      this.#unseen = 0;
      this.#active = null;
    }
    this.#on.change();
    this.plan();
  }

  // draw fills the rows in sight; above rows were added before the first.
  draw(above = 0) {
    const rows = this.#log.view;
    const h = this.#makeRoom();
    if (this.following) this.#scroll(rows.length * h);
    else if (above > 0) this.#scroll(this.#box.scrollTop + above * h);
    const { first, end } = windowOf(this.#box.scrollTop, this.#box.clientHeight, h, rows.length);
    while (this.#rows.length < end - first) this.#rows.push(this.#newRow());
    const now = this.#now();
    let active = "";
    this.#rows.forEach((row, i) => {
      // Rows keep their element while they are in sight: index modulo pool.
      const index = first + ((i - first) % this.#rows.length + this.#rows.length) % this.#rows.length;
      if (index >= end) {
        row.box.hidden = true;
        row.item = null;
        return;
      }
      const item = rows[index];
      row.box.hidden = false;
      row.box.style.transform = `translateY(${index * h}px)`;
      row.box.setAttribute("aria-posinset", index + 1);
      row.box.setAttribute("aria-setsize", rows.length);
      const selected = item === this.#active;
      row.box.setAttribute("aria-selected", selected);
      if (selected) active = row.box.id;
      this.#fill(row, item, now);
    });
    if ((this.#box.getAttribute("aria-activedescendant") ?? "") === active) return; // said once
    if (active) this.#box.setAttribute("aria-activedescendant", active);
    else this.#box.removeAttribute("aria-activedescendant");
  }

  // #makeRoom gives all rows of the view their place and returns the height of one.
  #makeRoom() {
    if (this.#rowHeight === 0) this.#measure();
    this.#space.style.height = `${this.#log.view.length * this.#rowHeight}px`;
    return this.#rowHeight;
  }

  // #scroll moves the box, and keeps where it went: the event that tells of it
  // comes later, and is not the user's.
  #scroll(top) {
    this.#box.scrollTop = top;
    this.#top = this.#box.scrollTop;
  }

  // #measure finds the height of a row, which hangs on the window's size. Where
  // it has changed, the row at the top stays there.
  #measure() {
    if (this.#rows.length === 0) this.#rows.push(this.#newRow());
    const probe = this.#rows[0].box;
    const { hidden } = probe;
    probe.hidden = false;
    const before = this.#rowHeight;
    this.#rowHeight = probe.offsetHeight || before || 56;
    probe.hidden = hidden;
    if (before === 0 || before === this.#rowHeight || this.following) return;
    const first = this.#box.scrollTop / before;
    this.#scroll(first * this.#makeRoom());
  }

  #newRow() {
    const box = document.createElement("div");
    box.className = "row";
    box.id = `row-${this.#rows.length}`;
    box.setAttribute("role", "option");
    const make = (name, className) => {
      const e = document.createElement(name);
      e.className = className;
      return e;
    };
    const row = {
      box, item: null, mark: null, again: false,
      icon: make("span", "identicon"), text: make("bdi", "row-text"), delay: make("span", "row-delay"),
      author: make("span", "row-author mono"), time: make("span", "row-time"), via: make("span", "via"), stored: make("span", "row-stored"),
    };
    row.text.dir = "auto";
    const meta = make("span", "row-meta");
    meta.append(row.author, row.time, row.via, row.stored);
    box.append(row.icon, row.text, row.delay, meta);
    this.#space.append(box);
    return row;
  }

  #fill(row, item, now) {
    const stored = this.#receipts.get(item.id) ?? "";
    if (row.item === item && row.mark === stored) return;
    const another = row.item?.author !== item.author || row.item?.gap;
    const fresh = item.fresh && row.item !== item;
    row.item = item;
    row.mark = stored;
    if (item.gap) {
      row.box.className = "row gap";
      row.icon.replaceChildren();
      row.text.textContent = item.gap;
      for (const part of [row.author, row.time, row.via, row.delay, row.stored]) part.textContent = "";
      return;
    }
    const colour = `a${this.#palette.colour(item.author)}`;
    row.box.className = `row ${colour}${item.self ? " self" : ""}`;
    if (another) row.icon.replaceChildren(identicon(item.author));
    showText(row.text, clip(item.text, 300));
    row.author.textContent = short(item.author);
    row.time.textContent = clock(instant(item.sent_at), now);
    row.via.textContent = viaWord(item);
    row.via.className = `via ${viaClass(item.via)}`;
    row.delay.textContent = delayOf(item);
    row.stored.textContent = stored;
    if (fresh) {
      item.fresh = false;
      // The same animation again would not begin anew.
      row.again = !row.again;
      row.box.classList.add(row.again ? "fresh-again" : "fresh");
    }
  }

  #scrolled() {
    const { scrollTop: top, scrollHeight, clientHeight } = this.#box;
    if (top !== this.#top) {
      // A step up, however small, leaves the end: the list would follow before
      // the next one. On the way down near is good enough.
      const near = top < this.#top ? 1 : this.#rowHeight / 2;
      this.#top = top;
      const atEnd = scrollHeight - clientHeight - top < near;
      if (atEnd !== this.following) this.follow(atEnd);
    }
    if (this.atTop) this.#on.top();
    this.plan();
  }

  #focused() {
    if (this.#log.view.includes(this.#active)) return;
    this.#active = this.#log.view[this.#lastInSight()] ?? null;
    this.plan();
  }

  // #lastInSight returns the index of the last row that is whole in sight.
  #lastInSight() {
    const last = this.#log.view.length - 1;
    if (this.following) return last;
    return Math.min(last, Math.max(0, Math.floor((this.#box.scrollTop + this.#box.clientHeight) / this.#makeRoom()) - 1));
  }

  // #current returns the index of the row that the keyboard goes on from: the one
  // it is on, unless the list let go of it, or followed the newest away from it.
  #current() {
    const at = this.#log.view.indexOf(this.#active);
    const left = this.following && (at + 1) * this.#makeRoom() <= this.#box.scrollTop;
    return at < 0 || left ? this.#lastInSight() : at;
  }

  #key(e) {
    const rows = this.#log.view;
    if (rows.length === 0 || e.ctrlKey || e.altKey || e.metaKey) return;
    const page = Math.max(1, Math.floor(this.#box.clientHeight / this.#makeRoom()) - 1);
    const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -rows.length, End: rows.length };
    if (e.key === "Enter" || e.key === " ") {
      // A key that is held would open it again and again.
      if (!e.repeat && rows.includes(this.#active) && !this.#active.gap) this.#on.open(this.#active);
    } else if (e.key in moves) {
      this.#reach(Math.max(0, Math.min(rows.length - 1, this.#current() + moves[e.key])));
    } else {
      return;
    }
    e.preventDefault();
  }

  // #reach puts the keyboard on a row and brings it into sight.
  #reach(index) {
    this.#active = this.#log.view[index];
    const last = index === this.#log.view.length - 1;
    if (this.following !== last) {
      const active = this.#active;
      this.follow(last);
      this.#active = active;
    }
    const h = this.#makeRoom(), top = this.#box.scrollTop;
    if (index * h < top) this.#scroll(index * h);
    else if ((index + 1) * h > top + this.#box.clientHeight) this.#scroll((index + 1) * h - this.#box.clientHeight);
    this.draw();
  }

  #click(e) {
    const row = this.#rows.find((r) => r.box.contains(e.target));
    if (!row?.item || row.item.gap) return;
    this.#active = row.item;
    this.plan();
    this.#on.open(row.item);
  }
}

// showText puts a stranger's text somewhere as text, and says so of one that
// shows nothing.
export function showText(element, text) {
  const shows = visible(text);
  element.classList.toggle("invisible", !shows);
  element.textContent = shows ? text : `invisible: ${text.length === 1 ? "1 character" : `${text.length} characters`}`;
}

const ways = { own: "this node", gossip: "gossip", "catch-up": "caught up", import: "imported" };

export const viaWord = (ping) =>
  (ways[ping.via] ?? clip(ping.via, 20)) + (ping.via === "gossip" && ping.from && ping.from !== ping.author ? ` via ${short(ping.from)}` : "");

const viaClass = (via) => (via in ways ? `via-${via}` : "");

// delayOf is the time from the author's clock to this node's.
export function delayOf(ping) {
  if (ping.via === "own" || ping.via === "import") return "";
  const ms = instant(ping.received_at) - instant(ping.sent_at);
  return Number.isNaN(ms) ? "" : delay(ms);
}
