/** Reads classic pcap files (link types Ethernet, Linux cooked, raw IP) into IP packets with their times. */
import { readFileSync } from 'node:fs';

export interface CapturedPacket {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** From the first byte of the IP header. */
  readonly bytes: Uint8Array;
  /** Bytes that were on the wire from there on. */
  readonly wireLength: number;
}

const LINK_HEADER: Record<number, number> = { 0: 4, 1: 14, 12: 0, 101: 0, 113: 16, 228: 0, 229: 0 };

/** The IP packets of a capture; VLAN tags are taken off, other protocols left out. Throws on what is not a pcap file. */
export function readPcap(file: string | URL): CapturedPacket[] {
  const data = readFileSync(file);
  const magic = data.readUInt32LE(0);
  const little = magic === 0xa1b2c3d4 || magic === 0xa1b23c4d;
  const nano = [0xa1b23c4d, 0x4d3cb2a1].includes(magic);
  if (!little && ![0xd4c3b2a1, 0x4d3cb2a1].includes(magic)) throw new Error(`${file}: not a pcap file`);
  const u32 = (at: number) => (little ? data.readUInt32LE(at) : data.readUInt32BE(at));
  const link = u32(20) & 0xffff;
  const header = LINK_HEADER[link];
  if (header === undefined) throw new Error(`${file}: link type ${link}`);
  const packets: CapturedPacket[] = [];
  for (let at = 24; at + 16 <= data.length; ) {
    const time = u32(at) * 1000 + u32(at + 4) / (nano ? 1e6 : 1e3);
    const captured = u32(at + 8);
    const onWire = u32(at + 12);
    const frame = data.subarray(at + 16, at + 16 + captured);
    at += 16 + captured;
    let from = header;
    if (link === 1) {
      while (from + 4 <= frame.length && [0x8100, 0x88a8].includes(frame.readUInt16BE(from - 2))) from += 4;
      if (frame.length < from || ![0x0800, 0x86dd].includes(frame.readUInt16BE(from - 2))) continue;
    }
    if (frame.length > from) {
      packets.push({ at: time, bytes: new Uint8Array(frame.subarray(from)), wireLength: onWire - from });
    }
  }
  return packets;
}
