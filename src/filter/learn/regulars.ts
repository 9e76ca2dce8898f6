import { mixKey, nameOf } from './visit-table.js';

const PROBE = 8;
const WORDS = 5;
/** What comes within this time belongs to one occasion, ms. */
const ONE_OCCASION = 1000;
/** Most that a report names. */
const NAMED = 100;
/** Fewer occasions are nobody's habit. */
const LEAST_OCCASIONS = 5;

/** A source that came again and again. */
export interface Regular {
  readonly who: string;
  readonly first: number;
  readonly last: number;
  readonly occasions: number;
  /** Between occasions, ms: mean and standard deviation. */
  readonly every: number;
  readonly spread: number;
  readonly attempts: number;
  readonly completed: number;
  readonly failed: number;
  readonly pings: number;
  /** Different services, about; 32 and more are told as 32. */
  readonly services: number;
}

export function mergeRegulars(lists: readonly (readonly Regular[])[]): Regular[] {
  const merged = new Map<string, Regular>();
  for (const regular of lists.flat()) {
    const other = merged.get(regular.who);
    if (other === undefined) {
      merged.set(regular.who, regular);
      continue;
    }
    const more = regular.occasions > other.occasions ? regular : other;
    merged.set(regular.who, {
      who: regular.who,
      first: Math.min(regular.first, other.first),
      last: Math.max(regular.last, other.last),
      occasions: regular.occasions + other.occasions,
      every: more.every,
      spread: more.spread,
      attempts: regular.attempts + other.attempts,
      completed: regular.completed + other.completed,
      failed: regular.failed + other.failed,
      pings: regular.pings + other.pings,
      services: Math.max(regular.services, other.services),
    });
  }
  return mostOften([...merged.values()]);
}

function mostOften(list: Regular[]): Regular[] {
  return list.sort((a, b) => b.occasions - a.occasions).slice(0, NAMED);
}

/**
 * Who comes regularly, in memory of fixed size. Of the sources that share a
 * place, the one with the fewest occasions gives way, so that a flood of sources
 * which come once cannot push out those who keep coming.
 */
export class Regulars {
  readonly #mask: number;
  readonly #seed: number;
  readonly #words: Int32Array;
  readonly #first: Float64Array;
  readonly #last: Float64Array;
  readonly #began: Float64Array;
  readonly #mean: Float64Array;
  readonly #squares: Float64Array;
  readonly #occasions: Uint32Array;
  readonly #attempts: Uint32Array;
  readonly #completed: Uint32Array;
  readonly #failed: Uint32Array;
  readonly #pings: Uint32Array;
  readonly #services: Int32Array;

  /** @param slots a power of two */
  constructor(slots: number, seed: number) {
    this.#mask = slots - 1;
    this.#seed = seed;
    this.#words = new Int32Array(slots * WORDS);
    this.#first = new Float64Array(slots);
    this.#last = new Float64Array(slots);
    this.#began = new Float64Array(slots);
    this.#mean = new Float64Array(slots);
    this.#squares = new Float64Array(slots);
    this.#occasions = new Uint32Array(slots);
    this.#attempts = new Uint32Array(slots);
    this.#completed = new Uint32Array(slots);
    this.#failed = new Uint32Array(slots);
    this.#pings = new Uint32Array(slots);
    this.#services = new Int32Array(slots);
  }

  /** An attempt to connect, or an echo request. @param service a number that differs by target and port */
  came(k0: number, k1: number, tag: number, now: number, service: number, ping: boolean): void {
    const slot = this.#slot(k0, k1, tag, true);
    this.#occasion(slot, now);
    const counts = ping ? this.#pings : this.#attempts;
    counts[slot] = (counts[slot] as number) + 1;
    const h = Math.imul(service ^ this.#seed, 0x85ebca6b);
    this.#services[slot] = (this.#services[slot] as number) | (1 << ((h ^ (h >>> 15)) & 31));
  }

  completed(k0: number, k1: number, tag: number): void {
    const slot = this.#slot(k0, k1, tag, false);
    if (slot >= 0) this.#completed[slot] = (this.#completed[slot] as number) + 1;
  }

  failed(k0: number, k1: number, tag: number): void {
    const slot = this.#slot(k0, k1, tag, false);
    if (slot >= 0) this.#failed[slot] = (this.#failed[slot] as number) + 1;
  }

  /** Those that came most often. */
  export(): Regular[] {
    const found: Regular[] = [];
    for (let slot = 0; slot <= this.#mask; slot++) {
      const occasions = this.#occasions[slot] as number;
      if (occasions < LEAST_OCCASIONS) continue;
      const at = slot * WORDS;
      const word = (index: number) => this.#words[at + index] as number;
      const set = this.#services[slot] as number;
      let bits = 0;
      for (let i = 0; i < 32; i++) bits += (set >>> i) & 1;
      found.push({
        who: nameOf(word(0), word(1), 0, 0, word(4)),
        first: this.#first[slot] as number,
        last: this.#last[slot] as number,
        occasions,
        every: this.#mean[slot] as number,
        spread: Math.sqrt((this.#squares[slot] as number) / (occasions - 1)),
        attempts: this.#attempts[slot] as number,
        completed: this.#completed[slot] as number,
        failed: this.#failed[slot] as number,
        pings: this.#pings[slot] as number,
        services: bits === 32 ? 32 : Math.round(-32 * Math.log((32 - bits) / 32)),
      });
    }
    return mostOften(found);
  }

  /** Mean and variance of the time between occasions, as they come (Welford 1962). */
  #occasion(slot: number, now: number): void {
    const occasions = this.#occasions[slot] as number;
    if (occasions === 0) this.#first[slot] = now;
    const since = now - (this.#began[slot] as number);
    this.#last[slot] = now;
    if (occasions > 0 && since < ONE_OCCASION) return;
    this.#occasions[slot] = occasions + 1;
    this.#began[slot] = now;
    if (occasions === 0) return;
    const off = since - (this.#mean[slot] as number);
    const mean = (this.#mean[slot] as number) + off / occasions;
    this.#mean[slot] = mean;
    this.#squares[slot] = (this.#squares[slot] as number) + off * (since - mean);
  }

  #slot(k0: number, k1: number, tag: number, take: boolean): number {
    const words = this.#words;
    const home = mixKey(this.#seed, k0, k1, 0, 0, tag);
    let least = -1;
    for (let probe = 0; probe < PROBE; probe++) {
      const slot = (home + probe) & this.#mask;
      const at = slot * WORDS;
      if (words[at] === k0 && words[at + 1] === k1 && words[at + 4] === tag) return slot;
      if (least < 0 || (this.#occasions[slot] as number) < (this.#occasions[least] as number)) least = slot;
    }
    if (!take) return -1;
    const at = least * WORDS;
    words[at] = k0;
    words[at + 1] = k1;
    words[at + 4] = tag;
    this.#occasions[least] = 0;
    this.#attempts[least] = 0;
    this.#completed[least] = 0;
    this.#failed[least] = 0;
    this.#pings[least] = 0;
    this.#services[least] = 0;
    this.#mean[least] = 0;
    this.#squares[least] = 0;
    return least;
  }
}
