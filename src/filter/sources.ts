import { type Endpoints, seedFor } from './detector.js';
import { Newcomers } from './newcomers.js';
import { SourceRecords } from './source-records.js';
import { Touches, type TouchOptions } from './touches.js';

/** What a count says of its limit; `OVER_FOR_LONG`: it was reported more than `REPORTED_MS` ago. */
export const LEVEL = { BELOW: 0, OVER: 1, OVER_AND_NEW: 2, OVER_FOR_LONG: 3 } as const;
export type Level = (typeof LEVEL)[keyof typeof LEVEL];

/** So long after its report a source is banned, or somebody decided that it is not. */
const REPORTED_MS = 1000;

/** What a source is reported for, apart from one another. */
export const MARK = { RATE: 0, SHORT: 1, LONG: 2, OTHER: 3 } as const;
type Mark = (typeof MARK)[keyof typeof MARK];

export interface SourcesOptions {
  readonly name: string;
  readonly seed: number;
  /** Records for IPv4; each of the two tables for IPv6 has a quarter. A power of two. */
  readonly records: number;
  /** Length of the rate window. */
  readonly rateMs: number;
  /** Different values that are counted: none, one kind or two. */
  readonly touches: readonly (TouchOptions | null)[];
}

/** One table of sources and what they touched. */
class Side {
  readonly records: SourceRecords;
  readonly touches: readonly (Touches | null)[];
  readonly newcomers: Newcomers;
  /** The record of the source under way; -1 while its first packet is all that was seen of it. */
  slot = -1;

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
    this.records.onTaken = (slot) => {
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

  #promote(now: number, k0: number, k1: number, k2: number, k3: number): void {
    const { at, counted, value0, value1 } = this.newcomers;
    this.slot = this.records.take(now, k0, k1, k2, k3);
    this.records.resetRate(this.slot, at);
    if (counted) this.records.add(this.slot, at);
    if (this.touches[0] != null) this.records.setFirst(this.slot, 0, value0, at);
    if (this.touches[1] != null) this.records.setFirst(this.slot, 1, value1, at);
  }
}

/** The front runner of each /64 among those that touched something, see `SourceRecords.vote`. */
class Votes {
  readonly #words: Int32Array;

  constructor(slots: number) {
    this.#words = new Int32Array(slots * 3);
  }

  vote(slot: number, low2: number, low3: number, most: number, restart: boolean): number {
    const words = this.#words;
    const at = slot * 3;
    let lead = restart ? 0 : (words[at] as number);
    if (lead === 0) {
      words[at + 1] = low2;
      words[at + 2] = low3;
      lead = 1;
    } else if (words[at + 1] === low2 && words[at + 2] === low3) {
      if (lead < most) lead += 1;
    } else lead -= 1;
    words[at] = lead;
    return lead;
  }

  clear(slot: number): void {
    this.#words[slot * 3] = 0;
  }
}

/**
 * Counts per source, where a source is an IPv4 address, an IPv6 address, or an
 * IPv6 /64 whose addresses share the work.
 *
 * Whoever holds one IPv6 address holds its /64, so the /64 is counted as well as
 * the address. The narrower is named first: a packet that puts its own address
 * over the limit is not counted against the /64, and the /64 is over only when no
 * single address of it sent most of the packets (a majority vote, whose winner is
 * not forgiven but left to its own count). One attacker beside innocent neighbours
 * is thus reported as a /128, and one who changes addresses as a /64.
 */
export class Sources {
  /** Set by what was asked last: the number counted, and whether the /64 was what went over. */
  found = 0;
  wholeNet = false;
  /** Of `touch`: age of the oldest value within the window, ms. */
  oldest = 0;

  readonly #v4: Side;
  readonly #v6: Side;
  readonly #net: Side;
  readonly #votes: readonly Votes[];
  /** The side of the packet under way. */
  #own: Side;
  #is6 = false;
  #low2 = 0;
  #low3 = 0;
  #now = 0;

