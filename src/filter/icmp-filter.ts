import type { FilterConfig } from '../config/config.js';
import type { Packet } from '../net/packet.js';
import { hostValue, listsOf } from './attempts.js';
import type { DetectorName } from './detection.js';
import {
  type KnownConnections,
  knownGoodOf,
  type Report,
  sourceText,
  targetText,
  VERDICT,
  type Verdict,
} from './detector.js';
import type { NetworkMasks } from './network-masks.js';
import type { SharedCounts } from './shared-counts.js';
import { isDropped, LEVEL, MARK, Sources } from './sources.js';
import { Threshold } from './threshold.js';

const RECORDS = 8192;

/**
 * `icmp_rate`: a source that sends ICMP faster than the limit, and the size above
 * which one message is dropped. Size alone drops and never bans: the length is
 * that of the whole IP packet in its header, however little of it was copied.
 * `ping_sweep`: a source that asks many different hosts of ours.
 *
 * Never touched are the messages without which networks break: errors (ICMP
 * types 3, 11, 12; ICMPv6 types below 128, RFC 4443), which quote somebody else's
 * packet and may carry 576 bytes and more, and neighbour and multicast listener
 * discovery (RFC 4861, 2710, 3810). Echo replies are limited in size and not
 * counted, since it is whoever was asked that answers: a machine here which pings
 * fast would have the machine it pings banned.
 */
export class IcmpFilter {
  readonly #dropLargerThan: number;
  readonly #rate: Threshold | null;
  readonly #sweep: Threshold | null;
  readonly #sources: Sources;
  readonly #home: NetworkMasks;
  readonly #connections: KnownConnections | null;
  readonly #report: Report;

  constructor(
    config: Pick<FilterConfig, 'icmp' | 'pingSweep'>,
    options: {
      readonly seed: number;
      readonly home: NetworkMasks;
      readonly connections: KnownConnections | null;
      readonly report: Report;
      readonly shared: SharedCounts | null;
    },
  ) {
    this.#dropLargerThan = config.icmp?.dropLargerThan ?? Number.POSITIVE_INFINITY;
    this.#rate = config.icmp && Threshold.ofRate(config.icmp);
    this.#sweep = config.pingSweep && Threshold.ofCount(config.pingSweep);
    this.#home = options.home;
    this.#connections = options.connections;
    this.#report = options.report;
    const sweep = this.#sweep;
    const longest = (sweep?.window ?? 0) * 1000;
    this.#sources = new Sources({
      name: 'icmp',
      seed: options.seed,
      shared: options.shared,
      records: RECORDS,
      rateMs: (this.#rate?.window ?? 1) * 1000,
      touches: [sweep && { lists: listsOf(sweep.most, 1 << 18), most: sweep.most, shortMs: longest, longMs: longest }],
    });
  }

  get thresholds(): readonly (Threshold | null)[] {
    return [this.#rate, this.#sweep];
  }

  get evictions(): number {
    return this.#sources.evictions;
  }

  judge(packet: Packet, now: number): Verdict {
    if (isEssential(packet.family, packet.type)) return VERDICT.ACCEPT;
    let verdict: Verdict = packet.length > this.#dropLargerThan ? VERDICT.DROP : VERDICT.ACCEPT;
    if (isEchoReply(packet.family, packet.type)) return verdict;
    const rate = this.#rate;
    const sweep = this.#sweep;
    if (rate === null && sweep === null) return verdict;
    this.#sources.enter(packet, now, rate !== null, hostValue(packet));
    if (rate !== null) {
      const level = this.#sources.rate(rate.limit, rate.banMs);
      if (level !== LEVEL.BELOW) verdict = VERDICT.DROP;
      if (level === LEVEL.OVER_AND_NEW) this.#tell('icmp_rate', packet, rate);
    }
    if (sweep !== null && isQuestion(packet.family, packet.type) && !this.#home.hasSource(packet)) {
      const level = this.#sources.touch(0, hostValue(packet), MARK.SHORT, sweep.limit, sweep.banMs);
      if (isDropped(level)) verdict = VERDICT.DROP;
      if (level === LEVEL.OVER_AND_NEW) this.#tell('ping_sweep', packet, sweep);
    }
    return verdict;
  }

  #tell(detector: DetectorName, packet: Packet, threshold: Threshold): void {
    this.#report({
      detector,
      source: sourceText(packet, this.#sources.wholeNet),
      target: targetText(packet),
      count: this.#sources.found,
      window: threshold.window,
      ban: threshold.banMs / 1000,
      proof: null,
      knownGood: knownGoodOf(packet, this.#connections),
    });
  }
}

function isEssential(family: number, type: number): boolean {
  if (family === 4) return type === 3 || type === 11 || type === 12;
  return type < 128 || (type >= 130 && type <= 137) || (type >= 141 && type <= 143) || (type >= 148 && type <= 153);
}

function isEchoReply(family: number, type: number): boolean {
  return type === (family === 4 ? 0 : 129);
}

/** Echo, timestamp, information and address mask requests (RFC 792, 950): what nmap -PE, -PP and -PM send. */
function isQuestion(family: number, type: number): boolean {
  return family === 4 ? type === 8 || type === 13 || type === 15 || type === 17 : type === 128;
}
