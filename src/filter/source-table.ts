/**
 * A table of sources in memory of fixed size. A source hashes, with a seed drawn
 * at start so that nobody can aim at one place, to a window of `PROBE` slots; if
 * it is in none of them it takes the free or the longest idle one. A flood of
 * forged sources therefore costs evictions, never memory.
 *
 * A table only finds slots. What is counted per slot lies in flat arrays of the
 * same capacity beside it, and is reset when `fresh` says that the slot changed
 * hands.
 */
const PROBE = 8;
/** One record: four key words, then two 64-bit floats. Records lie together because a random source finds none of it in the cache. */
const WORDS = 8;
const FLOATS = 4;
const SEEN = 2;
const MARK = 3;

export class SourceTable {
  /** Slots taken from a source that was still within its window: counts that were lost. */
  evictions = 0;
  /** Whether the slot returned last belonged to someone else before. */
  fresh = false;
  readonly #mask: number;
  readonly #seed: number;
  readonly #keepMs: number;
  readonly #words: Int32Array;
  /** The same memory: at SEEN the milliseconds of the last packet plus 1, 0 = free (so that untouched memory stays unmapped). */
  readonly #floats: Float64Array;

  /**
   * @param capacity slots, a power of two
   * @param keepMs how long an idle source still matters; taking its slot earlier counts as an eviction
   */
  constructor(capacity: number, keepMs: number, seed: number) {
    if (capacity < PROBE || (capacity & (capacity - 1)) !== 0) throw new RangeError('capacity must be a power of two');
    this.#mask = capacity - 1;
    this.#seed = seed | 0;
    this.#keepMs = keepMs;
    this.#words = new Int32Array(capacity * WORDS);
    this.#floats = new Float64Array(this.#words.buffer);
  }

  /**
   * The slot of a source, taken if it had none.
   * @param now whole milliseconds that never go back
   */
  slot(k0: number, k1: number, k2: number, k3: number, now: number): number {
    const words = this.#words;
    const floats = this.#floats;
    const mask = this.#mask;
    const home = hash(this.#seed, k0, k1, k2, k3);
    let oldest = -1;
    let oldestSeen = Number.POSITIVE_INFINITY;
    for (let probe = 0; probe < PROBE; probe++) {
      const slot = (home + probe) & mask;
      const at = slot * WORDS;
      const last = floats[slot * FLOATS + SEEN] as number;
      if (words[at] === k0 && words[at + 1] === k1 && words[at + 2] === k2 && words[at + 3] === k3 && last !== 0) {
        floats[slot * FLOATS + SEEN] = now + 1;
        this.fresh = false;
        return slot;
      }
      if (last < oldestSeen) {
        oldestSeen = last;
        oldest = slot;
        // Nothing is ever taken out, so behind a free slot there is nobody.
        if (last === 0) break;
      }
    }
    if (oldestSeen !== 0 && now + 1 - oldestSeen < this.#keepMs) this.evictions += 1;
    const at = oldest * WORDS;
    words[at] = k0;
    words[at + 1] = k1;
    words[at + 2] = k2;
    words[at + 3] = k3;
    floats[oldest * FLOATS + SEEN] = now + 1;
    floats[oldest * FLOATS + MARK] = 0;
    this.fresh = true;
    return oldest;
  }

  /** A number kept with the source, 0 when the slot changes hands. */
  mark(slot: number): number {
    return this.#floats[slot * FLOATS + MARK] as number;
  }

  setMark(slot: number, value: number): void {
    this.#floats[slot * FLOATS + MARK] = value;
  }
}

/** Mixes four words and a seed; the constants are those of MurmurHash3's finaliser. */
function hash(seed: number, k0: number, k1: number, k2: number, k3: number): number {
  let h = Math.imul(seed ^ k0, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ k1, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13) ^ k2, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ k3, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
