/**
 * Several workers each see the packets of some processors, so that a source whose
 * packets arrive on all of them is over a limit that no worker sees it pass. Here
 * they show one another what they counted of their heavier sources, in shared
 * memory of fixed size: 2.4 MB a worker, and none at all with one worker.
 *
 * Each worker has an area of its own that it alone writes, and looks sources up in
 * those of the others. So nothing is claimed, locked or fought for: a reader that
 * finds an entry in the middle of a change takes it for missing. Entries hold the
 * whole address, since two sources must never be added up; a bucket of four makes
 * room for a new source by the one that came longest ago.
 *
 * Only what makes a decision milder may go wrong: entries get lost, and what others
 * counted is older than one's own by the length of a batch. Whatever a worker takes
 * back or forgets, it takes out of its area in the same moment.
 */
import { hash, RATE_PARTS } from './source-records.js';

/** Different values are told apart by so many places. */
export const PLACES = 512;

/** Each worker has the time of its batch, so that others may be a little ahead; what is more ahead is ages old. */
export const MOST_AHEAD_MS = 1000;

const WAYS = 4;
/** Of each kind, a worker. */
const RATE_ENTRIES = 2048;
const TOUCH_ENTRIES = 1024;

/** Fields of an entry. Odd while it is being changed. */
const TURN = 0;
const LIMIT = 1;
const KEY = 2;
/** Until when the worker counts the source as reported; 0 = it did not report it. */
const MARKED = 6;
/** Of a network: its front runner and the lead of that. */
export const LEAD = 7;
export const VOTE2 = 8;
export const VOTE3 = 9;
/** From here on the kinds differ: begin and parts of a rate, or places and when each was touched. */
export const BODY = 10;
const RATE_WORDS = BODY + 1 + RATE_PARTS;
const TOUCH_WORDS = BODY + PLACES / 32 + PLACES;

export interface SharedCountsMemory {
  /** Of the hash that finds sources, the same for all workers and unknown to others. */
  readonly seed: number;
  /** One area a worker: a tag for each entry, then the entries. */
  readonly rates: readonly Int32Array[];
  readonly touches: readonly Int32Array[];
}

export function newSharedCounts(workers: number, seed: number): SharedCountsMemory {
  const areas = (entries: number, words: number) =>
    Array.from({ length: workers }, () => new Int32Array(new SharedArrayBuffer(4 * entries * (1 + words))));
  return { seed, rates: areas(RATE_ENTRIES, RATE_WORDS), touches: areas(TOUCH_ENTRIES, TOUCH_WORDS) };
}

/** What one worker has of the memory. */
export class SharedCounts {
  readonly workers: number;
  readonly rates: SharedEntries;
  readonly touches: SharedEntries;

  /** @param index of the worker, whose area is emptied: an earlier worker may have left something there */
  constructor(memory: SharedCountsMemory, index: number) {
    this.workers = memory.rates.length;
    this.rates = new SharedEntries(memory.rates, index, RATE_ENTRIES, RATE_WORDS, memory.seed);
    this.touches = new SharedEntries(memory.touches, index, TOUCH_ENTRIES, TOUCH_WORDS, memory.seed);
    this.rates.clear();
    this.touches.clear();
  }

  /**
   * Whether a count is shown to others: from a quarter of an equal share of the limit
   * on, and once shown down to an eighth. A source that no worker shows enough of
   * may so pass the limit by less than a quarter unnoticed.
   */
  isWorthShowing(count: number, limit: number, isShown: boolean): boolean {
    return count * this.workers * (isShown ? 8 : 4) > limit;
  }
}

/** The entries of one kind, of all workers, as one worker has them. Turn to a source first. */
export class SharedEntries {
  readonly own: Int32Array;
  readonly others: readonly Int32Array[];
  readonly seed: number;
  readonly #entries: number;
  readonly #words: number;
  /** When each entry of one's own was last used. */
  readonly #usedAt: Int32Array;
  #tag = 0;
  #limit = 0;
  #k0 = 0;
  #k1 = 0;
  #k2 = 0;
  #k3 = 0;

