import type { FilterConfig } from '../config/config.js';
import type { Detection, DetectorName } from './detection.js';
import {
  type Endpoints,
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
import { hash } from './source-records.js';
import { isDropped, LEVEL, type Level, MARK, Sources } from './sources.js';
import { Threshold } from './threshold.js';

const RECORDS = 65_536;
/** Bytes that the lists of one table may take; with longer lists there are fewer. */
const LIST_BYTES = 2 << 20;
/** The first connection belongs to a scan whose next probe came at most so much later, ms. */
const SAME_RUN_MS = 20;
/** So long after a scan was reported a connection of it may still be completed, ms; and so many wait for that. */
const PROOF_WITHIN_MS = 1000;
const PROOF_WAITING = 64;
/**
 * With so many stray ACKs somebody may be guessing the number that completes a
 * connection in another's name: one in 65,000 is taken, and half of the others are
 * invalid to connection tracking and seen here.
 */
const GUESSES = 16;
const PORTS = 0;
const HOSTS = 1;

/** Lists of so many places that fit; a place is 8 bytes. */
export function listsOf(most: number, bytes = LIST_BYTES): number {
  return Math.max(64, Math.min(4096, Math.floor(bytes / ((most + 1) * 8))));
}

/** A port of a protocol as one value to be counted; of TCP it is the port itself. */
export function portValue(protocol: number, port: number): number {
  return protocol === 6 ? port : (protocol << 16) | port;
}

/**
 * Attempts to connect, of which only those that are not completed count: `syn_rate`
 * (too many), `port_scan` and `slow_scan` (to too many ports that did not open, on
 * whatever hosts), `host_sweep` (to too many hosts on which nothing opened).
 *
 * Connection tracking tells which were completed. Where nothing tells, every
 * attempt counts, except for `host_sweep`: an office behind one address that opens
 * a page reaches dozens of hosts on port 443 within a minute, and without knowing
 * that they answered that looks like a sweep.
 *
 * Scans and sweeps are those of our hosts: sources inside are not looked at for
 * them, since nobody inside is banned and what they reach is outside.
 */
export class Attempts {
  readonly #syn: Threshold | null;
  readonly #scan: Threshold | null;
  readonly #slow: Threshold | null;
  readonly #sweep: Threshold | null;
  readonly #sources: Sources;
  readonly #home: NetworkMasks;
  readonly #connections: KnownConnections | null;
  readonly #report: Report;
  #blindUntil = Number.NEGATIVE_INFINITY;
  /** Scans and sweeps that were reported without proof, the latest last. */
  readonly #unproven: { readonly of: Endpoints; readonly at: number; readonly found: Omit<Detection, 'at'> }[] = [];
  #now = 0;

  constructor(
    config: Pick<FilterConfig, 'syn' | 'scan' | 'slowScan' | 'sweep'>,
    options: {
      readonly seed: number;
      readonly home: NetworkMasks;
      readonly connections: KnownConnections | null;
      readonly report: Report;
      readonly shared: SharedCounts | null;
    },
  ) {
    this.#syn = config.syn && Threshold.ofRate(config.syn);
    this.#scan = config.scan && Threshold.ofCount(config.scan);
    this.#slow = config.slowScan && Threshold.ofCount(config.slowScan);
    this.#sweep = config.sweep && Threshold.ofCount(config.sweep);
    this.#home = options.home;
    this.#connections = options.connections;
    this.#report = options.report;
    const ports = Math.max(this.#scan?.most ?? 0, this.#slow?.most ?? 0);
    const short = this.#scan?.window ?? this.#slow?.window ?? 1;
    const long = Math.max(short, this.#slow?.window ?? 0);
    this.#sources = new Sources({
      name: 'attempts',
      seed: options.seed,
      shared: options.shared,
      records: RECORDS,
      rateMs: (this.#syn?.window ?? 1) * 1000,
      touches: [
        ports === 0 ? null : { lists: listsOf(ports), most: ports, shortMs: short * 1000, longMs: long * 1000 },
        this.#sweep && {
          lists: listsOf(this.#sweep.most, LIST_BYTES / 4),
          most: this.#sweep.most,
          shortMs: this.#sweep.window * 1000,
          longMs: this.#sweep.window * 1000,
        },
      ],
    });
  }

  get thresholds(): readonly (Threshold | null)[] {
    return [this.#syn, this.#scan, this.#slow, this.#sweep];
  }

  get evictions(): number {
    return this.#sources.evictions;
  }

  /** An attempt to connect by TCP. @param now milliseconds in 32 bits */
  connect(packet: Endpoints & { readonly targetPort: number }, now: number): Verdict {
    this.#now = now;
    this.#sources.enter(packet, now, this.#syn !== null, packet.targetPort, hostValue(packet));
    let verdict: Verdict = VERDICT.ACCEPT;
    if (this.#syn !== null) {
      const isBlind = now < this.#blindUntil;
      const level = this.#sources.rate(isBlind ? Number.POSITIVE_INFINITY : this.#syn.limit, this.#syn.banMs);
      if (level !== LEVEL.BELOW) verdict = VERDICT.DROP;
      if (level === LEVEL.OVER_AND_NEW) this.#tell('syn_rate', packet, this.#syn, null);
    }
    return this.#touch(packet, packet.targetPort) === VERDICT.DROP ? VERDICT.DROP : verdict;
  }

  /** A first packet of another kind, which touches a port or a protocol. @param value see `portValue` */
  probe(packet: Endpoints, value: number, now: number): Verdict {
    this.#now = now;
    this.#sources.enter(packet, now, false, value, hostValue(packet));
    return this.#touch(packet, value);
  }

  #touch(packet: Endpoints, value: number): Verdict {
    if (this.#scan === null && this.#slow === null && this.#sweep === null) return VERDICT.ACCEPT;
    if (this.#home.hasSource(packet)) return VERDICT.ACCEPT;
    let verdict: Verdict = VERDICT.ACCEPT;
    const sources = this.#sources;
    if (this.#scan !== null || this.#slow !== null) {
      const scan = this.#scan ?? (this.#slow as Threshold);
      const level = sources.touch(PORTS, value, MARK.SHORT, scan.limit, scan.banMs);
      if (isDropped(level)) verdict = VERDICT.DROP;
      if (level === LEVEL.OVER_AND_NEW) {
        this.#tell(this.#scan === null ? 'slow_scan' : 'port_scan', packet, scan, this.#proof(packet));
      } else if (level === LEVEL.BELOW && this.#scan !== null && this.#slow !== null) {
        // Nothing is dropped for what was an hour ago.
        if (sources.touchedLong(value, this.#slow.limit, this.#slow.banMs) === LEVEL.OVER_AND_NEW) {
          this.#tell('slow_scan', packet, this.#slow, this.#proof(packet));
        }
      }
    }
    return isDropped(this.#swept(packet)) ? VERDICT.DROP : verdict;
  }

  #swept(packet: Endpoints): Level {
    const sweep = this.#sweep;
    if (sweep === null || this.#connections?.known !== true) return LEVEL.BELOW;
    const level = this.#sources.touch(HOSTS, hostValue(packet), MARK.OTHER, sweep.limit, sweep.banMs);
    if (level === LEVEL.OVER_AND_NEW) this.#tell('host_sweep', packet, sweep, this.#proof(packet));
    return level;
  }

  /** An ACK of a source that belongs to no conversation. */
  stray(packet: Endpoints, now: number): void {
    if (this.#sources.enterKnown(packet, now)) this.#sources.stray();
  }

  /** A connection was completed: nothing of it counts any more. */
  completed(connection: Endpoints & { readonly targetPort: number }, now: number): void {
    if (!this.#sources.enterKnown(connection, now)) return;
    const isFirst = this.#sources.completed();
    if (this.#syn !== null) this.#sources.takeBack();
    const isOfScan = this.#sources.untouch(PORTS, connection.targetPort);
    this.#sources.untouch(HOSTS, hostValue(connection));
    if (isFirst && isOfScan && this.#unproven.length > 0 && this.#sources.strays < GUESSES)
      this.#proveLate(connection, now);
  }

  /**
   * Of a fast scan the first packets are judged, and the scan is reported, before
   * any connection can be completed. One that is completed right after and began
   * within the scan proves it all the same, and it is reported once more.
   */
  #proveLate(connection: Endpoints, now: number): void {
    const at = this.#unproven.findIndex(({ of }) => isSameSource(of, connection));
    const late = this.#unproven[at];
    if (late === undefined) return;
    this.#unproven.splice(at, 1);
    if (((now - late.at) | 0) > PROOF_WITHIN_MS || this.#connections?.isKnownGood(connection) !== false) return;
    this.#report({ ...late.found, proof: 'conntrack', knownGood: false });
  }

  /** It was lost which connections were completed: what counts of the last while may have been. */
  blind(now: number): void {
    this.#blindUntil = now + (this.#syn?.window ?? 0) * 1000;
    this.#sources.hide();
  }

  /**
   * A connection that the source completed while it scanned, and none before, proves
   * that it is not forged. A source that completed connections before is a client, in
   * whose name somebody else may scan, and who may go on connecting meanwhile.
   */
  #proof(packet: Endpoints): 'conntrack' | null {
    const connections = this.#connections;
    if (connections?.known !== true || this.#sources.wholeNet) return null;
    if (this.#sources.strays >= GUESSES) return null;
    if (this.#sources.sinceFirstCompleted > this.#sources.oldest + SAME_RUN_MS) return null;
    return connections.isKnownGood(packet) === false ? 'conntrack' : null;
  }

  #tell(detector: DetectorName, packet: Endpoints, threshold: Threshold, proof: 'conntrack' | null): void {
    const found = {
      detector,
      source: sourceText(packet, this.#sources.wholeNet),
      target: targetText(packet),
      count: this.#sources.found,
      window: threshold.window,
      ban: threshold.banMs / 1000,
      proof,
      knownGood: knownGoodOf(packet, this.#connections),
    };
    this.#report(found);
    if (detector === 'syn_rate' || proof !== null || this.#sources.wholeNet) return;
    const { family, source0, source1, source2, source3, target0, target1, target2, target3 } = packet;
    const of = { family, source0, source1, source2, source3, target0, target1, target2, target3 };
    this.#unproven.push({ of, at: this.#now, found });
    if (this.#unproven.length > PROOF_WAITING) this.#unproven.shift();
  }
}

function isSameSource(a: Endpoints, b: Endpoints): boolean {
  return (
    a.family === b.family &&
    a.source0 === b.source0 &&
    a.source1 === b.source1 &&
    a.source2 === b.source2 &&
    a.source3 === b.source3
  );
}

/** A destination as one value; two of them may look alike once in four billion. */
export function hostValue(of: Endpoints): number {
  return of.family === 4 ? of.target0 : hash(0, of.target0, of.target1, of.target2, of.target3, 0);
}
