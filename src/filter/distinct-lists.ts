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
    this.#counts[list] = 0;
    return list;
  }

  release(list: number): void {
    this.#free[this.#freeCount] = list;
    this.#freeCount += 1;
  }

  clear(list: number): void {
    this.#counts[list] = 0;
  }

  /** Notes a value touched at `at` and counts as of then. */
  add(list: number, value: number, at: number): void {
    const values = this.#values;
    const times = this.#times;
    const from = list * this.#places;
    const used = this.#counts[list] as number;
    let found = -1;
    let oldest = from;
    let oldestAge = -1;
    let short = 0;
    let long = 0;
    let oldestShort = 0;
    let oldestLong = 0;
    for (let i = from; i < from + used; i++) {
      const age = (at - (times[i] as number)) >>> 0;
      if (age > oldestAge) {
        oldestAge = age;
        oldest = i;
      }
      if (values[i] === value) {
        found = i;
        continue;
      }
      if (age < this.#longMs) {
        long += 1;
        if (age > oldestLong) oldestLong = age;
        if (age < this.#shortMs) {
          short += 1;
          if (age > oldestShort) oldestShort = age;
        }
      }
    }
    let place = found;
    this.held = used;
    if (place < 0 && used < this.#places) {
      place = from + used;
      this.#counts[list] = used + 1;
      this.held = used + 1;
    } else if (place < 0) {
      place = oldest;
      // The one replaced was counted above if it was within the windows.
      if (oldestAge < this.#longMs) long -= 1;
      if (oldestAge < this.#shortMs) short -= 1;
    }
    values[place] = value;
    times[place] = at;
    this.short = short + 1;
    this.long = long + 1;
    this.oldestShort = oldestShort;
    this.oldestLong = oldestLong;
  }

  /** Forgets a value; false when it was not there. */
  remove(list: number, value: number): boolean {
    const from = list * this.#places;
    const last = from + (this.#counts[list] as number) - 1;
    for (let i = from; i <= last; i++) {
      if (this.#values[i] !== value) continue;
      this.#values[i] = this.#values[last] as number;
      this.#times[i] = this.#times[last] as number;
      this.#counts[list] = last - from;
      return true;
    }
    return false;
  }
}
