/**
 * filter: the packet path. The kernel queues first packets to a worker thread
 * (`queue-worker`), which parses them, counts per source in tables of fixed
 * size, gives exactly one verdict each and reports what it detected. Nothing
 * here waits for anything but the next batch of packets.
 */
import type { EpochMs, Seconds } from '../base/clock.js';

export type DetectorName =
  | 'syn_rate'
  | 'icmp_rate'
  | 'udp_rate'
  | 'port_scan'
  | 'slow_scan'
  | 'host_sweep'
  | 'ping_sweep'
  | 'stealth_scan'
  | 'ack_scan'
  | 'packet_rule';

/**
 * What a detector saw. The source of a first packet may be forged: only a
 * connection that was completed within the offence itself proves it.
 */
export interface Detection {
  readonly detector: DetectorName;
  /** Canonical prefix text: a /32; a /128 when one address of its /64 was seen, else the /64. */
  readonly source: string;
  /** Last destination address seen, canonical. */
  readonly target: string;
  /** Packets, distinct ports (scans) or distinct hosts (sweeps), counted in the window. */
  readonly count: number;
  /** The window that the count was taken over; 0 for `packet_rule`. */
  readonly window: Seconds;
  readonly at: EpochMs;
  /** How long the configuration asks to ban for. */
  readonly ban: Seconds;
  /** `conntrack`: connections that belong to the offence were completed both ways. */
  readonly proof: 'conntrack' | null;
  /** Whether the source completed connections within the last day, before the offence; `null` = nothing tells. */
  readonly knownGood: boolean | null;
  /** The packet rule, as the file says it; only of `packet_rule`. */
  readonly rule?: string;
}

/** Many sources against one service of ours; bans nobody. */
export interface Flood {
  /** Canonical address of the service. */
  readonly target: string;
  readonly port: number;
  readonly state: 'on' | 'off';
  /** Unanswered connection attempts a second, when it was last looked at. */
  readonly perSecond: number;
  /** Different sources, about. */
  readonly sources: number;
  readonly at: EpochMs;
}
