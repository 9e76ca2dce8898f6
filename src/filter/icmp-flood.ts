import type { FilterConfig } from '../config/config.js';
import { isIcmp, type Packet } from '../net/packet.js';
import { type Detector, type Report, SOURCES, sourceText, targetText, VERDICT, type Verdict } from './detector.js';
import { RateWindows } from './rate-window.js';
import { LEVEL, SourceCounts } from './source-counts.js';

/**
 * `icmp_rate`: a source that sends ICMP faster than the limit, and the size above
 * which one message is dropped. Size alone drops and never bans: the length is
 * that of the whole IP packet in its header, however little of it was copied.
 *
 * Never touched are the messages without which networks break: errors (ICMP
 * types 3, 11, 12; ICMPv6 types below 128, RFC 4443), which quote somebody else's
 * packet and may carry 576 bytes and more, and neighbour and multicast listener
 * discovery (RFC 4861, 2710, 3810). Echo replies are limited in size and not
 * counted, since it is whoever was asked that answers: a machine here which pings
 * fast would have the machine it pings banned.
 */
export class IcmpFlood implements Detector {
  readonly #config: NonNullable<FilterConfig['icmp']>;
  readonly #counts: SourceCounts;
  readonly #report: Report;

  constructor(config: NonNullable<FilterConfig['icmp']>, report: Report, seed: number, sources = SOURCES) {
    this.#config = config;
    this.#report = report;
    this.#counts = new SourceCounts({
      detector: 'icmp_rate',
      seed,
      sources,
      limit: config.perSecond * config.during,
      windowMs: config.during * 1000,
      banMs: config.ban * 1000,
      counter: (slots) => new RateWindows(slots, config.during * 1000),
    });
  }

  get evictions(): number {
    return this.#counts.evictions;
  }

  judge(packet: Packet, now: number): Verdict {
    if (!isIcmp(packet.family, packet.protocol)) return VERDICT.ACCEPT;
    if (isEssential(packet.family, packet.type)) return VERDICT.ACCEPT;
    const { dropLargerThan } = this.#config;
    const tooLarge = dropLargerThan !== null && packet.length > dropLargerThan;
    const otherwise = tooLarge ? VERDICT.DROP : VERDICT.ACCEPT;
    if (isEchoReply(packet.family, packet.type)) return otherwise;
    const level = this.#counts.count(packet, now);
    if (level === LEVEL.BELOW) return otherwise;
    if (level === LEVEL.OVER_AND_NEW) {
      this.#report({
        detector: 'icmp_rate',
        source: sourceText(packet, this.#counts.wholeNet),
        target: targetText(packet),
        count: this.#counts.found,
        window: this.#config.during,
        ban: this.#config.ban,
      });
    }
    return VERDICT.DROP;
  }
}

function isEssential(family: number, type: number): boolean {
  if (family === 4) return type === 3 || type === 11 || type === 12;
  return type < 128 || (type >= 130 && type <= 137) || (type >= 141 && type <= 143) || (type >= 148 && type <= 153);
}

function isEchoReply(family: number, type: number): boolean {
  return type === (family === 4 ? 0 : 129);
}
