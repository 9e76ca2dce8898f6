import { readFileSync } from 'node:fs';

/** One line of `/proc/net/netfilter/nfnetlink_queue` (kernel: net/netfilter/nfnetlink_queue.c, seq_show). */
export interface QueueStatus {
  readonly number: number;
  /** Netlink port of the program that owns the queue; for its first socket that is its process id. */
  readonly port: number;
  /** Packets that wait for a verdict. */
  readonly waiting: number;
  /** Packets dropped because `maxLength` of them waited already. */
  readonly queueDropped: number;
  /** Packets dropped because the receive buffer of the program was full. */
  readonly userDropped: number;
  /** Packets that were given an id. */
  readonly sequence: number;
}

/** Every queue bound in this network namespace, empty when there is none or the kernel has no NFQUEUE. */
export function queueStatuses(file = '/proc/net/netfilter/nfnetlink_queue'): QueueStatus[] {
  let text: string;
  try {
    text = readFileSync(file, 'latin1');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const columns = line.trim().split(/\s+/).map(Number);
    if (columns.length < 8 || columns.some(Number.isNaN)) return [];
    const [number, port, waiting, , , queueDropped, userDropped, sequence] = columns as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return [{ number, port, waiting, queueDropped, userDropped, sequence }];
  });
}

/** Whether this thread has CAP_NET_ADMIN (bit 12, linux/capability.h) in its user namespace; `null` when unreadable. */
export function hasNetAdmin(): boolean | null {
  try {
    const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/thread-self/status', 'latin1'))?.[1];
    return mask === undefined ? null : ((BigInt(`0x${mask}`) >> 12n) & 1n) === 1n;
  } catch {
    return null;
  }
}

/** The name of the process with this id, or an empty text. */
export function processName(id: number): string {
  try {
    return readFileSync(`/proc/${id}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
