import { describe, expect, it } from 'vitest';
import { packetOf, type Shots } from '../../../src/cli/selftest/packets.js';
import { trialsOf } from '../../../src/cli/selftest/trials.js';
import { attackerOf } from '../../../src/cli/selftest/world.js';
import { parseConfig } from '../../../src/config/load.js';
import { targetText } from '../../../src/filter/detector.js';
import { OUTCOME, Packet, TCP_FLAG } from '../../../src/net/packet.js';
import { DEFAULT_FILTER, NO_FILTER } from '../../support/filter.js';

const SHOTS: Shots = {
  protocol: 'tcp',
  source: '203.0.113.200',
  target: '10.66.0.10',
  targets: 1,
  port: 80,
  ports: 1,
  sourcePort: null,
  flags: [TCP_FLAG.SYN],
  size: 40,
  count: 1,
  perSecond: 1,
};

/** The sum over what a checksum protects, the checksum included, is all ones (RFC 1071). */
function sumOf(bytes: Buffer, start: number): number {
  let sum = start;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] as number) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

describe('packets of the self-test', () => {
  it.each([
    ['tcp', 40],
    ['udp', 61],
    ['icmp', 1125],
  ] as const)('of %s have right checksums and parse', (protocol, size) => {
    const bytes = packetOf({ ...SHOTS, protocol, size }, 3, 0xdeadbeef);
    expect(bytes.length).toBe(size);
    expect(sumOf(bytes.subarray(0, 20), 0)).toBe(0xffff);
    const pseudo = { tcp: 6, udp: 17, icmp: 0 }[protocol];
    const ends = sumOf(bytes.subarray(12, 20), 0);
    expect(sumOf(bytes.subarray(20), protocol === 'icmp' ? 0 : pseudo + size - 20 + ends)).toBe(0xffff);
    const packet = new Packet();
    expect(packet.parse(bytes, 0, bytes.length)).toBe(OUTCOME.OK);
    expect(targetText(packet)).toBe('10.66.0.10');
  });

  it('take turns over hosts, ports and flags, and never come from a special network', () => {
    const packet = new Packet();
    const shots = { ...SHOTS, target: '10.66.1.254', targets: 3, ports: 2, flags: [0, 1], source: 'random' as const };
    const seen = Array.from({ length: 6 }, (_, i) => {
      const bytes = packetOf(shots, i, Math.imul(i + 1, 0x9e3779b1) >>> 0);
      packet.parse(bytes, 0, bytes.length);
      expect(packet.source0 >>> 24).toBeGreaterThan(10);
      expect(packet.source0 >>> 24).toBeLessThan(100);
      return `${targetText(packet)} ${packet.targetPort} ${packet.flags}`;
    });
    expect(seen).toEqual([
      '10.66.1.254 80 0',
      '10.66.1.255 81 1',
      '10.66.2.0 80 0',
      '10.66.1.254 81 1',
      '10.66.1.255 80 0',
      '10.66.2.0 81 1',
    ]);
  });
});

describe('attacks of the self-test', () => {
  const named = (name: string, filter = DEFAULT_FILTER) => {
    const trial = trialsOf(filter).find((one) => one.name === name);
    if (trial === undefined) throw new Error(`no attack ${name}`);
    return trial;
  };

  it('are there for every detector, each from an address of its own', () => {
    const trials = trialsOf(DEFAULT_FILTER);
    expect(trials.map(({ name }) => name)).toEqual([
      'syn_rate',
      'icmp_rate',
      'udp_rate',
      'port_scan',
      'slow_scan',
      'host_sweep',
      'ping_sweep',
      'stealth_scan',
      'ack_scan',
      'flood',
      'land',
      'icmp_size',
      'packet_rule',
    ]);
    expect(new Set(trials.map(({ source }) => source)).size).toBe(trials.length);
    expect(named('udp_rate').off).toBe('off');
  });

  it('are off where the detector is', () => {
    expect(trialsOf(NO_FILTER).every(({ off }) => off !== null)).toBe(true);
  });

  it('go over the threshold within its time, and stay below those of others', () => {
    const syn = named('syn_rate').shots;
    expect(syn.count).toBeGreaterThan(600);
    expect(syn.count / syn.perSecond).toBeLessThan(3);
    const ping = named('ping_sweep').shots;
    expect(ping.targets).toBeGreaterThan(20);
    expect(ping.perSecond).toBeLessThan(50);
    const scan = named('port_scan').shots;
    expect(scan.ports).toBeGreaterThan(30);
    expect(scan.perSecond).toBeLessThan(200);
    const filter = parseConfig('filter: { syn: { more_than: 5/s, during: 60s, then: ban 1m } }', 'x').filter;
    expect(named('syn_rate', filter).shots.count).toBeGreaterThan(300);
    expect(named('slow_scan', filter)).toMatchObject({ without: ['scan'], shots: { perSecond: expect.any(Number) } });
    const slow = named('slow_scan', filter).shots;
    expect(slow.count / slow.perSecond).toBeLessThanOrEqual(16);
  });

  it('are made for packet rules as these speak of them', () => {
    const text = `filter: { rules: [
      { proto: udp, dport: 1900, then: drop },
      { proto: tcp, flags: [syn, fin], from: 198.18.0.0/24, larger_than: 100, then: ban 10m },
      { proto: icmpv6, icmp_type: 128, then: drop },
      { proto: icmp, icmp_type: 13, then: reject },
      { proto: tcp, dport: 22, then: accept } ] }`;
    const rules = trialsOf(parseConfig(text, 'x').filter).slice(12);
    expect(rules.map(({ name, off, expected }) => [name, off, expected])).toEqual([
      ['rule 1', null, 'drop'],
      ['packet_rule', null, 'ban'],
      ['rule 3', 'its packets cannot be made here', 'drop'],
      ['rule 4', null, 'drop'],
      ['rule 5', 'an earlier rule may match it first', 'pass'],
    ]);
    expect(rules[0]?.shots).toMatchObject({ protocol: 'udp', port: 1900 });
    expect(rules[1]).toMatchObject({ source: '198.18.0.1', shots: { flags: [3], size: 101, source: '198.18.0.1' } });
    expect(rules[3]?.shots).toMatchObject({ protocol: 'icmp', port: 13, source: attackerOf(15) });
  });
});
