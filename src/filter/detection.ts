/**
 * filter: the packet path. The kernel queues first packets to a worker thread
 * (`queue-worker`), which parses them, counts per source in tables of fixed
 * size, gives exactly one verdict each and reports what it detected. Nothing
 * here waits for anything but the next batch of packets.
 */
import type { EpochMs, Seconds } from '../base/clock.js';

export type DetectorName = 'syn_rate' | 'icmp_rate' | 'port_scan';

/**
 * What a detector saw. The source of a first packet may be forged, so a
 * detection is never proof by itself.
 */
export interface Detection {
  readonly detector: DetectorName;
  /** Canonical prefix text: a /32; a /128 when one address of its /64 was seen, else the /64. */
  readonly source: string;
  /** Last destination address seen, canonical. */
  readonly target: string;
  /** Packets, or distinct ports for `port_scan`, counted in the window. */
  readonly count: number;
  /** The window that the count was taken over. */
  readonly window: Seconds;
  readonly at: EpochMs;
  /** How long the configuration asks to ban for. */
  readonly ban: Seconds;
}
