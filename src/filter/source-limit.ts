import type { DetectorName } from './detection.js';
import { type Endpoints, type KnownConnections, knownGoodOf, type Report, sourceText, targetText } from './detector.js';
import type { SharedCounts } from './shared-counts.js';
import { LEVEL, type Level, MARK, Sources } from './sources.js';
import type { Threshold } from './threshold.js';

export interface SourceLimitOptions {
  readonly detector: DetectorName;
  readonly threshold: Threshold;
  /** What is counted: packets, or different values. */
  readonly counts: 'packets' | 'values';
  readonly records: number;
  /** Lists for different values; see `Touches`. */
  readonly lists: number;
  readonly seed: number;
  readonly connections: KnownConnections | null;
  readonly report: Report;
  readonly shared: SharedCounts | null;
}

/** One detector with a table of its own: so many packets, or different values, of one source. */
export class SourceLimit {
  readonly threshold: Threshold;
  readonly #o: SourceLimitOptions;
  readonly #sources: Sources;

  constructor(options: SourceLimitOptions) {
    const { threshold, counts, lists, seed, records, detector, shared } = options;
    this.#o = options;
    this.threshold = threshold;
    const windowMs = threshold.window * 1000;
    this.#sources = new Sources({
      name: detector,
      seed,
      shared,
      records,
      rateMs: counts === 'packets' ? windowMs : 1000,
      touches: counts === 'values' ? [{ lists, most: threshold.most, shortMs: windowMs, longMs: windowMs }] : [],
    });
  }

  get evictions(): number {
    return this.#sources.evictions;
  }

  /** Counts one packet, or one value, and reports the source that goes over. @param value for `counts: values` */
  count(of: Endpoints, now: number, value = 0): Level {
    const { limit, banMs, window } = this.threshold;
    const { counts, detector, connections, report } = this.#o;
    this.#sources.enter(of, now, counts === 'packets', value);
    const level =
      counts === 'packets' ? this.#sources.rate(limit, banMs) : this.#sources.touch(0, value, MARK.SHORT, limit, banMs);
    if (level === LEVEL.OVER_AND_NEW) {
      report({
        detector,
        source: sourceText(of, this.#sources.wholeNet),
        target: targetText(of),
        count: this.#sources.found,
        window,
        ban: banMs / 1000,
        proof: null,
        knownGood: knownGoodOf(of, connections),
      });
    }
    return level;
  }
}
