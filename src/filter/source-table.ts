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

export class SourceTable {
  readonly capacity: number;
  /** Slots taken from a source that was still within its window: counts that were lost. */
  evictions = 0;
  /** Whether the slot returned last belonged to someone else before. */
  fresh = false;
  readonly #mask: number;
  readonly #seed: number;
  readonly #keepMs: number;
  readonly #k0: Int32Array;
  readonly #k1: Int32Array;
  readonly #k2: Int32Array;
  readonly #k3: Int32Array;
  /** Milliseconds of the last packet plus 1; 0 = free, so that untouched memory stays unmapped. */
  readonly #seen: Float64Array;

  /**
   * @param capacity slots, a power of two
   * @param keepMs how long an idle source still matters; taking its slot earlier counts as an eviction
   */
  constructor(capacity: number, keepMs: number, seed: number) {
    if (capacity < PROBE || (capacity & (capacity - 1)) !== 0) throw new RangeError('capacity must be a power of two');
    this.capacity = capacity;
    this.#mask = capacity - 1;
    this.#seed = seed | 0;
    this.#keepMs = keepMs;
    this.#k0 = new Int32Array(capacity);
    this.#k1 = new Int32Array(capacity);
    this.#k2 = new Int32Array(capacity);
    this.#k3 = new Int32Array(capacity);
    this.#seen = new Float64Array(capacity);
  }

  /**
   * The slot of a source, taken if it had none.
   * @param now whole milliseconds that never go back
   */
  slot(k0: number, k1: number, k2: number, k3: number, now: number): number {
    const home = hash(this.#seed, k0, k1, k2, k3);
    const seen = this.#seen;
    let oldest = -1;
    let oldestSeen = Number.POSITIVE_INFINITY;
    for (let probe = 0; probe < PROBE; probe++) {
      const slot = (home + probe) & this.#mask;
      const last = seen[slot] as number;
      if (
        last !== 0 &&
        this.#k0[slot] === k0 &&
        this.#k1[slot] === k1 &&
        this.#k2[slot] === k2 &&
        this.#k3[slot] === k3
      ) {
        seen[slot] = now + 1;
        this.fresh = false;
        return slot;
      }
      if (last < oldestSeen) {
        oldestSeen = last;
        oldest = slot;
      }
    }
    if (oldestSeen !== 0 && now + 1 - oldestSeen < this.#keepMs) this.evictions += 1;
    this.#k0[oldest] = k0;
    this.#k1[oldest] = k1;
    this.#k2[oldest] = k2;
    this.#k3[oldest] = k3;
    seen[oldest] = now + 1;
    this.fresh = true;
    return oldest;
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
