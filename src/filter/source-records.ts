/**
 * A table of sources in memory of fixed size: whoever is seen has one record,
 * found by a hash whose seed is drawn at start, so that nobody can aim at one
 * place. A source hashes to a bucket of `WAYS` records; if it is in none of them
 * it takes the free or the least worth keeping one. A flood of forged sources
 * therefore costs evictions, never memory.
 *
 * All that is counted of a source lies together, since a random source finds none of
 * it in the cache; its bucket's tags and ranks are one line more. Whoever has many different things to remember (`DistinctLists`) ranks
 * higher, so that a flood of one packet each does not make a slow scan forgotten.
 *
 * Times are milliseconds in 32 bits that wrap; only differences are looked at.
 */
const WAYS = 8;
/** Tags of a bucket's records, then their ranks. */
const INDEX_WORDS = 16;
const WORDS = 32;

/**
 * Fields of a record. What the first packet of a source needs comes first, within
 * one cache line, so that a flood of forged sources costs no second one.
 */
const KEY = 0;
/** Start of the part under way, and the events of all parts. */
const BEGIN = 5;
const SUM = 6;
/** Milliseconds added to the rank. */
const WEIGHT = 7;
/** What is set: a bit a mark, then those below. */
const FLAGS = 8;
const HAS_COMPLETED = 1 << 8;
const HAS_FIRST = 1 << 9;
/** The events are in more than one part: `PARTS` holds them. Else all are in the one under way. */
const HAS_PARTS = 1 << 11;
/** Counts are shown to other workers: the rate, then either list, then the first list's long window. */
const IS_SHOWN = 1 << 12;
const ANY_SHOWN = 15 << 12;
/** From this bit on: stray ACKs, counted up to `MOST_STRAYS`. */
const STRAYS = 16;
const MOST_STRAYS = 31;
/** Per list: the list of the pool plus 1. */
const LISTS = 9;
/** Per list: the one value touched while there is no list, and when. */
const FIRST = [11, 13] as const;
const FIRST_AT = [12, 14] as const;
/** When the source first completed a connection. */
const COMPLETED_AT = 15;
const PARTS = 16;
const CURRENT = 24;
/** Until when a source counts as reported, one word a mark. */
const MARKS = 28;

/** The rate window is cut into so many parts; see `add`. */
export const RATE_PARTS = 8;
export const LONGEST_MARK_MS = 20 * 86_400_000;

export interface RecordOptions {
  /** Records, a power of two. */
  readonly capacity: number;
  readonly seed: number;
  /** How long an idle source still matters; taking its record earlier counts as an eviction. */
  readonly keepMs: number;
  /** Length of the rate window; a multiple of 8. */
  readonly rateMs: number;
}

export class SourceRecords {
  /** Records taken from a source that was still within its window: counts that were lost. */
  evictions = 0;
  /** Whether the record returned last belonged to someone else, or to nobody, before. */
  fresh = false;
  /** Told of a record that changes hands while it owns lists, or others are shown its counts. */
  onTaken: ((slot: number) => void) | null = null;
  readonly #mask: number;
  readonly #seed: number;
  readonly #keepMs: number;
  readonly #partMs: number;
  readonly #index: Int32Array;
  readonly #words: Int32Array;

  constructor({ capacity, seed, keepMs, rateMs }: RecordOptions) {
    if (capacity < WAYS || (capacity & (capacity - 1)) !== 0) throw new RangeError('capacity must be a power of two');
    this.#mask = capacity / WAYS - 1;
    this.#seed = seed | 0;
    this.#keepMs = keepMs;
    this.#partMs = rateMs / RATE_PARTS;
    this.#index = new Int32Array((capacity / WAYS) * INDEX_WORDS);
    this.#words = new Int32Array(capacity * WORDS);
  }

