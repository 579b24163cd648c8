// What was there before the page: the latest page of history, once, and older
// ones as they are asked for. Pure, but for what it is given.

const pageSize = 100; // pings loaded at a time

// History fills log at its old end. get(path) resolves to a page {pings, next},
// next being the path of the page before, or "". onPage(pings, rows) tells of
// each page, and how many rows came to the log's view.
export class History {
  loaded = false; // the latest page
  #get; #log; #onPage;
  #recent = null; // the promise of the latest page
  #older = ""; // the path of the page before the first ping that is held
  #loading = false; // older ones

  constructor({ get, log, onPage }) {
    this.#get = get;
    this.#log = log;
    this.#onPage = onPage;
  }

  // more tells whether older pings may be loaded.
  get more() {
    return this.loaded && !this.#log.full && Boolean(this.#older || this.#log.trimmed);
  }

  // loadRecent loads the latest page, once: later the stream resumes where it
  // ended. What arrived in the meantime stays below it. It may be called again
  // after it failed.
  loadRecent() {
    this.#recent ??= this.#get(`/pings?limit=${pageSize}`).then((page) => {
      this.loaded = true;
      this.#take(page);
    }, (err) => {
      this.#recent = null;
      throw err;
    });
    return this.#recent;
  }

  // loadOlder loads the page before what is held, or several, until there is
  // something new in one: what arrived late is held already. It throws what get
  // throws.
  async loadOlder() {
    if (this.#loading) return;
    this.#loading = true;
    try {
      while (this.more && !await this.#loadPage());
    } finally {
      this.#loading = false;
    }
  }

  // #loadPage returns whether anything was added. Where the log let go of its
  // oldest pings, the link is of a page too far.
  async #loadPage() {
    const log = this.#log, { trimmed } = log;
    log.trimmed = null;
    let page = null;
    try {
      page = await this.#get(trimmed ? `/pings?limit=${pageSize}&until=${encodeURIComponent(after(trimmed))}` : this.#older);
    } finally {
      // A page that did not come leaves it to be fetched. So does one that came
      // while the log let go of more: there would be a hole below it.
      if (!page || log.trimmed) log.trimmed = later(trimmed, log.trimmed);
    }
    return log.trimmed ? false : this.#take(page) > 0;
  }

  #take(page) {
    this.#older = page.next;
    const { added, rows } = this.#log.prepend(page.pings);
    this.#onPage(page.pings, rows);
    return added;
  }
}

// later returns the one of two pings that was sent later; either may be null.
export function later(a, b) {
  if (!a || !b) return a ?? b;
  return Date.parse(a.sent_at) > Date.parse(b.sent_at) ? a : b;
}

// after is a time just behind a ping's own.
const after = (ping) => new Date(Date.parse(ping.sent_at) + 1).toISOString();