  constructor(areas: readonly Int32Array[], index: number, entries: number, words: number, seed: number) {
    this.own = areas[index] as Int32Array;
    this.others = areas.filter((area) => area !== this.own);
    this.#entries = entries;
    this.#words = words;
    this.seed = seed | 0;
    this.#usedAt = new Int32Array(entries);
  }

  /** @param limit number of what is counted, the same in all workers */
  turn(limit: number, k0: number, k1: number, k2: number, k3: number): void {
    this.#tag = hash(this.seed, k0, k1, k2, k3, limit);
    this.#limit = limit;
    this.#k0 = k0;
    this.#k1 = k1;
    this.#k2 = k2;
    this.#k3 = k3;
  }

  /** Where the source lies in an area, or -1. */
  find(area: Int32Array): number {
    const first = this.#bucket();
    for (let place = first; place < first + WAYS; place++) {
      if (area[place] !== this.#tag) continue;
      const at = this.#entries + place * this.#words;
      if (
        area[at + LIMIT] === this.#limit &&
        area[at + KEY] === this.#k0 &&
        area[at + KEY + 1] === this.#k1 &&
        area[at + KEY + 2] === this.#k2 &&
        area[at + KEY + 3] === this.#k3
      ) {
        return at;
      }
    }
    return -1;
  }

  /** A new entry of one's own for the source, open, with what is in its body still to be replaced. */
  take(now: number): number {
    const { own } = this;
    const first = this.#bucket();
    let oldest = first;
    for (let place = first; place < first + WAYS; place++) {
      if (own[place] === 0) {
        oldest = place;
        break;
      }
      if ((((this.#usedAt[place] as number) - (this.#usedAt[oldest] as number)) | 0) < 0) oldest = place;
    }
    const at = this.#entries + oldest * this.#words;
    this.open(at);
    own[at + LIMIT] = this.#limit;
    own[at + KEY] = this.#k0;
    own[at + KEY + 1] = this.#k1;
    own[at + KEY + 2] = this.#k2;
    own[at + KEY + 3] = this.#k3;
    for (let field = MARKED; field < BODY; field++) own[at + field] = 0;
    Atomics.store(own, oldest, this.#tag);
    this.#usedAt[oldest] = now;
    return at;
  }

  /** Notes that an entry of one's own is in use. */
  use(at: number, now: number): void {
    this.#usedAt[(at - this.#entries) / this.#words] = now;
  }

  /**
   * Between these two nobody reads an entry of one's own. They, and reading `turnOf`
   * before and after, are atomic and keep all else in order; what lies between is
   * written and read plainly, since atomic access is several times dearer.
   */
  open(at: number): void {
    Atomics.or(this.own, at + TURN, 1);
  }

  close(at: number): void {
    Atomics.add(this.own, at + TURN, 1);
  }

  /** A number to be compared after reading with what it is then; odd: do not read. */
  turnOf(area: Int32Array, at: number): number {
    return Atomics.load(area, at + TURN);
  }

  drop(): void {
    const at = this.find(this.own);
    if (at >= 0) Atomics.store(this.own, (at - this.#entries) / this.#words, 0);
  }

  clear(): void {
    for (let place = 0; place < this.#entries; place++) Atomics.store(this.own, place, 0);
  }

  /** Says that this worker reported the source. */
  mark(until: number): void {
    const at = this.find(this.own);
    if (at >= 0) Atomics.store(this.own, at + MARKED, until === 0 ? 1 : until);
  }

  /** For how long another worker counts the source as reported, ms; 0 when none does. */
  markedFor(now: number): number {
    let longest = 0;
    for (const area of this.others) {
      const at = this.find(area);
      const until = at < 0 ? 0 : Atomics.load(area, at + MARKED);
      // Whoever took the place meanwhile shows that by its tag.
      if (until !== 0 && this.find(area) === at) longest = Math.max(longest, (until - now) | 0);
    }
    return longest;
  }

  #bucket(): number {
    return (this.#tag >>> 4) & (this.#entries - WAYS);
  }
}
