import type { RateThreshold } from '../config/config.js';
import { type Packet, PROTOCOL, TCP_FLAG } from '../net/packet.js';
import { type Detector, type Report, VERDICT, type Verdict } from './detector.js';
import { rateLimit, type SourceLimit } from './source-limit.js';

/**
 * `syn_rate`: a source that opens connections faster than the limit. Counted is
 * SYN without ACK; an answer to somebody's forged SYN (SYN with ACK) never is.
 */
export class SynFlood implements Detector {
  readonly #limit: SourceLimit;

  constructor(threshold: RateThreshold, report: Report, seed: number) {
    this.#limit = rateLimit('syn_rate', threshold, report, seed);
  }

  get evictions(): number {
    return this.#limit.evictions;
  }

  judge(packet: Packet, now: number): Verdict {
    if (packet.protocol !== PROTOCOL.TCP) return VERDICT.ACCEPT;
    if ((packet.flags & (TCP_FLAG.SYN | TCP_FLAG.ACK)) !== TCP_FLAG.SYN) return VERDICT.ACCEPT;
    return this.#limit.judge(packet, now);
  }
}
