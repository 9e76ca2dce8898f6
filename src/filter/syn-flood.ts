import type { RateThreshold } from '../config/config.js';
import { type Packet, PROTOCOL, TCP_FLAG } from '../net/packet.js';
import { type Detector, type Report, SOURCES, sourceText, targetText, VERDICT, type Verdict } from './detector.js';
import { RateWindows } from './rate-window.js';
import { LEVEL, SourceCounts } from './source-counts.js';

/**
 * `syn_rate`: a source that opens connections faster than the limit. Counted is
 * SYN without ACK; an answer to somebody's forged SYN (SYN with ACK) never is.
 */
export class SynFlood implements Detector {
  readonly #threshold: RateThreshold;
  readonly #counts: SourceCounts;
  readonly #report: Report;

  constructor(threshold: RateThreshold, report: Report, seed: number, sources = SOURCES) {
    this.#threshold = threshold;
    this.#report = report;
    this.#counts = new SourceCounts({
      detector: 'syn_rate',
      seed,
      sources,
      limit: threshold.perSecond * threshold.during,
      windowMs: threshold.during * 1000,
      banMs: threshold.ban * 1000,
      counter: (slots) => new RateWindows(slots, threshold.during * 1000),
    });
  }

  get evictions(): number {
    return this.#counts.evictions;
  }

  judge(packet: Packet, now: number): Verdict {
    if (packet.protocol !== PROTOCOL.TCP) return VERDICT.ACCEPT;
    if ((packet.flags & (TCP_FLAG.SYN | TCP_FLAG.ACK)) !== TCP_FLAG.SYN) return VERDICT.ACCEPT;
    const level = this.#counts.count(packet, now);
    if (level === LEVEL.BELOW) return VERDICT.ACCEPT;
    if (level === LEVEL.OVER_AND_NEW) {
      this.#report({
        detector: 'syn_rate',
        source: sourceText(packet, this.#counts.wholeNet),
        target: targetText(packet),
        count: this.#counts.found,
        window: this.#threshold.during,
        ban: this.#threshold.ban,
      });
    }
    return VERDICT.DROP;
  }
}
