import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { PacketRules } from '../../../src/filter/packet-rules.js';
import { Packet } from '../../../src/net/packet.js';
import { be16, icmp, ip, tcp } from '../../support/packets.js';

/** The rules as a file writes them, one in a line. */
const rules = (...lines: string[]) =>
  new PacketRules(
    parseConfig(`filter:\n  rules:\n${lines.map((line) => `    - ${line}\n`).join('')}`, 'f').filter.rules,
  );

const packet = new Packet();
function match(of: PacketRules, bytes: Uint8Array, wireLength = bytes.length): number {
  packet.parse(bytes, 0, bytes.length, wireLength);
  return of.match(packet);
}

const V4 = ['192.0.2.1', '198.51.100.9'] as const;
const V6 = ['2001:db8:1::1', '2001:db8:2::9'] as const;
const syn = (port: number, flags = 2, [source, target]: readonly [string, string] = V4) =>
  tcp({ source, target, port, flags, sourcePort: 40_000 });
const udp = (port: number, [source, target]: readonly [string, string] = V4, protocol = 17) =>
  ip(source, target, protocol, [...be16(5353), ...be16(port), 0, 8, 0, 0]);

describe('a packet rule', () => {
  it('matches its protocol, in both families where it exists in both', () => {
    const of = rules('{ proto: udp, then: drop }', '{ proto: tcp, then: accept }', '{ proto: icmp, then: drop }');
    expect([match(of, udp(53)), match(of, udp(53, V6))]).toEqual([0, 0]);
    expect([match(of, syn(80)), match(of, syn(80, 2, V6))]).toEqual([1, 1]);
    expect(match(of, icmp(...V4, 8))).toBe(2);
    expect(match(of, icmp(...V6, 128))).toBe(-1);
    // The number of ICMP over IPv6 is not ICMP, and UDP-Lite is not UDP.
    expect(match(of, ip(...V6, 1, [8, 0, 0, 0]))).toBe(-1);
    expect(match(of, udp(53, V4, 136))).toBe(-1);
    const six = rules('{ proto: icmpv6, then: drop }');
    expect([
      match(six, icmp(...V6, 128)),
      match(six, icmp(...V4, 8)),
      match(six, ip(...V4, 58, [128, 0, 0, 0])),
    ]).toEqual([0, -1, -1]);
  });

  it('matches flags exactly among SYN, ACK, FIN and RST, and PSH and URG where they are named', () => {
    const of = rules(
      '{ proto: tcp, flags: none, then: drop }',
      '{ proto: tcp, flags: syn, then: drop }',
      '{ proto: tcp, flags: [fin, psh, urg], then: drop }',
    );
    expect([match(of, syn(80, 0)), match(of, syn(80, 2)), match(of, syn(80, 0x29))]).toEqual([0, 1, 2]);
    expect([0x12, 0x03, 0x10, 0x01, 0x21, 0x20, 0x08].map((flags) => match(of, syn(80, flags)))).toEqual(
      new Array(7).fill(-1),
    );
    // ECN bits (CWR, ECE) do not make it another packet; PSH is not named by the second rule.
    expect([match(of, syn(80, 0xc2)), match(of, syn(80, 0xc0)), match(of, syn(80, 0x0a))]).toEqual([1, 0, 1]);
  });

  it('matches ports, alone, in lists and in ranges with both ends', () => {
    const of = rules('{ proto: tcp, dport: [22, 8000-8003], then: drop }', '{ proto: udp, sport: 5353, then: drop }');
    expect([21, 22, 23, 7999, 8000, 8003, 8004].map((port) => match(of, syn(port)))).toEqual([-1, 0, -1, -1, 0, 0, -1]);
    expect([match(of, syn(22, 2, V6)), match(of, udp(22)), match(of, udp(1, V6))]).toEqual([0, 1, 1]);
    const edges = rules('{ proto: udp, dport: [0, 65535], then: drop }');
    expect([0, 1, 65_534, 65_535].map((port) => match(edges, udp(port)))).toEqual([0, -1, -1, 0]);
  });

  it('matches networks of either side by their length, never those of the other family', () => {
    const of = rules(
      '{ from: [192.0.2.0/31, "2001:db8:1::/48"], then: drop }',
      '{ to: 198.51.100.9, then: drop }',
      '{ to: "2001:db8:2::8/125", then: drop }',
      '{ from: "::/0", then: accept }',
    );
    expect(match(of, syn(80))).toBe(0);
    expect(match(of, syn(80, 2, ['192.0.2.2', '198.51.100.9']))).toBe(1);
    expect(match(of, syn(80, 2, ['192.0.2.2', '198.51.100.8']))).toBe(-1);
    expect(match(of, syn(80, 2, V6))).toBe(0);
    expect(match(of, syn(80, 2, ['2001:db8:3::1', '2001:db8:2::f']))).toBe(2);
    expect(match(of, syn(80, 2, ['2001:db8:3::1', '2001:db8:2::10']))).toBe(3);
    expect(match(rules('{ from: 0.0.0.0/0, then: drop }'), syn(80, 2, V6))).toBe(-1);
  });

  it('matches every length of a prefix bit by bit', () => {
    const high = ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '::1'] as const;
    for (let length = 0; length <= 128; length++) {
      const bytes = ip(...high, 17, [0, 1, 0, 2, 0, 8, 0, 0]);
      packet.parse(bytes, 0, bytes.length);
      const words = [0, 1, 2, 3].map((i) => {
        const bits = Math.min(32, Math.max(0, length - 32 * i));
        return bits === 0
          ? '0:0'
          : `${((-1 << (32 - bits)) >>> 16).toString(16)}:${((-1 << (32 - bits)) & 0xffff).toString(16)}`;
      });
      const of = rules(`{ from: "${words.join(':')}/${length}", then: drop }`);
      expect(of.match(packet)).toBe(0);
      if (length === 0) continue;
      // The last bit of the network is another.
      const byte = 8 + ((length - 1) >> 3);
      bytes[byte] = (bytes[byte] as number) ^ (0x80 >> ((length - 1) & 7));
      expect(match(of, bytes)).toBe(-1);
    }
  });

  it('matches ICMP types from 0 to 255', () => {
    const of = rules('{ proto: icmp, icmp_type: [0, 31, 32, 255], then: drop }');
    const found = Array.from({ length: 256 }, (_, type) => type).filter((type) => match(of, icmp(...V4, type)) === 0);
    expect(found).toEqual([0, 31, 32, 255]);
  });

  it('matches the length of the whole packet, ends excluded, also when fewer bytes were copied', () => {
    const of = rules('{ proto: icmp, larger_than: 1000, smaller_than: 1200, then: drop }');
    const sized = (length: number) => icmp(...V4, 8, length - 20).subarray(0, 40);
    expect([1000, 1001, 1199, 1200].map((length) => match(of, sized(length), length))).toEqual([-1, 0, 0, -1]);
    const huge = tcp({ source: V6[0], target: V6[1], port: 80 });
    huge.set([0, 0], 4);
    expect(match(rules('{ larger_than: 65535, then: drop }'), huge, 70_000)).toBe(0);
  });

  it('needs all of its conditions; the first such rule decides and is counted', () => {
    const of = rules(
      '{ proto: tcp, flags: syn, dport: 22, from: 192.0.2.0/24, smaller_than: 100, then: ban 10m }',
      '{ proto: tcp, dport: 22, then: reject }',
      '{ proto: tcp, then: drop }',
      '{ proto: tcp, dport: 22, then: accept }',
    );
    expect(match(of, syn(22))).toBe(0);
    expect(match(of, syn(22, 2, ['203.0.113.1', V4[1]]))).toBe(1);
    expect(match(of, syn(22, 0x10))).toBe(1);
    expect(match(of, syn(23))).toBe(2);
    expect(match(of, udp(22))).toBe(-1);
    expect([...of.hits]).toEqual([1, 2, 1, 0]);
  });

  it('that names ports, flags or types passes over what came without its transport header', () => {
    const of = rules(
      '{ proto: tcp, flags: none, then: drop }',
      '{ proto: udp, dport: 0, then: drop }',
      '{ proto: icmp, icmp_type: 0, then: drop }',
      '{ proto: udp, from: 192.0.2.1, then: drop }',
      '{ proto: tcp, larger_than: 30, then: drop }',
    );
    const later = (bytes: Uint8Array) => bytes.with(7, 5);
    expect(match(of, later(syn(80, 0)))).toBe(4);
    expect(match(of, later(udp(0)))).toBe(3);
    expect(match(of, later(icmp(...V4, 0)))).toBe(-1);
    expect([match(of, syn(80, 0)), match(of, udp(0)), match(of, icmp(...V4, 0))]).toEqual([0, 1, 2]);
  });

  it('is none where there are none, or no addresses were read', () => {
    expect(match(new PacketRules([]), syn(80))).toBe(-1);
    expect(match(rules('{ smaller_than: 2000, then: drop }'), Uint8Array.of(0x45, 0, 0))).toBe(-1);
  });
});
