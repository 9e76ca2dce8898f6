import { formatWords } from '../../net/address.js';

const PROBE = 8;
/** Four words of an address, then the family in the upper half and a port (or 0) in the lower. */
const WORDS = 5;

/**
 * Finds slots for sources or services in memory of fixed size. A visit is the
 * time in which one of them does something with no pause longer than `idleMs`;
 * the end of each is told, also when its slot is taken by another.
 */
export class VisitTable {
  /** Visits whose slot was taken before they had ended. */
  cut = 0;
  /** Whether the slot returned last begins a visit. */
  fresh = false;
  readonly slots: number;
  readonly #mask: number;
  readonly #seed: number;
  readonly #idleMs: number;
  readonly #words: Int32Array;
  /** Milliseconds of the last packet; -Infinity = free. */
  readonly #seen: Float64Array;
  readonly #ended: (slot: number) => void;

  /** @param slots a power of two */
  constructor(slots: number, idleMs: number, seed: number, ended: (slot: number) => void) {
    this.slots = slots;
    this.#mask = slots - 1;
    this.#seed = seed | 0;
    this.#idleMs = idleMs;
    this.#words = new Int32Array(slots * WORDS);
    this.#seen = new Float64Array(slots).fill(Number.NEGATIVE_INFINITY);
    this.#ended = ended;
  }

  slot(k0: number, k1: number, k2: number, k3: number, tag: number, now: number): number {
    const words = this.#words;
    const seen = this.#seen;
    const home = mixKey(this.#seed, k0, k1, k2, k3, tag);
    let oldest = -1;
    let oldestSeen = Number.POSITIVE_INFINITY;
    for (let probe = 0; probe < PROBE; probe++) {
      const slot = (home + probe) & this.#mask;
      const at = slot * WORDS;
      const last = seen[slot] as number;
      if (last < oldestSeen) {
        oldestSeen = last;
        oldest = slot;
      }
      if (last === Number.NEGATIVE_INFINITY) break;
      if (
        words[at] === k0 &&
        words[at + 1] === k1 &&
        words[at + 2] === k2 &&
        words[at + 3] === k3 &&
        words[at + 4] === tag
      ) {
        this.fresh = now - last > this.#idleMs;
        if (this.fresh) this.#ended(slot);
        seen[slot] = now;
        return slot;
      }
    }
    if (oldestSeen !== Number.NEGATIVE_INFINITY) {
      if (now - oldestSeen <= this.#idleMs) this.cut += 1;
      this.#ended(oldest);
    }
    const at = oldest * WORDS;
    words[at] = k0;
    words[at + 1] = k1;
    words[at + 2] = k2;
    words[at + 3] = k3;
    words[at + 4] = tag;
    seen[oldest] = now;
    this.fresh = true;
    return oldest;
  }

  isUsed(slot: number): boolean {
    return this.#seen[slot] !== Number.NEGATIVE_INFINITY;
  }

  word(slot: number, index: number): number {
    return this.#words[slot * WORDS + index] as number;
  }

  seen(slot: number): number {
    return this.#seen[slot] as number;
  }
}

export function mixKey(seed: number, k0: number, k1: number, k2: number, k3: number, tag: number): number {
  let h = Math.imul(seed ^ k0, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ k1, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13) ^ k2, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ k3, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13) ^ tag, 0x85ebca6b);
  return h ^ (h >>> 16);
}

/** A source as people read it: an address, or the /64 of IPv6; with a port, a service. */
export function nameOf(w0: number, w1: number, w2: number, w3: number, tag: number): string {
  const port = tag & 0xffff;
  if (tag >>> 16 === 4) return `${formatWords({ family: 4, w0, w1: 0, w2: 0, w3: 0 })}${port === 0 ? '' : `:${port}`}`;
  const text = formatWords({ family: 6, w0, w1, w2, w3 });
  return port === 0 ? `${text}/64` : `[${text}]:${port}`;
}
