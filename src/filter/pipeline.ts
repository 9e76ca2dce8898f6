import type { EpochMs } from '../base/clock.js';
import type { FilterConfig, PacketRule } from '../config/config.js';
import { isIcmp, OUTCOME, Packet, PROTOCOL, TCP_FLAG } from '../net/packet.js';
import type { Prefix } from '../net/prefix.js';
import { AckScan } from './ack-scan.js';
import { Attempts, listsOf, portValue } from './attempts.js';
import type { Detection, DetectorName, Flood } from './detection.js';
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
import { type FloodedService, FloodWatch } from './flood-watch.js';
import { IcmpFilter } from './icmp-filter.js';
import { NetworkMasks } from './network-masks.js';
import { PacketRules } from './packet-rules.js';
import type { SharedCounts } from './shared-counts.js';
import { SourceLimit } from './source-limit.js';
import { LEVEL, Sources } from './sources.js';
import { DayClock, Threshold } from './threshold.js';

/** UDP ports from here on are those of clients: what comes to them late is an answer, not a probe. */
const CLIENT_PORTS = 32_768;
const LOOK_EVERY_MS = 250;

export interface PipelineOptions {
  readonly config: FilterConfig;
  /** Of the hash tables, unknown to others. */
  readonly seed: number;
  /** Networks whose hosts neither scan nor sweep. */
  readonly home?: readonly Prefix[];
  /** `null` where nothing tells of completed connections. */
  readonly connections?: KnownConnections | null;
  /** Share of all first packets that comes here: a half with two queues. */
  readonly share?: number;
  /** What the workers of other queues counted; `null` when this is the only one. */
  readonly shared?: SharedCounts | null;
  readonly observer?: Observer | null;
}

/** Sees each packet that could be read, before it is judged, and each connection that was completed. */
export interface Observer {
  /** @param now monotonic milliseconds, fractions included */
  note(packet: Packet, now: number): void;
  completed?(connection: Connection): void;
}

type Connection = Endpoints & { readonly sourcePort: number; readonly targetPort: number };

/**
 * One packet in, one verdict out: parse, the operator's own rules, then the
 * detectors of its protocol. What cannot be parsed is accepted and counted.
 * `judge` may throw only if something here has a defect; the queue answers that
 * with ACCEPT.
 */
export class Pipeline {
  malformed = 0;
  truncated = 0;
  fragments = 0;
  /** Packets whose source was their own destination. */
  land = 0;
  /** Sees what the detectors see; while learning, say. */
  observer: Observer | null;
  readonly #packet = new Packet();
  readonly #o: PipelineOptions;
  readonly #rules: PacketRules | null;
  readonly #ruled: Sources | null;
  readonly #attempts: Attempts | null;
  readonly #flood: FloodWatch | null;
  readonly #icmp: IcmpFilter | null;
  readonly #udp: SourceLimit | null;
  readonly #stealth: SourceLimit | null;
  readonly #ack: AckScan | null;
  readonly #ackLimit: SourceLimit | null;
  readonly #scans: boolean;
  readonly #thresholds: readonly Threshold[];
  readonly #day: DayClock;
  readonly #pending: Detection[] = [];
  #now = 0;
  #at: EpochMs = 0;
  #settledAt = Number.POSITIVE_INFINITY;
  #monotonic = 0;
  #nextLook = 0;

