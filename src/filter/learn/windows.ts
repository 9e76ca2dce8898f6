/**
 * What is counted per slot while learning. Both count over at least the window
 * and over at most a part more, so that no figure is smaller than what a detector
 * would have counted for that the time was cut.
 */
export interface WindowCounter {
  reset(slot: number, now: number): void;
  /** Counts, and gives what lies in the window. @param value what is counted once each; not used for rates */
  add(slot: number, now: number, value: number, times: number): number;
}

const PARTS = 9;
const RATE_WORDS = 12;
const SUM = 9;
const CURRENT = 10;

/** Events; the part under way and the eight before it, each an eighth of the window. */
export class EventWindows implements WindowCounter {
  readonly #width: number;
  readonly #words: Uint32Array;
  readonly #began: Float64Array;

  constructor(slots: number, windowMs: number) {
    this.#width = windowMs / (PARTS - 1);
    this.#words = new Uint32Array(slots * RATE_WORDS);
    this.#began = new Float64Array(slots);
  }

  reset(slot: number, now: number): void {
    this.#words.fill(0, slot * RATE_WORDS, slot * RATE_WORDS + RATE_WORDS);
    this.#began[slot] = now;
  }

  add(slot: number, now: number, _value: number, times: number): number {
    const words = this.#words;
    const at = slot * RATE_WORDS;
    const parts = Math.floor((now - (this.#began[slot] as number)) / this.#width);
    if (parts >= PARTS) this.reset(slot, now);
    else if (parts > 0) {
      this.#began[slot] = (this.#began[slot] as number) + parts * this.#width;
      for (let i = 0; i < parts; i++) {
        const next = ((words[at + CURRENT] as number) + 1) % PARTS;
        words[at + CURRENT] = next;
        words[at + SUM] = (words[at + SUM] as number) - (words[at + next] as number);
        words[at + next] = 0;
      }
    }
    const part = at + (words[at + CURRENT] as number);
    words[part] = (words[part] as number) + times;
    const sum = (words[at + SUM] as number) + times;
    words[at + SUM] = sum;
    return sum;
  }
}

/** Bits a slot and part; with 1024, up to a hundred different values are told within 2 or so, a thousand within 4 %. */
const BITS = 1024;
const BIT_WORDS = BITS / 32;
const HALVES = 3;

/**
 * Different values, about: a bitmap for the half of the window under way and one
 * for each of the two before, joined and corrected for values that share a bit
 * (linear counting, Whang et al. 1990).
 */
export class DistinctWindows implements WindowCounter {
  readonly #half: number;
  readonly #seed: number;
  readonly #bits: Uint32Array;
  readonly #began: Float64Array;
  readonly #current: Uint8Array;
  /** Bits set in any of the halves. */
  readonly #set: Uint16Array;

  constructor(slots: number, windowMs: number, seed: number) {
    this.#half = windowMs / 2;
    this.#seed = seed;
    this.#bits = new Uint32Array(slots * HALVES * BIT_WORDS);
    this.#began = new Float64Array(slots);
    this.#current = new Uint8Array(slots);
    this.#set = new Uint16Array(slots);
  }

  reset(slot: number, now: number): void {
    if (this.#set[slot] !== 0) {
      const from = slot * HALVES * BIT_WORDS;
      this.#bits.fill(0, from, from + HALVES * BIT_WORDS);
    }
    this.#began[slot] = now;
    this.#current[slot] = 0;
    this.#set[slot] = 0;
  }

  add(slot: number, now: number, value: number): number {
    const halves = Math.floor((now - (this.#began[slot] as number)) / this.#half);
    if (halves >= HALVES) this.reset(slot, now);
    else for (let i = 0; i < halves; i++) this.#next(slot);
    let h = Math.imul(value ^ this.#seed, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    h ^= h >>> 16;
    const bits = this.#bits;
    const place = slot * HALVES * BIT_WORDS + ((h >>> 5) & (BIT_WORDS - 1));
    const bit = 1 << (h & 31);
    const any = (bits[place] as number) | (bits[place + BIT_WORDS] as number) | (bits[place + 2 * BIT_WORDS] as number);
    if ((any & bit) === 0) this.#set[slot] = (this.#set[slot] as number) + 1;
    const mine = place + (this.#current[slot] as number) * BIT_WORDS;
    bits[mine] = (bits[mine] as number) | bit;
    return COUNTS[this.#set[slot] as number] as number;
  }

  #next(slot: number): void {
    this.#began[slot] = (this.#began[slot] as number) + this.#half;
    const current = ((this.#current[slot] as number) + 1) % HALVES;
    this.#current[slot] = current;
    const first = slot * HALVES * BIT_WORDS;
    const bits = this.#bits;
    bits.fill(0, first + current * BIT_WORDS, first + (current + 1) * BIT_WORDS);
    let set = 0;
    for (let i = first; i < first + BIT_WORDS; i++) {
      set += ones((bits[i] as number) | (bits[i + BIT_WORDS] as number) | (bits[i + 2 * BIT_WORDS] as number));
    }
    this.#set[slot] = set;
  }
}

/** How many different values set so many bits. */
const COUNTS = Uint32Array.from({ length: BITS + 1 }, (_, set) =>
  Math.round(-BITS * Math.log(Math.max(1, BITS - set) / BITS)),
);

function ones(word: number): number {
  let w = word - ((word >>> 1) & 0x55555555);
  w = (w & 0x33333333) + ((w >>> 2) & 0x33333333);
  return Math.imul((w + (w >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
