import { readFileSync } from 'node:fs';

const [IPV4, IPV6] = [0x0800, 0x86dd];
const TAGS = [0x8100, 0x88a8];

/** The IP packets of an Ethernet capture (classic pcap, low byte first), VLAN tags taken off. */
export function capturesIn(file) {
  const data = readFileSync(file);
  if (data.readUInt32LE(0) !== 0xa1b2c3d4) return [];
  if (data.readUInt32LE(20) !== 1) return [];
  const packets = [];
  for (let at = 24; at + 16 <= data.length; ) {
    const captured = data.readUInt32LE(at + 8);
    const frame = data.subarray(at + 16, at + 16 + captured);
    const onWire = data.readUInt32LE(at + 12);
    at += 16 + captured;
    let from = 14;
    while (from < frame.length && TAGS.includes(frame.readUInt16BE(from - 2))) from += 4;
    if (from >= frame.length || ![IPV4, IPV6].includes(frame.readUInt16BE(from - 2))) continue;
    packets.push({ bytes: new Uint8Array(frame.subarray(from)), wireLength: onWire - from });
  }
  return packets;
}