  constructor(options: SourcesOptions) {
    const quarter = options.records >> 2;
    this.#v4 = new Side(options, 'v4', options.records);
    this.#v6 = new Side(options, 'v6', quarter);
    this.#net = new Side(options, 'net', quarter);
    this.#own = this.#v4;
    this.#votes = options.touches.map(() => new Votes(quarter));
  }

  get evictions(): number {
    let sum = 0;
    for (const { records, newcomers } of [this.#v4, this.#v6, this.#net])
      sum += records.evictions + newcomers.evictions;
    return sum;
  }

  /**
   * Turns to the source of a packet; what follows is about it.
   * @param now milliseconds in 32 bits
   * @param counted whether `rate` will be asked
   * @param value0 what `touch` will be given for the first kind of value, and for the second
   */
  enter(packet: Endpoints, now: number, counted: boolean, value0 = 0, value1 = 0): void {
    this.#now = now;
    const { source0, source1, source2, source3 } = packet;
    if (packet.family === 4) {
      this.#is6 = false;
      this.#own = this.#v4;
      this.#v4.enter(now, counted, value0, value1, source0, 0, 0, 0);
      return;
    }
    this.#is6 = true;
    this.#own = this.#v6;
    this.#low2 = source2;
    this.#low3 = source3;
    this.#v6.enter(now, counted, value0, value1, source0, source1, source2, source3);
    const net = this.#net;
    net.enter(now, counted, value0, value1, source0, source1, 0, 0);
    if (net.records.fresh && net.slot >= 0) {
      net.records.clearVote(net.slot);
      for (const votes of this.#votes) votes.clear(net.slot);
    }
  }

  /** The same for a source that is known; false when it is not. */
  enterKnown(of: Endpoints, now: number): boolean {
    this.#now = now;
    const { source0, source1, source2, source3 } = of;
    this.#is6 = of.family !== 4;
    this.#own = this.#is6 ? this.#v6 : this.#v4;
    if (!this.#is6) return this.#v4.enterKnown(now, source0, 0, 0, 0);
    this.#net.slot = this.#net.records.find(source0, source1, 0, 0);
    return this.#v6.enterKnown(now, source0, source1, source2, source3);
  }

  /** Counts a packet in the rate window. @param limit the source is over when the count is greater */
  rate(limit: number, banMs: number): Level {
    const own = this.#own;
    const now = this.#now;
    this.wholeNet = false;
    this.found = own.slot < 0 ? 1 : own.records.add(own.slot, now);
    if (this.found > limit && own.slot >= 0) {
      const level = this.#overRate(own, banMs);
      // What an address did before it went over the limit is not held against its neighbours.
      if (level === LEVEL.OVER_AND_NEW && this.#is6 && this.#net.slot >= 0) {
        this.#net.records.resetRate(this.#net.slot, now);
      }
      return level;
    }
    if (!this.#is6 || this.#net.slot < 0) return LEVEL.BELOW;
    const { records, slot } = this.#net;
    const count = records.add(slot, now);
    const lead = records.vote(slot, this.#low2, this.#low3, limit, count === 1);
    if (count <= limit || lead * 2 > count) return LEVEL.BELOW;
    this.found = count;
    this.wholeNet = true;
    return this.#overRate(this.#net, banMs);
  }

  /**
   * Notes a value that the source touched, and says whether more than `most`
   * different ones were within the short window.
   */
  touch(which: 0 | 1, value: number, mark: Mark, most: number, banMs: number): Level {
    const own = this.#own;
    const touches = own.touches[which] as Touches;
    const now = this.#now;
    this.wholeNet = false;
    if (own.slot >= 0) touches.add(own.slot, value, now);
    this.found = own.slot >= 0 ? touches.short : 1;
    this.oldest = own.slot >= 0 ? touches.oldestShort : 0;
    if (this.found > most && own.slot >= 0) {
      const level = this.#over(own, mark, banMs);
      if (level === LEVEL.OVER_AND_NEW) this.#forgiveNet(which);
      return level;
    }
    if (!this.#is6 || this.#net.slot < 0) return LEVEL.BELOW;
    const net = this.#net;
    const shared = net.touches[which] as Touches;
    shared.add(net.slot, value, now);
    const lead = (this.#votes[which] as Votes).vote(net.slot, this.#low2, this.#low3, most, shared.short === 1);
    if (shared.short <= most || lead * 2 > shared.short) return LEVEL.BELOW;
    this.found = shared.short;
    this.oldest = shared.oldestShort;
    this.wholeNet = true;
    return this.#over(net, mark, banMs);
  }

  /** After `touch`: the same over the long window, for the address alone. */
  touchedLong(which: 0 | 1, most: number, banMs: number): Level {
    const own = this.#own;
    const touches = own.touches[which] as Touches;
    if (own.slot < 0 || touches.long <= most) return LEVEL.BELOW;
    this.found = touches.long;
    this.oldest = touches.oldestLong;
    this.wholeNet = false;
    return this.#over(own, MARK.LONG, banMs);
  }

  /** Only whether the source of a packet was reported lately; it counts as reported from now on. */
  report(packet: Endpoints, now: number, banMs: number): Level {
    this.#now = now;
    this.wholeNet = false;
    const { source0, source1, source2, source3 } = packet;
    const side = packet.family === 4 ? this.#v4 : this.#v6;
    side.slot =
      packet.family === 4
        ? side.records.slot(now, source0, 0, 0, 0)
        : side.records.slot(now, source0, source1, source2, source3);
    return this.#over(side, MARK.OTHER, banMs);
  }

  /** Takes the youngest packet out of the rate again. */
  takeBack(): void {
    this.#own.records.takeBack(this.#own.slot);
    if (this.#is6 && this.#net.slot >= 0) this.#net.records.takeBack(this.#net.slot);
  }

  /** Takes a value back; false when the address had not touched it. */
  untouch(which: 0 | 1, value: number): boolean {
    const was = this.#own.touches[which]?.remove(this.#own.slot, value) ?? false;
    if (this.#is6 && this.#net.slot >= 0) this.#net.touches[which]?.remove(this.#net.slot, value);
    return was;
  }

  /** Counts an ACK that belongs to no conversation. */
  stray(): void {
    this.#own.records.stray(this.#own.slot);
  }

  get strays(): number {
    return this.#own.slot < 0 ? 0 : this.#own.records.strays(this.#own.slot);
  }

  /** Notes that the source completed a connection; false when it had before. */
  completed(): boolean {
    return this.#own.records.completed(this.#own.slot, this.#now);
  }

  /** How long ago the source first completed a connection, ms; Infinity when it is not known to have. */
  get sinceFirstCompleted(): number {
    return this.#own.slot < 0
      ? Number.POSITIVE_INFINITY
      : this.#own.records.sinceFirstCompleted(this.#own.slot, this.#now);
  }

  #forgiveNet(which: 0 | 1): void {
    if (!this.#is6 || this.#net.slot < 0) return;
    this.#net.touches[which]?.clear(this.#net.slot);
    this.#votes[which]?.clear(this.#net.slot);
  }

  /** What is over a rate is too much for as long as it lasts. */
  #overRate(side: Side, banMs: number): Level {
    const level = this.#over(side, MARK.RATE, banMs);
    return level === LEVEL.OVER_FOR_LONG ? LEVEL.OVER : level;
  }

  #over(side: Side, mark: Mark, banMs: number): Level {
    const left = side.records.markedFor(side.slot, mark, this.#now);
    if (left > 0) return banMs - left > REPORTED_MS ? LEVEL.OVER_FOR_LONG : LEVEL.OVER;
    side.records.mark(side.slot, mark, this.#now, banMs);
    return LEVEL.OVER_AND_NEW;
  }
}
