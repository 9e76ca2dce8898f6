import { seedFor } from './detector.js';
import { Newcomers } from './newcomers.js';
import type { SharedCounts } from './shared-counts.js';
import { SharedRates } from './shared-rates.js';
import { SharedTouches } from './shared-touches.js';
import { LONGEST_MARK_MS, SourceRecords } from './source-records.js';
import { Touches, type TouchOptions } from './touches.js';
import type { Votes } from './votes.js';

/** What a source is reported for, apart from one another. */
export const MARK = { RATE: 0, SHORT: 1, LONG: 2, OTHER: 3 } as const;
export type Mark = (typeof MARK)[keyof typeof MARK];

export interface SourcesOptions {
  readonly name: string;
  readonly seed: number;
  /** Records for IPv4; each of the two tables for IPv6 has a quarter. A power of two. */
  readonly records: number;
  /** Length of the rate window. */
  readonly rateMs: number;
  /** Different values that are counted: none, one kind or two. */
  readonly touches: readonly (TouchOptions | null)[];
  /** What other workers counted; `null` when there are none. */
  readonly shared: SharedCounts | null;
}

/** One table of sources and what they touched. */
export class Side {
  readonly records: SourceRecords;
  readonly touches: readonly (Touches | null)[];
  readonly newcomers: Newcomers;
  /** The same counts over all workers. */
  readonly #sharedRates: SharedRates | null;
  readonly #sharedTouches: readonly (SharedTouches | null)[];
  /** Of the first kind of value, where its long window is another. */
  readonly #sharedLong: SharedTouches | null;
  /** The record of the source under way; -1 while its first packet is all that was seen of it. */
  slot = -1;
  /** Set by what counts a network: the lead of its front runner. */
  lead = 0;
  /** Set by `report`. */
  isNewHere = false;

