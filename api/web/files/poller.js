// Looking again at what is small enough to be asked for whole. Pure.

// Poller calls look() when something may have changed, but never again before
// it is done, nor sooner than every ms after it began. By a clock that nobody
// sets, as setting that of the machine would silence it.
export class Poller {
  #look; #every; #now;
  #began = -Infinity;
  #timer = 0;
  #looking = null; // the promise of the look under way
  #again = false; // something changed meanwhile

  constructor(look, every, now = () => performance.now()) {
    this.#look = look;
    this.#every = every;
    this.#now = now;
  }

  // soon looks when it is due. What look throws is lost.
  soon() {
    if (this.#looking) this.#again = true;
    if (this.#looking || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.now().catch(() => { /* the next look may succeed */ });
    }, Math.max(200, this.#began + this.#every - this.#now()));
  }

  // now looks at once and resolves, or throws, as look does. While a look is
  // under way it is that one's.
  now() {
    this.#looking ??= this.#run();
    return this.#looking;
  }

  async #run() {
    clearTimeout(this.#timer); // what it waits for is seen by this look
    this.#timer = 0;
    this.#began = this.#now();
    this.#again = false;
    try {
      await this.#look();
    } finally {
      this.#looking = null;
      if (this.#again) this.soon();
    }
  }
}
