import { type Packet, TCP_FLAG } from '../net/packet.js';
import { type Endpoints, type KnownConnections, seedFor } from './detector.js';
import type { SourceLimit } from './source-limit.js';
import { hash } from './source-records.js';

/** ACKs that may wait for an answer at once; a power of two. */
const WAITING = 4096;
/** An answer that comes later is not to that ACK. */
const ANSWER_MS = 5000;
/** Below are the ports of services; what comes to others may belong to a conversation that was forgotten. */
const SERVICES = 1024;

/**
 * `ack_scan`: ACKs out of nowhere, which tell a scanner what a firewall lets
 * through. Only ports that answered by RST count, as connection tracking tells
 * (`refused`): the conversations of before this program was started get no RST.
 *
 * FIN with ACK (nmap -sM) is invalid to connection tracking, which then tells
 * nothing; it counts by itself, to the ports of services only, since forgotten
 * conversations end in FINs to one service or to a client's high ports.
 */
export class AckScan {
  readonly #limit: SourceLimit;
  readonly #connections: KnownConnections | null;
  readonly #seed: number;
  readonly #tags = new Int32Array(WAITING);
  readonly #times = new Int32Array(WAITING);

  constructor(limit: SourceLimit, seed: number, connections: KnownConnections | null) {
    this.#limit = limit;
    this.#connections = connections;
    this.#seed = seedFor(seed, 'ack_scan', 'waiting');
  }

  /** A segment with ACK and without SYN or RST that belongs to no known conversation. */
  probe(packet: Packet, now: number): void {
    if ((packet.flags & TCP_FLAG.FIN) !== 0) {
      if (packet.targetPort < SERVICES) this.#limit.count(packet, now, packet.targetPort);
      return;
    }
    this.#connections?.expectRefusals();
    const tag = this.#tagOf(packet);
    this.#tags[tag & (WAITING - 1)] = tag;
    this.#times[tag & (WAITING - 1)] = now;
  }

  /** Something was answered by RST. */
  refused(connection: Endpoints & { readonly sourcePort: number; readonly targetPort: number }, now: number): void {
    const tag = this.#tagOf(connection);
    const at = tag & (WAITING - 1);
    if (this.#tags[at] !== tag || ((now - (this.#times[at] as number)) | 0) > ANSWER_MS) return;
    this.#tags[at] = 0;
    this.#limit.count(connection, now, connection.targetPort);
  }

  #tagOf(of: Endpoints & { readonly sourcePort: number; readonly targetPort: number }): number {
    const target = hash(0, of.target0, of.target1, of.target2, of.target3, (of.sourcePort << 16) | of.targetPort);
    return hash(this.#seed, of.source0, of.source1, of.source2, of.source3, target);
  }
}
