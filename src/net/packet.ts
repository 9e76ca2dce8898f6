import { ByteReader } from './byte-reader.js';

/** IANA protocol numbers that Barricata looks into. */
export const PROTOCOL = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58, SCTP: 132, UDPLITE: 136 } as const;

/** TCP flag bits (RFC 9293 section 3.1), as the 14th byte of the header has them. */
export const TCP_FLAG = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32 } as const;

/** What became of parsing one packet. Everything but `OK` is let through and counted. */
export const OUTCOME = {
  /** Addresses, length and, for the protocols of `PROTOCOL`, the fields of that header are set. */
  OK: 0,
  /** A fragment that does not carry the transport header; addresses are set. */
  FRAGMENT: 1,
  /** The bytes end before the headers do. */
  TRUNCATED: 2,
  /** The headers contradict themselves. */
  MALFORMED: 3,
} as const;
export type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME];

/** Extension headers followed before giving up; the copied part of a packet has room for eleven. */
const MOST_EXTENSION_HEADERS = 12;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;

/**
 * The headers of one packet, from its first byte of IPv4 (RFC 791) or IPv6
 * (RFC 8200). One object is filled again and again, so that parsing allocates
 * nothing; fields that the outcome does not promise hold 0.
 */
export class Packet {
  family: 0 | 4 | 6 = 0;
  /** Source address in four signed words, network order; IPv4 uses only the first. */
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  target0 = 0;
  target1 = 0;
  target2 = 0;
  target3 = 0;
  /** The transport protocol, behind any extension headers. */
  protocol = 0;
  /** Bytes of the whole IP packet as its header says, also when fewer were copied. */
  length = 0;
  /** Whether ports, or type and code, were read: a 0 in them is then what the packet says. */
  transport = false;
  /** TCP, UDP, UDP-Lite and SCTP. */
  sourcePort = 0;
  targetPort = 0;
  /** TCP flag bits. */
  flags = 0;
  /** ICMP or ICMPv6. */
  type = 0;
  code = 0;

  readonly #reader = new ByteReader();

  /**
   * Parses `bytes[start .. start + captured)`; total over any input.
   *
   * @param wireLength bytes of the packet before it was cut to `captured`; used where the header has no length
   *   (jumbograms, RFC 2675, and segments of over 64 KB that the kernel holds)
   */
  parse(bytes: Uint8Array, start: number, captured: number, wireLength = captured): Outcome {
    this.#clear();
    const reader = this.#reader;
    reader.reset(bytes, start, captured);
    const version = reader.u8(0) >>> 4;
    if (reader.overrun) return OUTCOME.TRUNCATED;
    if (version === 4) return this.#ipv4(reader, wireLength);
    if (version === 6) return this.#ipv6(reader, wireLength);
    return OUTCOME.MALFORMED;
  }

