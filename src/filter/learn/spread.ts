import { type Distribution, Histogram, mergeDistributions, NOTHING_COUNTED } from './histogram.js';
import { nameOf, type VisitTable } from './visit-table.js';
import type { WindowCounter } from './windows.js';

/** Who did most, for each figure. */
const LARGEST = 5;
const WORDS = 5;

export interface Peak {
  readonly who: string;
  readonly value: number;
  /** Milliseconds, on the clock of the packets. */
  readonly at: number;
}

/** A distribution and the few that did most. */
export interface Spread extends Distribution {
  readonly top: readonly Peak[];
}

export const NO_SPREAD: Spread = { ...NOTHING_COUNTED, top: [] };

export function mergeSpreads(parts: readonly Spread[]): Spread {
  const best = new Map<string, Peak>();
  for (const peak of parts.flatMap(({ top }) => top)) {
    if (peak.value > (best.get(peak.who)?.value ?? -1)) best.set(peak.who, peak);
  }
  const top = [...best.values()].sort((a, b) => b.value - a.value).slice(0, LARGEST);
  return { ...mergeDistributions(parts), top };
}

/** Collects a distribution and its largest in fixed memory. */
export class SpreadCount {
  readonly #histogram = new Histogram();
  readonly #values = new Float64Array(LARGEST);
  readonly #times = new Float64Array(LARGEST);
  readonly #words = new Int32Array(LARGEST * WORDS);
  #least = 0;

  add(value: number, w0: number, w1: number, w2: number, w3: number, tag: number, at: number): void {
    this.#histogram.add(value);
    if (value > this.#least) this.#keep(value, w0, w1, w2, w3, tag, at);
  }

  /** In place of its own smaller figure, else of the smallest. */
  #keep(value: number, w0: number, w1: number, w2: number, w3: number, tag: number, at: number): void {
    const words = this.#words;
    const values = this.#values;
    let place = 0;
    for (let i = 0; i < LARGEST; i++) {
      const k = i * WORDS;
      if (
        (values[i] as number) > 0 &&
        words[k] === w0 &&
        words[k + 1] === w1 &&
        words[k + 2] === w2 &&
        words[k + 3] === w3 &&
        words[k + 4] === tag
      ) {
        if ((values[i] as number) >= value) return;
        place = i;
        break;
      }
      if ((values[i] as number) < (values[place] as number)) place = i;
    }
    values[place] = value;
    this.#times[place] = at;
    words[place * WORDS] = w0;
    words[place * WORDS + 1] = w1;
    words[place * WORDS + 2] = w2;
    words[place * WORDS + 3] = w3;
    words[place * WORDS + 4] = tag;
    let least = values[0] as number;
    for (let i = 1; i < LARGEST; i++) least = Math.min(least, values[i] as number);
    this.#least = least;
  }

  export(): Spread {
    const top: Peak[] = [];
    for (let i = 0; i < LARGEST; i++) {
      const value = this.#values[i] as number;
      const word = (index: number) => this.#words[i * WORDS + index] as number;
      if (value > 0)
        top.push({ who: nameOf(word(0), word(1), word(2), word(3), word(4)), value, at: this.#times[i] as number });
    }
    top.sort((a, b) => b.value - a.value);
    return { ...this.#histogram.export(), top };
  }
}

/** The highest count of each visit, apart for those who are clients and those who never completed a connection. */
export class VisitPeaks {
  readonly #table: VisitTable;
  readonly #counter: WindowCounter;
  readonly #peaks: Uint32Array;
  readonly #peakAt: Float64Array;
  readonly #isClient: (table: VisitTable, slot: number) => boolean;
  readonly #clients = new SpreadCount();
  readonly #strangers = new SpreadCount();

  constructor(options: {
    /** Makes the table, which tells of the end of visits. */
    table: (ended: (slot: number) => void) => VisitTable;
    counter: (slots: number) => WindowCounter;
    isClient: (table: VisitTable, slot: number) => boolean;
  }) {
    this.#table = options.table((slot) => this.#end(slot, this.#clients, this.#strangers));
    this.#counter = options.counter(this.#table.slots);
    this.#peaks = new Uint32Array(this.#table.slots);
    this.#peakAt = new Float64Array(this.#table.slots);
    this.#isClient = options.isClient;
  }

  get cut(): number {
    return this.#table.cut;
  }

  add(k0: number, k1: number, k2: number, k3: number, tag: number, now: number, value: number, times: number): void {
    const slot = this.#table.slot(k0, k1, k2, k3, tag, now);
    if (this.#table.fresh) {
      this.#counter.reset(slot, now);
      this.#peaks[slot] = 0;
    }
    const count = this.#counter.add(slot, now, value, times);
    if (count > (this.#peaks[slot] as number)) {
      this.#peaks[slot] = count;
      this.#peakAt[slot] = now;
    }
  }

  #end(slot: number, clients: SpreadCount, strangers: SpreadCount): void {
    const table = this.#table;
    const into = this.#isClient(table, slot) ? clients : strangers;
    const peak = this.#peaks[slot] as number;
    const at = this.#peakAt[slot] as number;
    const tag = table.word(slot, 4);
    into.add(peak, table.word(slot, 0), table.word(slot, 1), table.word(slot, 2), table.word(slot, 3), tag, at);
  }

  /** What is known, visits that still go on included. */
  export(): { readonly clients: Spread; readonly strangers: Spread } {
    const clients = new SpreadCount();
    const strangers = new SpreadCount();
    for (let slot = 0; slot < this.#table.slots; slot++) {
      if (this.#table.isUsed(slot)) this.#end(slot, clients, strangers);
    }
    return {
      clients: mergeSpreads([this.#clients.export(), clients.export()]),
      strangers: mergeSpreads([this.#strangers.export(), strangers.export()]),
    };
  }
}
