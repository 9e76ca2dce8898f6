import type { Seconds } from '../base/clock.js';
import type { RateThreshold } from '../config/config.js';
import type { Packet } from '../net/packet.js';
import type { DetectorName } from './detection.js';
import { type Report, sourceText, targetText, VERDICT, type Verdict } from './detector.js';
import { RateWindows } from './rate-window.js';
import { LEVEL, type SlotCounter, SourceCounts } from './source-counts.js';

/** How many sources each table of a rate limit holds. */
const SOURCES = 65_536;

export interface SourceLimitOptions {
  readonly detector: DetectorName;
  /** A source is over when its count in the window is greater than this. */
  readonly limit: number;
  readonly window: Seconds;
  /** How long to ask to ban for; a source is reported once in that time. */
  readonly ban: Seconds;
  /** How many sources each table holds. */
  readonly sources: number;
  readonly counter: (slots: number) => SlotCounter;
  readonly seed: number;
  readonly report: Report;
}

/** What every detector does with the packets it counts: drops those of a source over the limit, and reports it. */
export class SourceLimit {
  readonly #o: SourceLimitOptions;
  readonly #counts: SourceCounts;

  constructor(options: SourceLimitOptions) {
    this.#o = options;
    this.#counts = new SourceCounts({
      ...options,
      windowMs: options.window * 1000,
      banMs: options.ban * 1000,
    });
  }

  get evictions(): number {
    return this.#counts.evictions;
  }

  /** Counts a packet; @param value what is counted once each, such as a port */
  judge(packet: Packet, now: number, value = 0): Verdict {
    const level = this.#counts.count(packet, now, value);
    if (level === LEVEL.BELOW) return VERDICT.ACCEPT;
    if (level === LEVEL.OVER_AND_NEW) {
      const { detector, window, ban, report } = this.#o;
      report({
        detector,
        source: sourceText(packet, this.#counts.wholeNet),
        target: targetText(packet),
        count: this.#counts.found,
        window,
        ban,
        proof: null,
        knownGood: null,
      });
    }
    return VERDICT.DROP;
  }
}

/** A limit on packets per source and second. */
export function rateLimit(detector: DetectorName, threshold: RateThreshold, report: Report, seed: number): SourceLimit {
  const { perSecond, during, ban } = threshold;
  return new SourceLimit({
    detector,
    limit: perSecond * during,
    window: during,
    ban,
    sources: SOURCES,
    counter: (slots) => new RateWindows(slots, during * 1000),
    seed,
    report,
  });
}
