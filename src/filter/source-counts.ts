import type { Packet } from '../net/packet.js';
import type { DetectorName } from './detection.js';
import { seedFor } from './detector.js';
import { SourceTable } from './source-table.js';

/** Something counted per slot: packets in a window, distinct ports in a window. */
export interface SlotCounter {
  /** Forgets a slot that changed hands. */
  reset(slot: number, now: number): void;
  /** Counts `value` (a port, or nothing) and gives the count in the window. */
  add(slot: number, now: number, value: number): number;
}

/** The answer of `SourceCounts.count`. */
export const LEVEL = { BELOW: 0, OVER: 1, OVER_AND_NEW: 2 } as const;
export type Level = (typeof LEVEL)[keyof typeof LEVEL];

/**
 * Counts per source, where a source is an IPv4 address, an IPv6 address, or an
 * IPv6 /64 whose addresses share the work.
 *
 * Whoever holds one IPv6 address holds its /64, so the /64 is counted as well as
 * the address. The narrower is named first: a packet that puts its own address
 * over the limit is not counted against the /64, and the /64 is over only when no
 * single address of it sent most of the packets (a majority vote after Boyer and
 * Moore, whose winner is not forgiven but left to its own count). One attacker
 * beside innocent neighbours is thus reported as a /128, and one who changes
 * addresses as a /64.
 */
export class SourceCounts {
  /** Set by `count` for the packet it judged: the number in the window, and whether the /64 was what went over. */
  found = 0;
  wholeNet = false;

  readonly #limit: number;
  readonly #banMs: number;
  readonly #v4: Side;
  readonly #v6: Side;
  readonly #net: Side;
  readonly #vote2: Int32Array;
  readonly #vote3: Int32Array;
  readonly #lead: Int32Array;

  /** @param limit a source is over when its count is greater than this */
  constructor(options: {
    detector: DetectorName;
    seed: number;
    sources: number;
    limit: number;
    windowMs: number;
    banMs: number;
    counter: (slots: number) => SlotCounter;
  }) {
    this.#limit = options.limit;
    this.#banMs = options.banMs;
    const side = (table: string): Side => ({
      table: new SourceTable(options.sources, options.windowMs, seedFor(options.seed, options.detector, table)),
      counter: options.counter(options.sources),
    });
    this.#v4 = side('v4');
    this.#v6 = side('v6');
    this.#net = side('net');
    this.#vote2 = new Int32Array(options.sources);
    this.#vote3 = new Int32Array(options.sources);
    this.#lead = new Int32Array(options.sources);
  }

  get evictions(): number {
    return this.#v4.table.evictions + this.#v6.table.evictions + this.#net.table.evictions;
  }

  count(packet: Packet, now: number, value = 0): Level {
    this.wholeNet = false;
    if (packet.family === 4) return this.#countOne(this.#v4, packet.source0, 0, 0, 0, now, value);
    const { source0, source1, source2, source3 } = packet;
    const own = this.#countOne(this.#v6, source0, source1, source2, source3, now, value);
    if (own === LEVEL.OVER_AND_NEW) this.#forgiveNet(packet, now);
    if (own !== LEVEL.BELOW) return own;
    return this.#countNet(packet, now, value);
  }

  #countOne(side: Side, k0: number, k1: number, k2: number, k3: number, now: number, value: number): Level {
    const slot = side.table.slot(k0, k1, k2, k3, now);
    if (side.table.fresh) side.counter.reset(slot, now);
    this.found = side.counter.add(slot, now, value);
    if (this.found <= this.#limit) return LEVEL.BELOW;
    return this.#over(side, slot, now);
  }

  #countNet(packet: Packet, now: number, value: number): Level {
    const side = this.#net;
    const slot = side.table.slot(packet.source0, packet.source1, 0, 0, now);
    if (side.table.fresh) {
      side.counter.reset(slot, now);
      this.#lead[slot] = 0;
    }
    const count = side.counter.add(slot, now, value);
    const lead = this.#vote(slot, packet.source2, packet.source3, count === 1);
    if (count <= this.#limit || lead * 2 > count) return LEVEL.BELOW;
    this.found = count;
    this.wholeNet = true;
    return this.#over(side, slot, now);
  }

  /** What an address did before it went over the limit is not held against its neighbours. */
  #forgiveNet(packet: Packet, now: number): void {
    const slot = this.#net.table.slot(packet.source0, packet.source1, 0, 0, now);
    this.#net.counter.reset(slot, now);
    this.#lead[slot] = 0;
  }

  /** One vote for an address of the /64; gives the lead of the front runner, never more than `limit`. */
  #vote(slot: number, low2: number, low3: number, restart: boolean): number {
    let lead = restart ? 0 : (this.#lead[slot] as number);
    if (lead === 0) {
      this.#vote2[slot] = low2;
      this.#vote3[slot] = low3;
      lead = 1;
    } else if (this.#vote2[slot] === low2 && this.#vote3[slot] === low3) {
      if (lead < this.#limit) lead += 1;
    } else lead -= 1;
    this.#lead[slot] = lead;
    return lead;
  }

  #over(side: Side, slot: number, now: number): Level {
    if (now < side.table.mark(slot)) return LEVEL.OVER;
    side.table.setMark(slot, now + this.#banMs);
    return LEVEL.OVER_AND_NEW;
  }
}

/** The mark of a source in its table is the time (milliseconds) until which it counts as reported. */
interface Side {
  readonly table: SourceTable;
  readonly counter: SlotCounter;
}
