import type { FilterConfig } from '../config/config.js';
import { type Packet, PROTOCOL, TCP_FLAG } from '../net/packet.js';
import { type Detector, type Report, VERDICT, type Verdict } from './detector.js';
import { PortWindows } from './port-window.js';
import { SourceLimit } from './source-limit.js';

/** Bytes that one table of ports may take; with more ports a source there are fewer sources. */
const TABLE_BYTES = 8 << 20;

/**
 * `port_scan`: a source that touches more different TCP ports than the limit
 * within the window, on whatever destinations.
 *
 * Ports are counted and not (destination, port) pairs: one person behind this
 * machine who opens a page, or an office behind one address, reaches dozens of
 * hosts on port 443 within a minute, and from first packets alone that looks like
 * a sweep of one port over many hosts.
 *
 * Counted are packets that only a prober or the opening of a connection sends:
 * SYN without ACK or RST; the stealth scans' NULL, FIN and Xmas (no SYN, ACK or
 * RST); and a lone ACK to a port below 1024, for ACK scans. A forgotten
 * conversation's stray ACKs go to one server port or to high client ports, so
 * they never add up. A RST, and anything else with ACK, is somebody's answer.
 */
export class PortScan implements Detector {
  readonly #limit: SourceLimit;

  constructor(config: NonNullable<FilterConfig['scan']>, report: Report, seed: number) {
    const { most: ports, within, ban } = config;
    this.#limit = new SourceLimit({
      detector: 'port_scan',
      limit: ports,
      window: within,
      ban,
      sources: slotsFor(ports),
      counter: (slots) => new PortWindows(slots, ports, within * 1000),
      seed,
      report,
    });
  }

  get evictions(): number {
    return this.#limit.evictions;
  }

  judge(packet: Packet, now: number): Verdict {
    if (packet.protocol !== PROTOCOL.TCP || !isProbe(packet.flags, packet.targetPort)) return VERDICT.ACCEPT;
    return this.#limit.judge(packet, now, packet.targetPort);
  }
}

function isProbe(flags: number, port: number): boolean {
  const { SYN, ACK, RST, FIN, PSH, URG } = TCP_FLAG;
  if ((flags & RST) !== 0) return false;
  if ((flags & ACK) === 0) return true;
  return (flags & (SYN | FIN | PSH | URG)) === 0 && port < 1024;
}

/** The largest power of two of sources whose lists fit `TABLE_BYTES`; 10 bytes a port. */
function slotsFor(ports: number): number {
  return Math.max(256, 2 ** Math.floor(Math.log2(TABLE_BYTES / ((ports + 1) * 10))));
}
