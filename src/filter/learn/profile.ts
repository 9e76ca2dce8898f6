/**
 * filter/learn: what sources really do, in memory of fixed size, so that
 * thresholds can be proposed from it. The profile watches the same parsed first
 * packets as the detectors, beside them and deciding nothing; `report` is what it
 * hands over, `propose` makes a configuration of that.
 */
import type { FilterConfig } from '../../config/config.js';
import { isIcmp, type Packet, PROTOCOL, TCP_FLAG } from '../../net/packet.js';
import { type Prefix, prefix } from '../../net/prefix.js';
import type { Endpoints } from '../detector.js';
import { Different } from './different.js';
import { PendingConnections } from './pending.js';
import { Regulars } from './regulars.js';
import { type MeasureName, type ProfileReport, windowsOf } from './report.js';
import { SpreadCount, VisitPeaks } from './spread.js';
import { mixKey, VisitTable } from './visit-table.js';
import { DistinctWindows, EventWindows } from './windows.js';

const UDP = 17;
/** Sources that each rate and each number of different things is kept for. */
const RATE_SLOTS = 16_384;
const DISTINCT_SLOTS = 8192;
const REGULAR_SLOTS = 8192;
const PENDING = 32_768;
/** A connection that is completed later than this counts as not completed, ms. */
const GRACE = 5000;
/** Neighbours on a wire; never banned. */
const LINK_LOCAL = prefix('fe80::/10');
/** Bits that remember who completed a connection. */
const CLIENT_BITS = 2 ** 20;

export interface ProfileOptions {
  readonly filter: FilterConfig;
  readonly seed: number;
  /** Whether somebody says which connections are completed (`completed`, `answered`); otherwise each attempt counts. */
  readonly answers: boolean;
  /** Sources left out: own networks, which the filter never bans. */
  readonly home: readonly Prefix[];
  /** Epoch milliseconds at the time 0 of the packets' clock. */
  readonly origin: number;
}

export class TrafficProfile {
  readonly #o: ProfileOptions;
  readonly #measures: Readonly<Record<MeasureName, VisitPeaks>>;
  readonly #sizes = new SpreadCount();
  readonly #pending: PendingConnections;
  readonly #regulars: Regulars;
  readonly #sources = new Different();
  readonly #clients = new Uint32Array(CLIENT_BITS / 32);
  readonly #home: readonly Net[];
  #packets = 0;
  #leftOut = 0;
  #connections = 0;
  #first = -1;
  #now = 0;