  get capacity(): number {
    return (this.#mask + 1) * WAYS;
  }

  /** The record of a source, or -1. */
  find(k0: number, k1: number, k2: number, k3: number, k4 = 0): number {
    const tag = hash(this.#seed, k0, k1, k2, k3, k4);
    const bucket = (tag >>> 3) & this.#mask;
    const index = this.#index;
    const words = this.#words;
    const line = bucket * INDEX_WORDS;
    for (let way = 0; way < WAYS; way++) {
      if (index[line + way] !== tag) continue;
      const slot = bucket * WAYS + way;
      const at = slot * WORDS;
      if (
        words[at] === k0 &&
        words[at + 1] === k1 &&
        words[at + 2] === k2 &&
        words[at + 3] === k3 &&
        words[at + 4] === k4
      ) {
        return slot;
      }
    }
    return -1;
  }

  /** The record of a source that is kept for longer by this, or -1. */
  use(now: number, k0: number, k1: number, k2: number, k3: number, k4 = 0): number {
    const slot = this.find(k0, k1, k2, k3, k4);
    if (slot < 0) return slot;
    const rank = (slot >> 3) * INDEX_WORDS + WAYS + (slot & (WAYS - 1));
    this.#index[rank] = (now + (this.#words[slot * WORDS + WEIGHT] as number)) | 0;
    this.fresh = false;
    return slot;
  }

  /** The record of a source, taken if it had none. */
  slot(now: number, k0: number, k1: number, k2: number, k3: number, k4 = 0): number {
    const slot = this.use(now, k0, k1, k2, k3, k4);
    return slot >= 0 ? slot : this.take(now, k0, k1, k2, k3, k4);
  }

  /** A record for a source that has none: a free one, or the least worth keeping of its bucket. */
  take(now: number, k0: number, k1: number, k2: number, k3: number, k4 = 0): number {
    const tag = hash(this.#seed, k0, k1, k2, k3, k4);
    const bucket = (tag >>> 3) & this.#mask;
    const index = this.#index;
    const line = bucket * INDEX_WORDS;
    let worst = 0;
    let worstRank = 0x7fffffff;
    for (let way = 0; way < WAYS; way++) {
      // Free ways come first: nothing is ever taken out.
      if (index[line + way] === 0) {
        worst = way;
        worstRank = -0x80000000;
        break;
      }
      const rank = ((index[line + WAYS + way] as number) - now) | 0;
      if (rank < worstRank) {
        worst = way;
        worstRank = rank;
      }
    }
    if (worstRank > -this.#keepMs) this.evictions += 1;
    return this.#hand(bucket * WAYS + worst, tag, now, k0, k1, k2, k3, k4);
  }

  #hand(slot: number, tag: number, now: number, k0: number, k1: number, k2: number, k3: number, k4: number): number {
    const words = this.#words;
    const at = slot * WORDS;
    const index = (slot >> 3) * INDEX_WORDS + (slot & (WAYS - 1));
    const isShown = ((words[at + FLAGS] as number) & ANY_SHOWN) !== 0;
    if (isShown || words[at + LISTS] !== 0 || words[at + LISTS + 1] !== 0) this.onTaken?.(slot);
    this.#index[index] = tag;
    this.#index[index + WAYS] = now;
    words[at + KEY] = k0;
    words[at + KEY + 1] = k1;
    words[at + KEY + 2] = k2;
    words[at + KEY + 3] = k3;
    words[at + KEY + 4] = k4;
    words[at + BEGIN] = now;
    words[at + SUM] = 0;
    words[at + WEIGHT] = 0;
    words[at + FLAGS] = 0;
    words[at + LISTS] = 0;
    words[at + LISTS + 1] = 0;
    this.fresh = true;
    return slot;
  }

  /** How much longer than others without it a record is kept, ms. */
  weigh(slot: number, ms: number): void {
    this.#words[slot * WORDS + WEIGHT] = ms;
  }

  /**
   * Counts one event and gives how many there were within the rate window.
   *
   * The window is cut into 8 parts. The count is that of the part under way and
   * the seven before it, a span that is never longer than the window: so it never
   * exceeds the true number of events in some window of that length, and a
   * threshold is never reported before it is passed. It misses nothing in the
   * first window after the source was quiet, because the parts begin at the first
   * event, and nothing at a steady rate; at worst, for bursts exactly one window
   * apart, the lesser of the two. More than twice the threshold is always seen.
   */
  add(slot: number, now: number): number {
    const words = this.#words;
    const at = slot * WORDS;
    const elapsed = (now - (words[at + BEGIN] as number)) | 0;
    if (elapsed >= this.#partMs || elapsed < 0) this.#advance(slot, now, elapsed);
    if (((words[at + FLAGS] as number) & HAS_PARTS) !== 0) {
      const part = at + PARTS + (words[at + CURRENT] as number);
      words[part] = (words[part] as number) + 1;
    }
    const sum = (words[at + SUM] as number) + 1;
    words[at + SUM] = sum;
    return sum;
  }

  /** The events within the rate window, without counting one. */
  rate(slot: number, now: number): number {
    const words = this.#words;
    const elapsed = (now - (words[slot * WORDS + BEGIN] as number)) | 0;
    if (elapsed >= this.#partMs || elapsed < 0) this.#advance(slot, now, elapsed);
    return words[slot * WORDS + SUM] as number;
  }

  /** Takes the youngest event back. */
  takeBack(slot: number): void {
    const words = this.#words;
    const at = slot * WORDS;
    const sum = words[at + SUM] as number;
    if (sum === 0) return;
    words[at + SUM] = sum - 1;
    if (((words[at + FLAGS] as number) & HAS_PARTS) === 0) return;
    let part = words[at + CURRENT] as number;
    while (words[at + PARTS + part] === 0) part = (part + RATE_PARTS - 1) % RATE_PARTS;
    words[at + PARTS + part] = (words[at + PARTS + part] as number) - 1;
  }

  resetRate(slot: number, now: number): void {
    const words = this.#words;
    const at = slot * WORDS;
    words[at + SUM] = 0;
    words[at + BEGIN] = now;
    words[at + FLAGS] = (words[at + FLAGS] as number) & ~HAS_PARTS;
  }

  #advance(slot: number, now: number, elapsed: number): void {
    const parts = Math.floor(elapsed / this.#partMs);
    const words = this.#words;
    const at = slot * WORDS;
    if (elapsed < 0 || parts >= RATE_PARTS || words[at + SUM] === 0) {
      this.resetRate(slot, now);
      return;
    }
    if (((words[at + FLAGS] as number) & HAS_PARTS) === 0) {
      words[at + FLAGS] = (words[at + FLAGS] as number) | HAS_PARTS;
      for (let i = 1; i < RATE_PARTS; i++) words[at + PARTS + i] = 0;
      words[at + PARTS] = words[at + SUM] as number;
      words[at + CURRENT] = 0;
    }
    let current = words[at + CURRENT] as number;
    let sum = words[at + SUM] as number;
    for (let i = 0; i < parts; i++) {
      current = (current + 1) % RATE_PARTS;
      sum -= words[at + PARTS + current] as number;
      words[at + PARTS + current] = 0;
    }
    words[at + CURRENT] = current;
    words[at + SUM] = sum;
    words[at + BEGIN] = ((words[at + BEGIN] as number) + parts * this.#partMs) | 0;
  }

  /** Start of the part under way. */
  begin(slot: number): number {
    return this.#words[slot * WORDS + BEGIN] as number;
  }

  /** Events in one part. @param age how many parts before the one under way */
  part(slot: number, age: number): number {
    const words = this.#words;
    const at = slot * WORDS;
    if (((words[at + FLAGS] as number) & HAS_PARTS) === 0) return age === 0 ? (words[at + SUM] as number) : 0;
    return words[at + PARTS + (((words[at + CURRENT] as number) - age) & (RATE_PARTS - 1))] as number;
  }

  /** How much longer a source counts as reported for this mark (0 to 3), ms; 0 when it does not. */
  markedFor(slot: number, mark: number, now: number): number {
    const words = this.#words;
    const at = slot * WORDS;
    if (((words[at + FLAGS] as number) & (1 << mark)) === 0) return 0;
    return Math.max(0, ((words[at + MARKS + mark] as number) - now) | 0);
  }

  mark(slot: number, mark: number, now: number, ms: number): void {
    const at = slot * WORDS;
    this.#words[at + FLAGS] = (this.#words[at + FLAGS] as number) | (1 << mark);
    this.#words[at + MARKS + mark] = (now + Math.min(ms, LONGEST_MARK_MS)) | 0;
  }

  /** Notes that the source completed a connection; false when it had before. */
  completed(slot: number, now: number): boolean {
    const at = slot * WORDS;
    const flags = this.#words[at + FLAGS] as number;
    if ((flags & HAS_COMPLETED) !== 0) return false;
    this.#words[at + FLAGS] = flags | HAS_COMPLETED;
    this.#words[at + COMPLETED_AT] = now;
    return true;
  }

  /** Counts an ACK that belongs to no conversation. */
  stray(slot: number): void {
    const at = slot * WORDS + FLAGS;
    if (this.strays(slot) < MOST_STRAYS) this.#words[at] = (this.#words[at] as number) + (1 << STRAYS);
  }

  /** Stray ACKs since the source has its record, at most 31. */
  strays(slot: number): number {
    return ((this.#words[slot * WORDS + FLAGS] as number) >>> STRAYS) & MOST_STRAYS;
  }

  /** How long ago the source first completed a connection, ms; Infinity when it did not. */
  sinceFirstCompleted(slot: number, now: number): number {
    const at = slot * WORDS;
    if (((this.#words[at + FLAGS] as number) & HAS_COMPLETED) === 0) return Number.POSITIVE_INFINITY;
    return (now - (this.#words[at + COMPLETED_AT] as number)) | 0;
  }

  /** A word of the address. */
  key(slot: number, word: 0 | 1 | 2 | 3): number {
    return this.#words[slot * WORDS + KEY + word] as number;
  }

  /** Whether other workers are shown a count. @param kind 0 the rate, 1 and 2 the lists, 3 the first list's long window */
  isShown(slot: number, kind: 0 | 1 | 2 | 3): boolean {
    return ((this.#words[slot * WORDS + FLAGS] as number) & (IS_SHOWN << kind)) !== 0;
  }

  setShown(slot: number, kind: 0 | 1 | 2 | 3, isShown: boolean): void {
    const at = slot * WORDS + FLAGS;
    const flags = this.#words[at] as number;
    this.#words[at] = isShown ? flags | (IS_SHOWN << kind) : flags & ~(IS_SHOWN << kind);
  }

  /** The number of a list that belongs to the record, plus 1; 0 when it has none. */
  list(slot: number, which: 0 | 1): number {
    return this.#words[slot * WORDS + LISTS + which] as number;
  }

  setList(slot: number, which: 0 | 1, value: number): void {
    this.#words[slot * WORDS + LISTS + which] = value;
  }

  /** Whether one value is kept in the record itself. */
  hasFirst(slot: number, which: 0 | 1): boolean {
    return ((this.#words[slot * WORDS + FLAGS] as number) & (HAS_FIRST << which)) !== 0;
  }

  first(slot: number, which: 0 | 1): number {
    return this.#words[slot * WORDS + FIRST[which]] as number;
  }

  firstAt(slot: number, which: 0 | 1): number {
    return this.#words[slot * WORDS + FIRST_AT[which]] as number;
  }

  setFirst(slot: number, which: 0 | 1, value: number, now: number): void {
    const words = this.#words;
    const at = slot * WORDS;
    words[at + FLAGS] = (words[at + FLAGS] as number) | (HAS_FIRST << which);
    words[at + FIRST[which]] = value;
    words[at + FIRST_AT[which]] = now;
  }

  forgetFirst(slot: number, which: 0 | 1): void {
    const at = slot * WORDS;
    this.#words[at + FLAGS] = (this.#words[at + FLAGS] as number) & ~(HAS_FIRST << which);
  }
}

/** Mixes five words and a seed; the constants are those of MurmurHash3's finaliser. Never 0, which marks a free place. */
export function hash(seed: number, k0: number, k1: number, k2: number, k3: number, k4: number): number {
  let h = Math.imul(seed ^ k0, 0x85ebca6b);
  // IPv4 addresses need no further rounds: different words stay different.
  if ((k1 | k2 | k3 | k4) === 0) {
    h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
    h ^= h >>> 13;
    return h === 0 ? 1 : h;
  }
  h = Math.imul(h ^ (h >>> 15) ^ k1, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13) ^ k2, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ k3, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13) ^ k4, 0x85ebca6b);
  h ^= h >>> 16;
  return h === 0 ? 1 : h;
}