  constructor(options: PipelineOptions) {
    this.#o = options;
    this.observer = options.observer ?? null;
    const { config, seed, connections = null, home = [], share = 1, shared = null } = options;
    const report: Report = (found) => this.#pending.push({ ...found, at: this.#at });
    const common = { seed, home: new NetworkMasks(home), connections, report, shared };
    const limit = (detector: DetectorName, threshold: Threshold, counts: 'packets' | 'values', records: number) =>
      new SourceLimit({ detector, threshold, counts, records, lists: listsOf(threshold.most, 1 << 19), ...common });
    const { syn, scan, slowScan, sweep, icmp, pingSweep, udp, stealth, ackScan, flood, rules } = config;
    this.#rules = rules.length > 0 ? new PacketRules(rules) : null;
    this.#ruled = rules.some((rule) => rule.then.kind === 'ban')
      ? new Sources({ name: 'packet_rule', seed, records: 4096, rateMs: 1000, touches: [], shared: null })
      : null;
    this.#scans = scan !== null || slowScan !== null;
    this.#attempts = syn || this.#scans || sweep ? new Attempts(config, common) : null;
    this.#flood = flood && new FloodWatch(flood, seed, share);
    this.#icmp = icmp || pingSweep ? new IcmpFilter(config, common) : null;
    this.#udp = udp && limit('udp_rate', Threshold.ofRate(udp), 'packets', 8192);
    this.#stealth = stealth && limit('stealth_scan', Threshold.ofCount(stealth), 'values', 4096);
    this.#ackLimit = ackScan && limit('ack_scan', Threshold.ofCount(ackScan), 'values', 4096);
    this.#ack = this.#ackLimit && new AckScan(this.#ackLimit, seed, connections);
    this.#thresholds = [
      ...(this.#attempts?.thresholds ?? []),
      ...(this.#icmp?.thresholds ?? []),
      this.#udp?.threshold ?? null,
      this.#stealth?.threshold ?? null,
      this.#ackLimit?.threshold ?? null,
    ].filter((one) => one !== null);
    this.#day = new DayClock(config.timeZone);
  }

  get evictions(): number {
    let sum = 0;
    for (const one of [this.#attempts, this.#icmp, this.#udp, this.#stealth, this.#ackLimit])
      sum += one?.evictions ?? 0;
    return sum;
  }

  /** Packets that each of the packet rules decided. */
  get ruleHits(): Float64Array | null {
    return this.#rules?.hits ?? null;
  }

  /**
   * Sets the time of the packets that follow; once a batch.
   * @param monotonic milliseconds that never go back
   */
  tick(monotonic: number, wall: EpochMs): void {
    this.#monotonic = monotonic;
    this.#now = Math.floor(monotonic) | 0;
    this.#at = wall;
    const minute = this.#day.next(wall);
    if (minute !== null) for (const threshold of this.#thresholds) threshold.follow(minute);
    if (this.#flood === null) return;
    this.#flood.tick(wall);
    if (monotonic < this.#nextLook) return;
    this.#nextLook = monotonic + LOOK_EVERY_MS;
    this.#flood.look(this.#now, wall);
  }

  /**
   * From when on stray ACKs count (monotonic milliseconds): connection tracking
   * has to have seen the conversations that go on.
   */
  settle(at: number): void {
    this.#settledAt = at;
  }

  /** The verdict for `bytes[start .. start + captured)` of a packet of `wireLength` bytes. */
  readonly judge = (bytes: Uint8Array, start: number, captured: number, wireLength: number): Verdict => {
    const packet = this.#packet;
    const outcome = packet.parse(bytes, start, captured, wireLength);
    if (outcome !== OUTCOME.OK) {
      if (outcome !== OUTCOME.FRAGMENT) {
        if (outcome === OUTCOME.TRUNCATED) this.truncated += 1;
        else this.malformed += 1;
        return VERDICT.ACCEPT;
      }
      this.fragments += 1;
      return this.#rules === null ? VERDICT.ACCEPT : (this.#ruling(packet, this.#rules) ?? VERDICT.ACCEPT);
    }
    this.observer?.note(packet, this.#monotonic);
    if (this.#o.config.land && isLand(packet)) {
      this.land += 1;
      return VERDICT.DROP;
    }
    const ruling = this.#rules === null ? null : this.#ruling(packet, this.#rules);
    if (ruling !== null) return ruling;
    if (packet.protocol === PROTOCOL.TCP) return this.#tcp(packet);
    if (isIcmp(packet.family, packet.protocol)) return this.#icmp?.judge(packet, this.#now) ?? VERDICT.ACCEPT;
    return this.#other(packet);
  };

  #tcp(packet: Packet): Verdict {
    const { SYN, ACK, FIN, RST } = TCP_FLAG;
    const state = packet.flags & (SYN | ACK | FIN | RST);
    if (state === SYN) {
      this.#flood?.attempt(packet, this.#now);
      return this.#attempts?.connect(packet, this.#now) ?? VERDICT.ACCEPT;
    }
    // No system sends these: NULL, FIN, Xmas; SYN with FIN or with RST.
    if (state === 0 || state === FIN || ((state & SYN) !== 0 && (state & (FIN | RST)) !== 0)) {
      if (this.#stealth === null) return VERDICT.ACCEPT;
      this.#stealth.count(packet, this.#now, packet.targetPort);
      return VERDICT.DROP;
    }
    if ((state & (SYN | RST)) !== 0) return VERDICT.ACCEPT;
    this.#attempts?.stray(packet, this.#now);
    if (this.#monotonic >= this.#settledAt) this.#ack?.probe(packet, this.#now);
    return VERDICT.ACCEPT;
  }

  #other(packet: Packet): Verdict {
    let verdict: Verdict = VERDICT.ACCEPT;
    const isUdp = packet.protocol === PROTOCOL.UDP;
    if (isUdp && this.#udp !== null && this.#udp.count(packet, this.#now) !== LEVEL.BELOW) verdict = VERDICT.DROP;
    if (!this.#scans || (isUdp && (this.#udp === null || packet.targetPort >= CLIENT_PORTS))) return verdict;
    // Of protocols without ports the port is 0: each counts as one value.
    const value = portValue(packet.protocol, packet.targetPort);
    return this.#attempts?.probe(packet, value, this.#now) === VERDICT.DROP ? VERDICT.DROP : verdict;
  }

  /** What the operator's rules say; `null` when none matches. */
  #ruling(packet: Packet, rules: PacketRules): Verdict | null {
    const index = rules.match(packet);
    if (index < 0) return null;
    const rule = this.#o.config.rules[index] as PacketRule;
    if (rule.then.kind === 'accept') return VERDICT.ACCEPT;
    if (rule.then.kind === 'reject') return VERDICT.REJECT;
    if (rule.then.kind === 'ban') this.#banBy(rule, rule.then.duration, packet);
    return VERDICT.DROP;
  }

  #banBy(rule: PacketRule, ban: number, packet: Packet): void {
    if (this.#ruled === null) return;
    if (this.#ruled.report(packet, this.#now, ban * 1000) !== LEVEL.OVER_AND_NEW) return;
    const { connections = null } = this.#o;
    this.#pending.push({
      detector: 'packet_rule',
      source: sourceText(packet, false),
      target: targetText(packet),
      count: 1,
      window: 0,
      at: this.#at,
      ban,
      proof: null,
      knownGood: knownGoodOf(packet, connections),
      rule: rule.text,
    });
  }

  /** A connection was completed both ways: nothing of it counts any more. */
  completed(connection: Connection): void {
    this.#attempts?.completed(connection, this.#now);
    this.#flood?.completed(connection);
    this.observer?.completed?.(connection);
  }

  /** Somebody's packet was answered only by RST. */
  refused(connection: Connection): void {
    this.#ack?.refused(connection, this.#now);
  }

  /** Events of connection tracking were lost: some of what looks unanswered may have been completed. */
  lostConnections(): void {
    this.#attempts?.blind(this.#now);
    this.#flood?.blind(this.#now);
  }

  /** Services under a SYN flood now. */
  get flooded(): Iterable<FloodedService> {
    return this.#flood?.ongoing.values() ?? [];
  }

  get hasDetections(): boolean {
    return this.#pending.length > 0;
  }

  /** Takes what was detected since the last call. */
  take(): Detection[] {
    return this.#pending.splice(0);
  }

  /** Takes the floods that began or ended since the last call. */
  takeFloods(): Flood[] {
    return this.#flood?.hasNews === true ? this.#flood.take() : [];
  }
}

function isLand(packet: Packet): boolean {
  return (
    packet.source0 === packet.target0 &&
    packet.source1 === packet.target1 &&
    packet.source2 === packet.target2 &&
    packet.source3 === packet.target3
  );
}