  #clear(): void {
    this.family = 0;
    this.source0 = this.source1 = this.source2 = this.source3 = 0;
    this.target0 = this.target1 = this.target2 = this.target3 = 0;
    this.protocol = 0;
    this.length = 0;
    this.transport = false;
    this.sourcePort = 0;
    this.targetPort = 0;
    this.flags = 0;
    this.type = 0;
    this.code = 0;
  }

  #ipv4(reader: ByteReader, wireLength: number): Outcome {
    if (reader.length < 20) return OUTCOME.TRUNCATED;
    const headerLength = (reader.u8(0) & 15) << 2;
    const length = reader.u16(2) || wireLength;
    if (headerLength < 20 || length < headerLength) return OUTCOME.MALFORMED;
    this.family = 4;
    this.length = length;
    this.protocol = reader.u8(9);
    this.source0 = reader.i32(12);
    this.target0 = reader.i32(16);
    // What lies behind the packet's own end (padding of a short Ethernet frame) is not part of it.
    reader.shorten(length);
    if (reader.length < headerLength) return OUTCOME.TRUNCATED;
    const fragment = reader.u16(6);
    if ((fragment & 0x1fff) !== 0) return OUTCOME.FRAGMENT;
    return this.#transport(reader, headerLength, (fragment & 0x2000) !== 0);
  }

  #ipv6(reader: ByteReader, wireLength: number): Outcome {
    if (reader.length < 40) return OUTCOME.TRUNCATED;
    const payload = reader.u16(4);
    this.family = 6;
    this.length = payload === 0 ? Math.max(40, wireLength) : 40 + payload;
    this.source0 = reader.i32(8);
    this.source1 = reader.i32(12);
    this.source2 = reader.i32(16);
    this.source3 = reader.i32(20);
    this.target0 = reader.i32(24);
    this.target1 = reader.i32(28);
    this.target2 = reader.i32(32);
    this.target3 = reader.i32(36);
    reader.shorten(this.length);
    let next = reader.u8(6);
    let at = 40;
    let more = false;
    for (let headers = 0; isExtension(next); headers++) {
      if (headers === MOST_EXTENSION_HEADERS) return OUTCOME.MALFORMED;
      const following = reader.u8(at);
      const size = reader.u8(at + 1);
      const bytes = next === FRAGMENT ? 8 : next === AUTHENTICATION ? (size + 2) << 2 : (size + 1) << 3;
      if (reader.overrun || at + bytes > reader.length) return this.#cut(at + bytes, more);
      if (next === FRAGMENT) {
        const fragment = reader.u16(at + 2);
        if ((fragment & 0xfff8) !== 0) {
          this.protocol = following;
          return OUTCOME.FRAGMENT;
        }
        more ||= (fragment & 1) !== 0;
      }
      at += bytes;
      next = following;
    }
    this.protocol = next;
    return this.#transport(reader, at, more);
  }

  #transport(reader: ByteReader, at: number, more: boolean): Outcome {
    if (this.protocol === PROTOCOL.TCP) {
      const sourcePort = reader.u16(at);
      const targetPort = reader.u16(at + 2);
      const dataOffset = (reader.u8(at + 12) >>> 4) << 2;
      const flags = reader.u8(at + 13);
      // The whole fixed header is asked for, so that a packet cut in its last bytes is not half trusted.
      reader.u16(at + 18);
      if (reader.overrun) return this.#cut(at + 20, more);
      if (dataOffset < 20 || (!more && at + dataOffset > this.length)) return OUTCOME.MALFORMED;
      this.sourcePort = sourcePort;
      this.targetPort = targetPort;
      this.flags = flags;
      this.transport = true;
    } else if (hasPorts(this.protocol)) {
      const sourcePort = reader.u16(at);
      const targetPort = reader.u16(at + 2);
      const bytes = this.protocol === PROTOCOL.SCTP ? 12 : 8;
      reader.u16(at + bytes - 2);
      // The length in a UDP header is not looked at: what contradicts it is still a packet of a flood.
      if (reader.overrun) return this.#cut(at + bytes, more);
      this.sourcePort = sourcePort;
      this.targetPort = targetPort;
      this.transport = true;
    } else if (isIcmp(this.family, this.protocol)) {
      const type = reader.u8(at);
      const code = reader.u8(at + 1);
      reader.u16(at + 2);
      if (reader.overrun) return this.#cut(at + 4, more);
      this.type = type;
      this.code = code;
      this.transport = true;
    }
    return OUTCOME.OK;
  }

  /** The bytes ended before offset `needed`: split by the sender, impossible by the header's own length, or cut on the way. */
  #cut(needed: number, more: boolean): Outcome {
    if (more) return OUTCOME.FRAGMENT;
    return needed > this.length ? OUTCOME.MALFORMED : OUTCOME.TRUNCATED;
  }
}

function isExtension(next: number): boolean {
  return (
    next === HOP_BY_HOP ||
    next === ROUTING ||
    next === FRAGMENT ||
    next === AUTHENTICATION ||
    next === DESTINATION_OPTIONS
  );
}

/** Protocols whose header is fixed and begins with two ports as TCP's does: RFC 768, 3828 and 9260. */
function hasPorts(protocol: number): boolean {
  return protocol === PROTOCOL.UDP || protocol === PROTOCOL.SCTP || protocol === PROTOCOL.UDPLITE;
}

/** ICMP over IPv4 or ICMPv6 over IPv6; the other two pairings are some other protocol's number. */
export function isIcmp(family: number, protocol: number): boolean {
  return family === 4 ? protocol === PROTOCOL.ICMP : family === 6 && protocol === PROTOCOL.ICMPV6;
}