  constructor(options: ProfileOptions) {
    this.#o = options;
    const { seed, filter, answers } = options;
    const windows = windowsOf(filter);
    const known = (table: VisitTable, slot: number) =>
      !answers || this.#isClient(table.word(slot, 0), table.word(slot, 1), table.word(slot, 4));
    const everybody = () => true;
    const peaks = (name: MeasureName, isClient: typeof known, distinct: boolean) => {
      const windowMs = windows[name] * 1000;
      const slots = distinct ? DISTINCT_SLOTS : RATE_SLOTS;
      return new VisitPeaks({
        table: (ended) => new VisitTable(slots, windowMs, seed, ended),
        counter: (n) => (distinct ? new DistinctWindows(n, windowMs, seed) : new EventWindows(n, windowMs)),
        isClient,
      });
    };
    this.#measures = {
      syn: peaks('syn', known, false),
      flood: peaks('flood', everybody, false),
      icmp: peaks('icmp', everybody, false),
      udp: peaks('udp', everybody, false),
      scan: peaks('scan', known, true),
      slow_scan: peaks('slow_scan', known, true),
      sweep: peaks('sweep', known, true),
      ping_sweep: peaks('ping_sweep', everybody, true),
      stealth: peaks('stealth', everybody, true),
    };
    this.#pending = new PendingConnections(PENDING, GRACE, seed, this.#unanswered);
    this.#regulars = new Regulars(REGULAR_SLOTS, seed);
    this.#home = [...options.home, LINK_LOCAL].map(netOf);
  }

  /** A first packet, as the detectors see it. @param nowMs milliseconds that never go back */
  note(packet: Packet, nowMs: number): void {
    if (this.#first < 0) this.#first = nowMs;
    this.#now = nowMs;
    this.#pending.expire(nowMs);
    if (this.#isHome(packet)) {
      this.#leftOut += 1;
      return;
    }
    this.#packets += 1;
    const { protocol, family } = packet;
    const k0 = packet.source0;
    const k1 = family === 4 ? 0 : packet.source1;
    const tag = family << 16;
    this.#sources.add(mixKey(0, k0, k1, 0, 0, tag));
    if (protocol === PROTOCOL.TCP) this.#tcp(packet, k0, k1, tag, nowMs);
    else if (protocol === UDP) this.#measures.udp.add(k0, k1, 0, 0, tag, nowMs, 0, 1);
    else if (isIcmp(family, protocol)) this.#icmp(packet, k0, k1, tag, nowMs);
  }

  /** A SYN+ACK; its target may complete the connection. */
  answered(p: Packet): void {
    this.#pending.answered(
      p.family,
      p.target0,
      p.target1,
      p.target2,
      p.target3,
      p.source0,
      p.source1,
      p.source2,
      p.source3,
      (p.targetPort << 16) | p.sourcePort,
    );
  }

  /** A further packet of whoever began: completes the connection if it was answered. */
  followed(p: Packet): void {
    this.#complete(
      p.family,
      p.source0,
      p.source1,
      p.source2,
      p.source3,
      p.target0,
      p.target1,
      p.target2,
      p.target3,
      (p.sourcePort << 16) | p.targetPort,
      true,
    );
  }

  /** A connection was completed both ways; its source is whoever began it. */
  completed(c: Endpoints & { readonly sourcePort: number; readonly targetPort: number }): void {
    const ports = (c.sourcePort << 16) | c.targetPort;
    const { family, source0, source1, source2, source3, target0, target1, target2, target3 } = c;
    this.#complete(family, source0, source1, source2, source3, target0, target1, target2, target3, ports, false);
  }

  /**
   * What is known so far; costs some milliseconds.
   * @param nowMs on the clock of `note`
   * @param over no more is to come: what is not completed yet will not be
   */
  report(nowMs: number, over = false): ProfileReport {
    const now = Math.max(nowMs, this.#now);
    this.#pending.expire(over ? Number.POSITIVE_INFINITY : now);
    const at = (ms: number) => Math.round(ms + this.#o.origin);
    const windows = windowsOf(this.#o.filter);
    const measures = Object.fromEntries(
      Object.entries(this.#measures).map(([name, peaks]) => {
        const { clients, strangers } = peaks.export();
        const dated = (spread: typeof clients) => ({
          ...spread,
          top: spread.top.map((peak) => ({ ...peak, at: at(peak.at) })),
        });
        const window = windows[name as MeasureName];
        return [name, { window, cut: peaks.cut, clients: dated(clients), strangers: dated(strangers) }];
      }),
    ) as unknown as ProfileReport['measures'];
    const sizes = this.#sizes.export();
    return {
      from: at(this.#first < 0 ? now : this.#first),
      to: at(now),
      answers: this.#o.answers,
      packets: this.#packets,
      leftOut: this.#leftOut,
      connections: this.#connections,
      sources: this.#sources.export(),
      measures,
      sizes: { ...sizes, top: sizes.top.map((peak) => ({ ...peak, at: at(peak.at) })) },
      regulars: this.#regulars.export().map((r) => ({ ...r, first: at(r.first), last: at(r.last) })),
    };
  }

  #tcp(p: Packet, k0: number, k1: number, tag: number, now: number): void {
    const { SYN, ACK, RST, FIN } = TCP_FLAG;
    if ((p.flags & (RST | ACK)) !== 0) return;
    if ((p.flags & (SYN | FIN)) !== SYN) {
      this.#measures.stealth.add(k0, k1, 0, 0, tag, now, p.targetPort, 1);
      return;
    }
    this.#regulars.came(k0, k1, tag, now, p.target0 ^ Math.imul(p.target3 + p.targetPort, 0x9e3779b1), false);
    const { source0: s0, source1: s1, source2: s2, source3: s3 } = p;
    const { target0: t0, target1: t1, target2: t2, target3: t3 } = p;
    if (this.#o.answers)
      this.#pending.open(p.family, s0, s1, s2, s3, t0, t1, t2, t3, (p.sourcePort << 16) | p.targetPort, now);
    else this.#unanswered(p.family, s0, s1, s2, s3, t0, t1, t2, t3, p.targetPort, now, 1);
  }

  #icmp(p: Packet, k0: number, k1: number, tag: number, now: number): void {
    const request = p.family === 4 ? 8 : 128;
    const reply = p.family === 4 ? 0 : 129;
    const essential = p.family === 4 ? p.type === 3 || p.type === 11 || p.type === 12 : p.type < 128 || p.type > 129;
    if (essential) return;
    this.#sizes.add(p.length, k0, k1, 0, 0, tag, now);
    if (p.type === reply) return;
    this.#measures.icmp.add(k0, k1, 0, 0, tag, now, 0, 1);
    if (p.type !== request) return;
    const target = mixKey(0, p.target0, p.target1, p.target2, p.target3, 0);
    this.#measures.ping_sweep.add(k0, k1, 0, 0, tag, now, target, 1);
    this.#regulars.came(k0, k1, tag, now, target, true);
  }

  readonly #unanswered = (
    family: number,
    s0: number,
    s1: number,
    _s2: number,
    _s3: number,
    t0: number,
    t1: number,
    t2: number,
    t3: number,
    port: number,
    at: number,
    times: number,
  ): void => {
    const k1 = family === 4 ? 0 : s1;
    const tag = family << 16;
    const m = this.#measures;
    m.syn.add(s0, k1, 0, 0, tag, at, 0, times);
    m.flood.add(t0, t1, t2, t3, tag | port, at, 0, times);
    m.scan.add(s0, k1, 0, 0, tag, at, port, 1);
    m.slow_scan.add(s0, k1, 0, 0, tag, at, port, 1);
    m.sweep.add(s0, k1, 0, 0, tag, at, mixKey(0, t0, t1, t2, t3, 0), 1);
    if (this.#o.answers) this.#regulars.failed(s0, k1, tag);
  };

  #complete(
    family: number,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    t0: number,
    t1: number,
    t2: number,
    t3: number,
    ports: number,
    onlyAnswered: boolean,
  ): void {
    if (!this.#pending.completed(family, s0, s1, s2, s3, t0, t1, t2, t3, ports, onlyAnswered)) return;
    const k1 = family === 4 ? 0 : s1;
    this.#connections += 1;
    this.#regulars.completed(s0, k1, family << 16);
    const bit = this.#bit(s0, k1, family << 16);
    this.#clients[bit >>> 5] = (this.#clients[bit >>> 5] as number) | (1 << (bit & 31));
  }

  #bit(k0: number, k1: number, tag: number): number {
    return mixKey(this.#o.seed, k0, k1, 0, 0, tag) & (CLIENT_BITS - 1);
  }

  #isClient(k0: number, k1: number, tag: number): boolean {
    const bit = this.#bit(k0, k1, tag);
    return ((this.#clients[bit >>> 5] as number) & (1 << (bit & 31))) !== 0;
  }

  #isHome(p: Packet): boolean {
    for (const net of this.#home) {
      if (net.family !== p.family) continue;
      if ((p.source0 & net.m0) !== net.w0) continue;
      if (p.family === 4) return true;
      if ((p.source1 & net.m1) !== net.w1 || (p.source2 & net.m2) !== net.w2 || (p.source3 & net.m3) !== net.w3)
        continue;
      return true;
    }
    return false;
  }
}

interface Net {
  readonly family: 4 | 6;
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
  readonly m0: number;
  readonly m1: number;
  readonly m2: number;
  readonly m3: number;
}

function netOf({ family, w0, w1, w2, w3, length }: Prefix): Net {
  const mask = (index: number) => {
    const bits = Math.min(32, Math.max(0, length - 32 * index));
    return bits === 0 ? 0 : -1 << (32 - bits);
  };
  return { family, w0, w1, w2, w3, m0: mask(0), m1: mask(1), m2: mask(2), m3: mask(3) };
}
