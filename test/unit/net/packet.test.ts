import { describe, expect, it } from 'vitest';
import { OUTCOME, type Outcome, Packet } from '../../../src/net/packet.js';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
const packet = new Packet();
const parse = (text: string, wireLength?: number): Outcome => {
  const bytes = hex(text);
  return packet.parse(bytes, 0, bytes.length, wireLength ?? bytes.length);
};

const V4 = (protocol: string, length: string, fragment = '0000') =>
  `45 00 ${length} 00 01 ${fragment} 40 ${protocol} 00 00 cb 00 71 42 c0 a8 32 0a`;
const V6 = (next: string, payload: string) =>
  `60 00 00 00 ${payload} ${next} 40 20010db8006600000000000000000066 20010db8005000000000000000000010`;
const SYN = '30 39 00 50 00 00 00 01 00 00 00 00 50 02 20 00 00 00 00 00';

describe('a packet parser', () => {
  it('reads a SYN over IPv4', () => {
    expect(parse(V4('06', '00 28') + SYN)).toBe(OUTCOME.OK);
    expect(packet).toMatchObject({ family: 4, protocol: 6, length: 40, sourcePort: 12345, targetPort: 80, flags: 2 });
    expect([packet.source0 >>> 0, packet.target0 >>> 0]).toEqual([0xcb007142, 0xc0a8320a]);
  });

  it('reads over IPv4 options', () => {
    expect(parse(`46${V4('06', '00 2c').slice(2)} 01010101 ${SYN}`)).toBe(OUTCOME.OK);
    expect(packet.targetPort).toBe(80);
  });

  it('reads a SYN over IPv6, behind every extension header that it follows', () => {
    expect(parse(V6('06', '00 14') + SYN)).toBe(OUTCOME.OK);
    expect(packet).toMatchObject({
      family: 6,
      length: 60,
      targetPort: 80,
      flags: 2,
      source0: 0x20010db8,
      source3: 0x66,
    });
    // hop-by-hop, routing, destination options (16 bytes), fragment (whole), authentication (12 bytes).
    const headers = `2b 00 010400000000  3c 00 000000000000  2c 01 01040000000000000000000000 00  33 00 0000 00000001  06 01 0000 00000000 00000000`;
    expect(parse(`${V6('00', '00 48')} ${headers} ${SYN}`)).toBe(OUTCOME.OK);
    expect(packet).toMatchObject({ protocol: 6, targetPort: 80, flags: 2 });
  });

  it('takes the length from the header, not from the bytes that were copied', () => {
    expect(parse(`${V4('01', '0b d4')} 08 00 00 00 00 01 00 01`, 3028)).toBe(OUTCOME.OK);
    expect(packet).toMatchObject({ length: 3028, type: 8, code: 0 });
    expect(parse(`${V6('3a', '05 dc')} 80 00 00 00`, 1540)).toBe(OUTCOME.OK);
    expect(packet).toMatchObject({ length: 1540, type: 128 });
  });

  it('takes the length on the wire where the header has none', () => {
    expect(parse(V4('06', '00 00') + SYN, 70_000)).toBe(OUTCOME.OK);
    expect(packet.length).toBe(70_000);
    expect(parse(`${V6('00', '00 00')} 06 00 c2 04 00 01 11 70 ${SYN}`, 70_040)).toBe(OUTCOME.OK);
    expect(packet).toMatchObject({ length: 70_040, targetPort: 80 });
  });

  it('tells fragments apart: with a transport header, and without', () => {
    expect(parse(V4('06', '00 28', '00 01') + SYN)).toBe(OUTCOME.FRAGMENT);
    expect(packet).toMatchObject({ family: 4, targetPort: 0, flags: 0 });
    expect(parse(V4('06', '00 28', '20 00') + SYN)).toBe(OUTCOME.OK);
    // nmap -f: the first fragment ends within the TCP header.
    expect(parse(`${V4('06', '00 1c', '20 00')} 30 39 00 50 00 00 00 01`)).toBe(OUTCOME.FRAGMENT);
    expect(parse(`${V6('2c', '00 1c')} 06 00 0008 00000001 ${SYN}`)).toBe(OUTCOME.FRAGMENT);
    expect(parse(`${V6('2c', '00 10')} 06 00 0001 00000001 30 39 00 50 00 00 00 01`)).toBe(OUTCOME.FRAGMENT);
  });

  it('calls a packet truncated when its bytes end before its headers', () => {
    const syn = hex(V4('06', '00 28') + SYN);
    for (let length = 0; length < 40; length++) expect(packet.parse(syn, 0, length, 40)).toBe(OUTCOME.TRUNCATED);
    expect(packet.parse(syn, 0, 40, 40)).toBe(OUTCOME.OK);
    expect(parse(`${V6('00', '01 00')} 06 1c 0104`)).toBe(OUTCOME.TRUNCATED);
    expect(parse(`${V6('2c', '01 00')} 06 00`)).toBe(OUTCOME.TRUNCATED);
  });

  it('calls a packet malformed when its headers contradict themselves', () => {
    expect(parse(`54${V4('06', '00 28').slice(2)}${SYN}`)).toBe(OUTCOME.MALFORMED); // version 5
    expect(parse(`44${V4('06', '00 28').slice(2)}${SYN}`)).toBe(OUTCOME.MALFORMED); // header of 16 bytes
    expect(parse(V4('06', '00 13') + SYN)).toBe(OUTCOME.MALFORMED); // shorter than its header
    expect(parse(V4('06', '00 20') + SYN)).toBe(OUTCOME.MALFORMED); // ends within TCP, though more bytes follow
    expect(parse(V4('06', '00 28') + SYN.replace('50 02', '40 02'))).toBe(OUTCOME.MALFORMED); // TCP header of 16 bytes
    expect(parse(V4('06', '00 28') + SYN.replace('50 02', '60 02'))).toBe(OUTCOME.MALFORMED); // TCP header past the end
    expect(parse(`${V6('3c', '00 14')} 06 ff 0000 00000000 ${'00'.repeat(12)}`)).toBe(OUTCOME.MALFORMED);
    // Two bytes of ICMP by its own length; what follows is padding of the frame and not a part of it.
    expect(parse(`${V4('01', '00 16')} 08 00 00 00 00 01 00 01`)).toBe(OUTCOME.MALFORMED);
    const endless = '3c 00 010400000000'.repeat(13);
    expect(parse(`${V6('3c', '00 7c')} ${endless} ${SYN}`)).toBe(OUTCOME.MALFORMED);
  });

  it('trusts an extension header only when all of it is there', () => {
    // Destination options of 16 bytes and then GRE, in a packet of 8 bytes behind its header; whole; cut on the way.
    expect(parse(`${V6('3c', '00 08')} 2f 01 010c 00000000`)).toBe(OUTCOME.MALFORMED);
    expect(parse(`${V6('3c', '00 10')} 2f 01 010c 00000000 0000000000000000`)).toBe(OUTCOME.OK);
    expect(parse(`${V6('3c', '00 10')} 2f 01 010c 00000000`, 56)).toBe(OUTCOME.TRUNCATED);
    expect(packet.protocol).toBe(0);
    // Four bytes of a fragment header, which ends within its eight.
    expect(parse(`${V6('2c', '00 04')} 06 00 0008`)).toBe(OUTCOME.MALFORMED);
    expect(parse(`${V6('2c', '00 08')} 06 00 0008`, 48)).toBe(OUTCOME.TRUNCATED);
    // A first fragment may end anywhere, also within a second fragment header.
    expect(parse(`${V6('2c', '00 0c')} 2c 00 0001 00000001 06 00 0000`)).toBe(OUTCOME.FRAGMENT);
  });

  it('reads ICMPv6 only over IPv6 and ICMP only over IPv4', () => {
    expect(parse(`${V4('3a', '00 1c')} 80 00 00 00 00 00 00 00`)).toBe(OUTCOME.OK);
    expect(packet).toMatchObject({ protocol: 58, type: 0 });
    expect(parse(`${V6('01', '00 08')} 08 00 00 00 00 00 00 00`)).toBe(OUTCOME.OK);
    expect(packet).toMatchObject({ protocol: 1, type: 0 });
  });

  it('reads the ports of UDP, UDP-Lite and SCTP', () => {
    for (const [protocol, header] of [
      ['11', '30 39 00 35 00 08 00 00'],
      ['88', '30 39 00 35 00 08 00 00'],
      ['84', '30 39 00 35 01020304 05060708'],
    ] as const) {
      const size = header.replaceAll(' ', '').length / 2;
      const lengths = [20 + size, size].map((n) => `00 ${n.toString(16).padStart(2, '0')}`) as [string, string];
      const ports = { protocol: Number.parseInt(protocol, 16), transport: true, sourcePort: 12345, targetPort: 53 };
      expect(parse(V4(protocol, lengths[0]) + header)).toBe(OUTCOME.OK);
      expect(packet).toMatchObject({ family: 4, ...ports });
      expect(parse(V6(protocol, lengths[1]) + header)).toBe(OUTCOME.OK);
      expect(packet).toMatchObject({ family: 6, ...ports });
      // A byte less: cut on the way, or by the packet's own length.
      const whole = hex(V4(protocol, lengths[0]) + header);
      expect(packet.parse(whole, 0, whole.length - 1, whole.length)).toBe(OUTCOME.TRUNCATED);
      expect(packet).toMatchObject({ transport: false, sourcePort: 0, targetPort: 0 });
      whole[3] = (whole[3] as number) - 1;
      expect(packet.parse(whole, 0, whole.length)).toBe(OUTCOME.MALFORMED);
      expect(parse(`${V4(protocol, '00 1b', '20 00')} 30 39 00 35 00 08 00`)).toBe(OUTCOME.FRAGMENT);
      expect(parse(V4(protocol, lengths[0], '00 01') + header)).toBe(OUTCOME.FRAGMENT);
      expect(packet).toMatchObject({ transport: false, targetPort: 0 });
    }
  });

  it('forgets the packet before', () => {
    parse(V4('06', '00 28') + SYN);
    parse(`${V4('2f', '00 1c')} 30 39 00 35 00 08 00 00`);
    expect(packet).toMatchObject({ protocol: 47, transport: false, sourcePort: 0, targetPort: 0, flags: 0 });
  });
});
