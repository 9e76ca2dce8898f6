import type { FilterConfig } from '../config/config.js';
import { isIcmp, type Packet } from '../net/packet.js';
import { type Detector, type Report, VERDICT, type Verdict } from './detector.js';
import { rateLimit, type SourceLimit } from './source-limit.js';

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
  readonly #dropLargerThan: number | null;
  readonly #limit: SourceLimit;

  constructor(config: NonNullable<FilterConfig['icmp']>, report: Report, seed: number) {
    this.#dropLargerThan = config.dropLargerThan;
    this.#limit = rateLimit('icmp_rate', config, report, seed);
  }

  get evictions(): number {
    return this.#limit.evictions;
  }

  judge(packet: Packet, now: number): Verdict {
    if (!isIcmp(packet.family, packet.protocol)) return VERDICT.ACCEPT;
    if (isEssential(packet.family, packet.type)) return VERDICT.ACCEPT;
    const tooLarge = this.#dropLargerThan !== null && packet.length > this.#dropLargerThan;
    const verdict = isEchoReply(packet.family, packet.type) ? VERDICT.ACCEPT : this.#limit.judge(packet, now);
    return tooLarge ? VERDICT.DROP : verdict;
  }
}

function isEssential(family: number, type: number): boolean {
  if (family === 4) return type === 3 || type === 11 || type === 12;
  return type < 128 || (type >= 130 && type <= 137) || (type >= 141 && type <= 143) || (type >= 148 && type <= 153);
}

function isEchoReply(family: number, type: number): boolean {
  return type === (family === 4 ? 0 : 129);
}
