import type { EpochMs } from '../base/clock.js';
import type { FilterConfig } from '../config/config.js';
import { OUTCOME, Packet } from '../net/packet.js';
import type { Detection } from './detection.js';
import { type Detector, type Report, VERDICT, type Verdict } from './detector.js';
import { IcmpFlood } from './icmp-flood.js';
import type { TrafficProfile } from './learn/profile.js';
import { PortScan } from './port-scan.js';
import { SynFlood } from './syn-flood.js';

/**
 * One packet in, one verdict out: parse, ask every detector, drop when one of
 * them says so. What cannot be parsed is accepted and counted. `judge` may throw
 * only if a detector has a defect; the queue answers that with ACCEPT.
 */
export class Pipeline {
  malformed = 0;
  truncated = 0;
  fragments = 0;
  /** Watches beside the detectors while learning. */
  profile: TrafficProfile | null = null;
  readonly #packet = new Packet();
  readonly #detectors: readonly Detector[];
  readonly #pending: Detection[] = [];
  #now = 0;
  #at: EpochMs = 0;

  /**
   * @param seed of the hash tables, unknown to others
   * @param extra further detectors, asked after the built-in ones
   */
  constructor(config: FilterConfig, seed: number, extra: readonly Detector[] = []) {
    const report: Report = (found) => {
      this.#pending.push({ ...found, at: this.#at });
    };
    const detectors: Detector[] = [];
    if (config.syn) detectors.push(new SynFlood(config.syn, report, seed));
    if (config.icmp) detectors.push(new IcmpFlood(config.icmp, report, seed));
    if (config.scan) detectors.push(new PortScan(config.scan, report, seed));
    this.#detectors = [...detectors, ...extra];
  }

  get evictions(): number {
    let sum = 0;
    for (const detector of this.#detectors) sum += detector.evictions;
    return sum;
  }

  /** Sets the time of the packets that follow; once a batch. @param monotonic milliseconds that never go back */
  tick(monotonic: number, wall: EpochMs): void {
    this.#now = Math.floor(monotonic);
    this.#at = wall;
  }

  /** The verdict for `bytes[start .. start + captured)` of a packet of `wireLength` bytes. */
  readonly judge = (bytes: Uint8Array, start: number, captured: number, wireLength: number): Verdict => {
    const packet = this.#packet;
    const outcome = packet.parse(bytes, start, captured, wireLength);
    if (outcome !== OUTCOME.OK) {
      if (outcome === OUTCOME.FRAGMENT) this.fragments += 1;
      else if (outcome === OUTCOME.TRUNCATED) this.truncated += 1;
      else this.malformed += 1;
      return VERDICT.ACCEPT;
    }
    this.profile?.note(packet, this.#now);
    // Every detector sees every packet, so that one that drops does not blind the next.
    let verdict: Verdict = VERDICT.ACCEPT;
    for (const detector of this.#detectors) {
      if (detector.judge(packet, this.#now) === VERDICT.DROP) verdict = VERDICT.DROP;
    }
    return verdict;
  };

  get hasDetections(): boolean {
    return this.#pending.length > 0;
  }

  /** Takes what was detected since the last call. */
  take(): Detection[] {
    return this.#pending.splice(0);
  }
}
