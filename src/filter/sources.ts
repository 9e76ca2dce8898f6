import type { Endpoints } from './detector.js';
import type { SharedCounts } from './shared-counts.js';
import { MARK, type Mark, Side, type SourcesOptions } from './source-side.js';
import type { Touches } from './touches.js';
import { Votes } from './votes.js';

export { MARK };

/** What a count says of its limit; `OVER_FOR_LONG`: it was reported more than `REPORTED_MS` ago. */
export const LEVEL = { BELOW: 0, OVER: 1, OVER_AND_NEW: 2, OVER_FOR_LONG: 3 } as const;
export type Level = (typeof LEVEL)[keyof typeof LEVEL];

/**
 * A scan is dropped until its source is banned, and no longer: whoever may not be
 * banned (an administrator, the gateway) is not to be locked out by a scan that
 * somebody forged in its name.
 */
export function isDropped(level: Level): boolean {
  return level === LEVEL.OVER || level === LEVEL.OVER_AND_NEW;
}

/** So long after its report a source is banned, or somebody decided that it is not. */
const REPORTED_MS = 1000;

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
  readonly #rateVotes: Votes;
  readonly #votes: readonly Votes[];
  readonly #shared: SharedCounts | null;
  /** The side of the packet under way. */
  #own: Side;
  #is6 = false;
  #low2 = 0;
  #low3 = 0;
  #now = 0;

  constructor(options: SourcesOptions) {
    const quarter = options.records >> 2;
    this.#shared = options.shared;
    this.#v4 = new Side(options, 'v4', options.records);
    this.#v6 = new Side(options, 'v6', quarter);
    this.#net = new Side(options, 'net', quarter);
    this.#own = this.#v4;
    this.#rateVotes = new Votes(quarter);
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
      this.#rateVotes.clear(net.slot);
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
    this.found = own.slot < 0 ? 1 : own.rate(now, limit);
    const net = this.#net;
    if (this.found > limit && own.slot >= 0) {
      const level = this.#overRate(own, banMs);
      // What an address did before it went over the limit is not held against its neighbours.
      if (own.isNewHere && this.#is6 && net.slot >= 0) net.resetRate(now);
      return level;
    }
    if (!this.#is6 || net.slot < 0) return LEVEL.BELOW;
    const count = net.rateOfNet(now, limit, this.#rateVotes, this.#low2, this.#low3);
    if (count <= limit || net.lead * 2 > count) return LEVEL.BELOW;
    this.found = count;
    this.wholeNet = true;
    return this.#overRate(net, banMs);
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
    this.found = own.slot >= 0 ? own.touch(which, value, now, most) : 1;
    this.oldest = own.slot >= 0 ? touches.oldestShort : 0;
    if (this.found > most && own.slot >= 0) {
      const level = this.#over(own, mark, banMs);
      if (own.isNewHere) this.#forgiveNet(which);
      return level;
    }
    if (!this.#is6 || this.#net.slot < 0) return LEVEL.BELOW;
    const net = this.#net;
    const count = net.touchOfNet(which, value, now, most, this.#votes[which] as Votes, this.#low2, this.#low3);
    if (count <= most || net.lead * 2 > count) return LEVEL.BELOW;
    this.found = count;
    this.oldest = (net.touches[which] as Touches).oldestShort;
    this.wholeNet = true;
    return this.#over(net, mark, banMs);
  }

  /** After `touch` of the first kind of value: the same over the long window, for the address alone. */
  touchedLong(value: number, most: number, banMs: number): Level {
    const own = this.#own;
    if (own.slot < 0) return LEVEL.BELOW;
    const count = own.touchedLong(value, this.#now, most);
    if (count <= most) return LEVEL.BELOW;
    this.found = count;
    this.oldest = (own.touches[0] as Touches).oldestLong;
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
    this.#own.takeBack();
    if (this.#is6 && this.#net.slot >= 0) this.#net.takeBack();
  }

  /** Takes a value back; false when the address had not touched it. */
  untouch(which: 0 | 1, value: number): boolean {
    const was = this.#own.untouch(which, value);
    if (this.#is6 && this.#net.slot >= 0) this.#net.untouch(which, value);
    return was;
  }

  /** Counts an ACK that belongs to no conversation. */
  stray(): void {
    this.#own.records.stray(this.#own.slot);
  }

  get strays(): number {
    return this.#own.slot < 0 ? 0 : this.#own.records.strays(this.#own.slot);
  }

  /** Others are shown nothing that was counted until now. */
  hide(): void {
    this.#shared?.rates.clear();
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
    this.#net.forget(which);
    this.#votes[which]?.clear(this.#net.slot);
  }

  /** What is over a rate is too much for as long as it lasts. */
  #overRate(side: Side, banMs: number): Level {
    const level = this.#over(side, MARK.RATE, banMs);
    return level === LEVEL.OVER_FOR_LONG ? LEVEL.OVER : level;
  }

  #over(side: Side, mark: Mark, banMs: number): Level {
    const left = side.report(mark, this.#now, banMs);
    if (left === 0) return LEVEL.OVER_AND_NEW;
    return banMs - left > REPORTED_MS ? LEVEL.OVER_FOR_LONG : LEVEL.OVER;
  }
}
