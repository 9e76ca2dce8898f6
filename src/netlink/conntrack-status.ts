import { readFileSync } from 'node:fs';

/** Settings and fill of connection tracking in this network namespace (kernel: Documentation/networking/nf_conntrack-sysctl.rst). */
export interface ConntrackStatus {
  readonly entries: number;
  /** At this many the packets of new connections are dropped. */
  readonly most: number;
  /** 0: nobody is told of anything, 1: events of every connection, 2: of those that began while somebody listens. */
  readonly events: number;
  /** Packets out of a connection's window count as part of it: any ACK then completes a handshake, also a forged one. */
  readonly liberal: boolean;
}

/** `null` when this kernel does not track connections, or has not begun to. */
export function conntrackStatus(folder = '/proc/sys/net/netfilter'): ConntrackStatus | null {
  const value = (name: string) => Number(readFileSync(`${folder}/nf_conntrack_${name}`, 'latin1'));
  try {
    return {
      entries: value('count'),
      most: value('max'),
      events: value('events'),
      liberal: value('tcp_be_liberal') !== 0,
    };
  } catch {
    return null;
  }
}
