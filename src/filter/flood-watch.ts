import type { EpochMs } from '../base/clock.js';
import type { FloodThreshold } from '../config/config.js';
import type { Flood } from './detection.js';
import { type Endpoints, seedFor, targetText } from './detector.js';
import { hash, SourceRecords } from './source-records.js';

/** Services that are counted; whoever scans makes new ones, and the idle ones go. */
const SERVICES = 1024;
/** Bits that sources of one service are told apart by: exact to some percent up to a few thousand. */
const BITS = 4096;
const BITMAP_WORDS = BITS / 32;
/** A flood is over when the rate was below half of the threshold for so long. */
const CALM_MS = 10_000;
/** Services that are flooded at once at most; beyond, the kernel's limit on all first packets is what holds. */
const FLOODED_AT_MOST = 64;
const KEEP_MS = 60_000;

/** A service under a flood, as `Endpoints` whose source means nothing. */
export interface FloodedService extends Endpoints {
  readonly port: number;
}

interface Ongoing extends FloodedService {
  /** When the rate was last above half of the threshold. */
  high: number;
}

/**
 * SYN floods of one service by many sources: attempts to connect to one address
 * and port that are not completed. The sources of such a flood are forged, so it
 * bans nobody; it is a state of the service, in which the kernel holds the rate.
 * While it holds it at the threshold no more than that is seen here, so the flood
 * counts as over only well below.
 */
export class FloodWatch {
  readonly #limit: number;
  readonly #during: number;
  readonly #sources: number;
  readonly #seed: number;
  readonly #records: SourceRecords;
  readonly #seen = new Int32Array(SERVICES * BITMAP_WORDS);
  /** Bits set per service, -1 while its sources are not looked at. */
  readonly #set = new Int32Array(SERVICES).fill(-1);
  readonly #ongoing = new Map<number, Ongoing>();
  readonly #isOngoing = new Uint8Array(SERVICES);
  readonly #news: Flood[] = [];
  readonly #last = { slot: -1, at: Number.NaN, target0: 0, target1: 0, target2: 0, target3: 0, targetPort: -1 };
  #at: EpochMs = 0;
  #blindUntil = Number.NEGATIVE_INFINITY;

  /** @param share of all first packets that is seen here: a half with two queues */
  constructor({ perSecond, during, sources }: FloodThreshold, seed: number, share: number) {
    this.#limit = Math.max(1, perSecond * during * share);
    this.#during = during;
    this.#sources = sources;
    this.#seed = seedFor(seed, 'flood', 'sources');
    this.#records = new SourceRecords({
      capacity: SERVICES,
      seed: seedFor(seed, 'flood', 'services'),
      keepMs: during * 1000,
      rateMs: during * 1000,
    });
  }

  get ongoing(): ReadonlyMap<number, FloodedService> {
    return this.#ongoing;
  }

  attempt(packet: Endpoints & { readonly targetPort: number }, now: number): void {
    const slot = this.#slotOf(packet, now);
    const count = this.#records.add(slot, now);
    if (count * 2 <= this.#limit) {
      this.#set[slot] = -1;
      return;
    }
    if (this.#isOngoing[slot] === 1 || now < this.#blindUntil) return;
    this.#note(slot, packet);
    if (count <= this.#limit) return;
    if (this.#distinct(slot) >= this.#sources && this.#ongoing.size < FLOODED_AT_MOST) this.#begin(slot, packet, now);
  }

  /** In a flood the service is that of the packet before. */
  #slotOf(packet: Endpoints & { readonly targetPort: number }, now: number): number {
    const { target0, target1, target2, target3, targetPort } = packet;
    const last = this.#last;
    if (
      last.target0 === target0 &&
      last.targetPort === targetPort &&
      last.target1 === target1 &&
      last.target2 === target2 &&
      last.target3 === target3 &&
      last.at === now
    ) {
      return last.slot;
    }
    const slot = this.#records.slot(now, target0, target1, target2, target3, targetPort);
    if (this.#records.fresh) this.#set[slot] = -1;
    last.slot = slot;
    last.at = now;
    last.target0 = target0;
    last.target1 = target1;
    last.target2 = target2;
    last.target3 = target3;
    last.targetPort = targetPort;
    return slot;
  }

  completed(connection: Endpoints & { readonly targetPort: number }): void {
    const { target0, target1, target2, target3, targetPort } = connection;
    const slot = this.#records.find(target0, target1, target2, target3, targetPort);
    if (slot >= 0) this.#records.takeBack(slot);
  }

  /** It was lost which connections were completed: what counts of the last while may have been. */
  blind(now: number): void {
    this.#blindUntil = now + this.#during * 1000;
  }

  /** Looks whether floods ended; about once a second. */
  look(now: number, wall: EpochMs): void {
    this.#at = wall;
    for (const [slot, flood] of this.#ongoing) {
      const isSame =
        this.#records.find(flood.target0, flood.target1, flood.target2, flood.target3, flood.port) === slot;
      const rate = isSame ? this.#records.rate(slot, now) : 0;
      if (rate * 2 > this.#limit) flood.high = now;
      if (((now - flood.high) | 0) < CALM_MS && isSame) continue;
      this.#ongoing.delete(slot);
      this.#isOngoing[slot] = 0;
      this.#set[slot] = -1;
      if (isSame) this.#records.weigh(slot, 0);
      this.#tell(slot, flood, 'off', rate);
    }
  }

  /** Takes what began or ended since the last call. */
  take(): Flood[] {
    return this.#news.splice(0);
  }

  get hasNews(): boolean {
    return this.#news.length > 0;
  }

  /** The wall clock of the packets that follow. */
  tick(wall: EpochMs): void {
    this.#at = wall;
  }

  #begin(slot: number, packet: Endpoints & { readonly targetPort: number }, now: number): void {
    const { family, target0, target1, target2, target3, targetPort: port } = packet;
    const source = { source0: 0, source1: 0, source2: 0, source3: 0 };
    const flood = { family, ...source, target0, target1, target2, target3, port, high: now };
    this.#ongoing.set(slot, flood);
    this.#isOngoing[slot] = 1;
    this.#records.weigh(slot, KEEP_MS);
    this.#tell(slot, flood, 'on', this.#records.rate(slot, now));
  }

  #tell(slot: number, flood: FloodedService, state: 'on' | 'off', count: number): void {
    this.#news.push({
      target: targetText(flood),
      port: flood.port,
      state,
      perSecond: Math.round(count / this.#during),
      sources: this.#distinct(slot),
      at: this.#at,
    });
  }

  #note(slot: number, { source0, source1, source2, source3 }: Endpoints): void {
    const from = slot * BITMAP_WORDS;
    if ((this.#set[slot] as number) < 0) {
      this.#seen.fill(0, from, from + BITMAP_WORDS);
      this.#set[slot] = 0;
    }
    const bit = hash(this.#seed, source0, source1, source2, source3, 0) & (BITS - 1);
    const word = from + (bit >>> 5);
    const mask = 1 << (bit & 31);
    if (((this.#seen[word] as number) & mask) !== 0) return;
    this.#seen[word] = (this.#seen[word] as number) | mask;
    this.#set[slot] = (this.#set[slot] as number) + 1;
  }

  /** How many different sources the bits stand for (linear counting, Whang 1990). */
  #distinct(slot: number): number {
    const set = Math.max(0, this.#set[slot] as number);
    if (set >= BITS) return BITS * 16;
    return Math.round(-BITS * Math.log(1 - set / BITS));
  }
}
