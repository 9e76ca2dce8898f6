import type { TrafficProfile } from '../filter/learn/profile.js';
import { isIcmp, OUTCOME, Packet, PROTOCOL, TCP_FLAG } from '../net/packet.js';
import { type Frame, packetStart } from './frames.js';

const UDP = 17;
/** Conversations of UDP that are remembered, and for how long without a packet: as conntrack does, ms. */
const CONVERSATIONS = 65_536;
const CONVERSATION_MS = 30_000;

/** Gives a profile the first packets of a capture, as the kernel would hand them to the filter. */
export class CaptureLearner {
  packets = 0;
  /** Frames without an IP packet that can be parsed. */
  unusable = 0;
  /** The time of the last packet; never goes back. */
  now = 0;
  readonly #profile: TrafficProfile;
  readonly #packet = new Packet();
  /** By hash of both ends, whoever sends: when a conversation had its last packet. Two that share a place count once. */
  readonly #conversations = new Float64Array(CONVERSATIONS);

  constructor(profile: TrafficProfile) {
    this.#profile = profile;
  }

  take(frame: Frame): void {
    const start = packetStart(frame);
    const p = this.#packet;
    const captured = frame.bytes.length - start;
    if (start < 0 || p.parse(frame.bytes, start, captured, frame.length - start) !== OUTCOME.OK) {
      this.unusable += 1;
      return;
    }
    this.packets += 1;
    const now = Math.max(this.now, Math.floor(frame.at));
    this.now = now;
    if (p.protocol === PROTOCOL.TCP) this.#tcp(p, now);
    else if (isIcmp(p.family, p.protocol)) this.#profile.note(p, now);
    else if (p.protocol === UDP && this.#begins(frame.bytes, start, now)) this.#profile.note(p, now);
  }

  #tcp(p: Packet, now: number): void {
    const { SYN, ACK, RST } = TCP_FLAG;
    if ((p.flags & ACK) === 0) this.#profile.note(p, now);
    else if ((p.flags & (SYN | RST)) === SYN) this.#profile.answered(p);
    else if ((p.flags & RST) === 0) this.#profile.followed(p);
  }

  #begins(bytes: Buffer, start: number, now: number): boolean {
    const p = this.#packet;
    const at = start + (p.family === 4 ? ((bytes[start] as number) & 15) * 4 : 40);
    const ports = at + 4 <= bytes.length ? bytes.readUInt32BE(at) : 0;
    const end = (a: number, b: number, c: number, d: number, port: number) =>
      Math.imul(Math.imul(a ^ (b >>> 1), 0x85ebca6b) ^ Math.imul(c ^ (d >>> 1), 0xc2b2ae35) ^ port, 0x9e3779b1);
    const source = end(p.source0, p.source1, p.source2, p.source3, ports >>> 16);
    const target = end(p.target0, p.target1, p.target2, p.target3, ports & 0xffff);
    // Symmetric, so that an answer belongs to the same conversation.
    const sum = (source + target) | 0;
    const place = (sum ^ (sum >>> 15)) & (CONVERSATIONS - 1);
    const last = this.#conversations[place] as number;
    this.#conversations[place] = now;
    return now - last > CONVERSATION_MS;
  }
}