  constructor(options: SourcesOptions, table: string, records: number) {
    const longest = Math.max(options.rateMs, ...options.touches.map((one) => one?.shortMs ?? 0));
    this.newcomers = new Newcomers(
      Math.max(64, records >> 3),
      seedFor(options.seed, options.name, `${table} new`),
      longest,
    );
    this.records = new SourceRecords({
      capacity: records,
      seed: seedFor(options.seed, options.name, table),
      keepMs: longest,
      rateMs: options.rateMs,
    });
    this.touches = options.touches.map((one, which) =>
      one === null ? null : new Touches(this.records, which === 0 ? 0 : 1, one),
    );
    const { shared, name, rateMs } = options;
    this.#sharedRates = shared && new SharedRates(shared, this.records, seedFor(0, name, `${table} rate`), rateMs);
    this.#sharedTouches = this.touches.map((touches, index) => {
      if (shared === null || touches === null) return null;
      const windowMs = (options.touches[index] as TouchOptions).shortMs;
      const limit = seedFor(0, name, `${table} touches ${index}`);
      return new SharedTouches(shared, this.records, touches, { kind: index === 0 ? 1 : 2, limit, windowMs });
    });
    const [first = null] = this.touches;
    const { shortMs = 0, longMs = 0 } = options.touches[0] ?? {};
    const limit = seedFor(0, name, `${table} long`);
    this.#sharedLong =
      shared === null || first === null || longMs === shortMs
        ? null
        : new SharedTouches(shared, this.records, first, { kind: 3, limit, windowMs: longMs });
    this.records.onTaken = (slot) => {
      this.#sharedRates?.drop(slot);
      for (const touches of this.#sharedTouches) touches?.drop(slot);
      this.#sharedLong?.drop(slot);
      for (const touches of this.touches) touches?.taken(slot);
    };
  }

  /** Turns to a source; whoever comes a second time gets a record, with what the first packet was. */
  enter(now: number, counted: boolean, value0: number, value1: number, k0: number, k1: number, k2: number, k3: number) {
    const { records, newcomers } = this;
    records.fresh = false;
    this.slot = records.use(now, k0, k1, k2, k3);
    if (this.slot >= 0) return;
    if (newcomers.seen(k0, k1, k2, k3)) this.#promote(now, k0, k1, k2, k3);
    else newcomers.add(now, counted, value0, value1, k0, k1, k2, k3);
  }

  /** The same without a packet, for a source that was seen; false when it was not. */
  enterKnown(now: number, k0: number, k1: number, k2: number, k3: number): boolean {
    this.slot = this.records.find(k0, k1, k2, k3);
    if (this.slot < 0 && this.newcomers.seen(k0, k1, k2, k3)) this.#promote(now, k0, k1, k2, k3);
    return this.slot >= 0;
  }

  /** Counts a packet, and gives the count of all workers together. */
  rate(now: number, limit: number): number {
    const count = this.records.add(this.slot, now);
    return this.#sharedRates === null ? count : this.#sharedRates.count(this.slot, count, limit, now);
  }

  /** The same for a network; with its front runner's lead. */
  rateOfNet(now: number, limit: number, votes: Votes, low2: number, low3: number): number {
    const { slot } = this;
    const count = this.records.add(slot, now);
    this.lead = votes.vote(slot, low2, low3, limit, count === 1);
    if (this.#sharedRates === null) return count;
    const { lead } = this;
    const sum = this.#sharedRates.count(slot, count, limit, now, lead, votes.front2(slot), votes.front3(slot));
    this.lead = this.#sharedRates.lead;
    return sum;
  }

  /** Notes a value, and gives how many different ones all workers had within the short window. */
  touch(which: 0 | 1, value: number, now: number, most: number): number {
    const touches = this.touches[which] as Touches;
    touches.add(this.slot, value, now);
    const { short } = touches;
    const count = this.#sharedTouches[which]?.count(this.slot, short, value, most, now) ?? short;
    // Then nobody asks for the long window, and what is shown of it would lack this value.
    if (count > most && which === 0) this.#sharedLong?.drop(this.slot);
    return count;
  }

  /** After `touch` of the first kind of value: the same within the long window. */
  touchedLong(value: number, now: number, most: number): number {
    const { long } = this.touches[0] as Touches;
    return this.#sharedLong?.count(this.slot, long, value, most, now) ?? long;
  }

  touchOfNet(which: 0 | 1, value: number, now: number, most: number, votes: Votes, low2: number, low3: number): number {
    const touches = this.touches[which] as Touches;
    const { slot } = this;
    touches.add(slot, value, now);
    this.lead = votes.vote(slot, low2, low3, most, touches.short === 1);
    const shared = this.#sharedTouches[which] ?? null;
    if (shared === null) return touches.short;
    const sum = shared.count(slot, touches.short, value, most, now, this.lead, votes.front2(slot), votes.front3(slot));
    this.lead = shared.lead;
    return sum;
  }

  takeBack(): void {
    this.records.takeBack(this.slot);
    this.#sharedRates?.refresh(this.slot);
  }

  untouch(which: 0 | 1, value: number): boolean {
    const was = this.touches[which]?.remove(this.slot, value) ?? false;
    this.#sharedTouches[which]?.refresh(this.slot);
    if (which === 0) this.#sharedLong?.refresh(this.slot);
    return was;
  }

  resetRate(now: number): void {
    this.records.resetRate(this.slot, now);
    this.#sharedRates?.drop(this.slot);
  }

  forget(which: 0 | 1): void {
    this.touches[which]?.clear(this.slot);
    this.#sharedTouches[which]?.drop(this.slot);
    if (which === 0) this.#sharedLong?.drop(this.slot);
  }

  /**
   * Notes that the source counts as reported.
   * @returns for how much longer it had counted as reported, ms; 0 = nobody had reported it. `isNewHere`: whether
   *   this worker did not know so far
   */
  report(mark: Mark, now: number, banMs: number): number {
    const { records, slot } = this;
    const own = records.markedFor(slot, mark, now);
    this.isNewHere = own === 0;
    if (!this.isNewHere) return own;
    const shared = this.#sharedOf(mark);
    const left = shared?.markedFor(slot, now) ?? 0;
    records.mark(slot, mark, now, left > 0 ? left : banMs);
    if (left === 0) shared?.mark(slot, (now + Math.min(banMs, LONGEST_MARK_MS)) | 0);
    return left;
  }

  #sharedOf(mark: Mark): SharedRates | SharedTouches | null {
    if (mark === MARK.RATE) return this.#sharedRates;
    if (mark === MARK.SHORT) return this.#sharedTouches[0] ?? null;
    if (mark === MARK.LONG) return this.#sharedLong;
    return mark === MARK.OTHER ? (this.#sharedTouches[1] ?? null) : null;
  }

  #promote(now: number, k0: number, k1: number, k2: number, k3: number): void {
    const { at, counted, value0, value1 } = this.newcomers;
    this.slot = this.records.take(now, k0, k1, k2, k3);
    this.records.resetRate(this.slot, at);
    if (counted) this.records.add(this.slot, at);
    if (this.touches[0] != null) this.records.setFirst(this.slot, 0, value0, at);
    if (this.touches[1] != null) this.records.setFirst(this.slot, 1, value1, at);
  }
}
