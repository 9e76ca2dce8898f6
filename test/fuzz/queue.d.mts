import type { VERDICT } from '../../src/filter/detector.js';
import type { Nfqueue } from '../../src/netlink/nfqueue.js';
import type { NetlinkSocket } from '../../src/netlink/socket.js';

export interface DrivenQueue {
  readonly Nfqueue: typeof Nfqueue;
  readonly NetlinkSocket: typeof NetlinkSocket;
  readonly VERDICT: typeof VERDICT;
}

export interface QueueCampaign {
  /** Packets that got their verdict; of them those whose message lied, and those that the judge was asked about. */
  readonly packets: number;
  readonly hostile: number;
  readonly asked: number;
  readonly exceptions: number;
}

/** @throws Error at the first packet without its own verdict */
export function runQueue(driven: DrivenQueue, options: { readonly packets: number; readonly seed: number }): QueueCampaign;
