/**
 * A pool of lists that remember which different values (ports, hosts) were touched
 * last, and when. A list of `most + 1` places decides exactly whether more than
 * `most` different values were touched within a window: the places hold those
 * touched last, and more than `most` were touched if and only if all are taken and
 * the oldest lies within the window. One list serves a short and a long window.
 *
 * When the pool is used up, the list with the fewest values among some that come
 * by turns is taken from its owner.
 */
const LOOKED_AT = 8;

/** Takes values and when they were touched last. */
export interface ValueSink {
  put(value: number, at: number): void;
}

export class DistinctLists {
  /** Set by `add`: different values within the short and the long window, at most `places`. */
  short = 0;
  long = 0;
  /** Age of the oldest value within the short, and within the long window, ms. */
  oldestShort = 0;
  oldestLong = 0;
  /** Set by `add`: how many values the list holds. */
  held = 0;
  readonly #places: number;
  readonly #shortMs: number;
  readonly #longMs: number;
  readonly #values: Int32Array;
  readonly #times: Int32Array;
  readonly #counts: Int32Array;
  /** Place of the oldest; the places of a list are a ring. */
  readonly #heads: Int32Array;
  readonly #owners: Int32Array;
  readonly #free: Int32Array;
  #freeCount: number;
  #cursor = 0;

  /** @param most the largest limit that is asked about, 1 or more */
  constructor(options: { lists: number; most: number; shortMs: number; longMs: number }) {
    const { lists, most } = options;
    this.#places = most + 1;
    this.#shortMs = options.shortMs;
    this.#longMs = options.longMs;
    this.#values = new Int32Array(lists * this.#places);
    this.#times = new Int32Array(lists * this.#places);
    this.#counts = new Int32Array(lists);
    this.#heads = new Int32Array(lists);
    this.#owners = new Int32Array(lists);
    this.#free = new Int32Array(lists);
    for (let i = 0; i < lists; i++) this.#free[i] = lists - 1 - i;
    this.#freeCount = lists;
  }

  /**
   * An empty list for this owner.
   * @param lose called with the owner that loses its list for it
   */
  take(owner: number, lose: (owner: number) => void): number {
    let list: number;
    if (this.#freeCount > 0) {
      this.#freeCount -= 1;
      list = this.#free[this.#freeCount] as number;
    } else {
      list = this.#cursor;
      for (let i = 1; i < LOOKED_AT; i++) {
        const other = (this.#cursor + i) % this.#counts.length;
        if ((this.#counts[other] as number) < (this.#counts[list] as number)) list = other;
      }
      this.#cursor = (this.#cursor + LOOKED_AT) % this.#counts.length;
      lose(this.#owners[list] as number);
    }
    this.#owners[list] = owner;
    this.clear(list);
    return list;
  }

  release(list: number): void {
    this.#free[this.#freeCount] = list;
    this.#freeCount += 1;
  }

  clear(list: number): void {
    this.#counts[list] = 0;
    this.#heads[list] = 0;
  }

  /** Notes a value touched at `at`, which never goes back, and counts as of then. */
  add(list: number, value: number, at: number): void {
    const places = this.#places;
    const from = list * places;
    let used = this.#counts[list] as number;
    const position = this.#find(list, value);
    if (position >= 0) this.#close(list, position);
    else if (used === places) {
      const head = (this.#heads[list] as number) + 1;
      this.#heads[list] = head === places ? 0 : head;
    } else {
      used += 1;
      this.#counts[list] = used;
    }
    let place = (this.#heads[list] as number) + used - 1;
    if (place >= places) place -= places;
    this.#values[from + place] = value;
    this.#times[from + place] = at;
    this.held = used;
    const short = this.#firstWithin(list, used, at, this.#shortMs);
    const long = this.#longMs === this.#shortMs ? short : this.#firstWithin(list, used, at, this.#longMs);
    this.short = used - short;
    this.long = used - long;
    this.oldestShort = this.#age(list, short, at);
    this.oldestLong = this.#age(list, long, at);
  }

  /** Forgets a value; false when it was not there. */
  remove(list: number, value: number): boolean {
    const position = this.#find(list, value);
    if (position < 0) return false;
    this.#close(list, position);
    this.#counts[list] = (this.#counts[list] as number) - 1;
    return true;
  }

  /** Tells of each value that a list holds, the oldest first. */
  each(list: number, sink: ValueSink): void {
    const places = this.#places;
    let place = this.#heads[list] as number;
    for (let i = this.#counts[list] as number; i > 0; i--) {
      sink.put(this.#values[list * places + place] as number, this.#times[list * places + place] as number);
      place = place + 1 === places ? 0 : place + 1;
    }
  }

  /** How many are older than the value, -1 when it is not there; looks at the latest first. */
  #find(list: number, value: number): number {
    const values = this.#values;
    const from = list * this.#places;
    const head = this.#heads[list] as number;
    const used = this.#counts[list] as number;
    // The ring in two straight parts, the one behind its seam first.
    const behind = head + used - this.#places;
    for (let place = behind - 1; place >= 0; place--) {
      if (values[from + place] === value) return place + this.#places - head;
    }
    const end = behind > 0 ? this.#places : head + used;
    for (let place = end - 1; place >= head; place--) if (values[from + place] === value) return place - head;
    return -1;
  }

  /** Moves what is younger than a position one place up, so that the last one is free. */
  #close(list: number, position: number): void {
    const places = this.#places;
    const from = list * places;
    const last = (this.#counts[list] as number) - 1;
    let place = (this.#heads[list] as number) + position;
    if (place >= places) place -= places;
    for (let i = position; i < last; i++) {
      const next = place + 1 === places ? 0 : place + 1;
      this.#values[from + place] = this.#values[from + next] as number;
      this.#times[from + place] = this.#times[from + next] as number;
      place = next;
    }
  }

  #age(list: number, position: number, at: number): number {
    let place = (this.#heads[list] as number) + position;
    if (place >= this.#places) place -= this.#places;
    return (at - (this.#times[list * this.#places + place] as number)) >>> 0;
  }

  /** How many of the oldest lie outside of the window; the latest never does. */
  #firstWithin(list: number, used: number, at: number, windowMs: number): number {
    let low = 0;
    let high = used - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#age(list, middle, at) < windowMs) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
