import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { isFirstPacket, matchesOf } from '../../../src/enforcement/packet-matches.js';

const ALL = { multiport: true, length: true };
const ruleOf = (text: string) => {
  const [rule] = parseConfig(`filter: { rules: [{ ${text}, then: drop }] }`, 'test').filter.rules;
  if (rule === undefined) throw new Error(text);
  return rule;
};
const matches = (text: string, family: 4 | 6 = 4, features = ALL) => matchesOf(ruleOf(text), family, features);

describe('a packet rule as matches of iptables', () => {
  it.each([
    ['proto: udp', ['-p udp']],
    ['proto: tcp, dport: 23', ['-p tcp -m tcp --dport 23']],
    ['proto: tcp, dport: 0-65535', ['-p tcp']],
    ['proto: udp, sport: [19, 100-200], dport: 53', ['-p udp -m udp --dport 53 -m multiport --sports 19,100:200']],
    ['proto: tcp, flags: none', ['-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE']],
    ['proto: tcp, flags: [syn, ack], sport: 80', ['-p tcp -m tcp --sport 80 --tcp-flags FIN,SYN,RST,ACK SYN,ACK']],
    ['proto: tcp, flags: [fin, psh, urg]', ['-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG FIN,PSH,URG']],
    ['proto: icmp, icmp_type: [8, 13]', ['-p icmp -m icmp --icmp-type 8', '-p icmp -m icmp --icmp-type 13']],
    ['proto: icmp, icmp_type: 255', []],
    ['larger_than: 1400', ['-m length --length 1401:65535']],
    ['smaller_than: 21', ['-m length --length 0:20']],
    ['larger_than: 99, smaller_than: 101', ['-m length --length 100']],
    ['larger_than: 100, smaller_than: 101', []],
    ['larger_than: 65535', []],
    ['from: 203.0.113.9, to: 10.0.0.0/8', ['-s 203.0.113.9/32 -d 10.0.0.0/8']],
    ['from: 0.0.0.0/0, proto: udp', ['-p udp']],
    ['from: "2001:db8::/32"', []],
    ['proto: icmpv6', []],
  ])('of IPv4: %s', (text, expected) => {
    expect(matches(text)).toEqual(expected);
  });

  it.each([
    ['from: ["2001:db8::/32", 203.0.113.9], to: "2001:db8:9::9"', ['-s 2001:db8::/32 -d 2001:db8:9::9/128']],
    ['proto: icmpv6, icmp_type: 255', ['-p ipv6-icmp -m icmp6 --icmpv6-type 255']],
    ['proto: icmp', []],
  ])('of IPv6: %s', (text, expected) => {
    expect(matches(text, 6)).toEqual(expected);
  });

  it('is one for each pair of networks', () => {
    const text = 'from: [203.0.113.0/24, 198.51.100.0/24], to: [10.0.0.0/8, 192.0.2.1], proto: udp';
    expect(matches(text)).toEqual([
      '-s 203.0.113.0/24 -d 10.0.0.0/8 -p udp',
      '-s 203.0.113.0/24 -d 192.0.2.1/32 -p udp',
      '-s 198.51.100.0/24 -d 10.0.0.0/8 -p udp',
      '-s 198.51.100.0/24 -d 192.0.2.1/32 -p udp',
    ]);
  });

  it('puts as many ports into one as fit, a range for two', () => {
    const single = Array.from({ length: 16 }, (_, i) => i + 1);
    expect(matches(`proto: tcp, dport: [${single.join(', ')}]`)).toEqual([
      `-p tcp -m multiport --dports ${single.slice(0, 15).join(',')}`,
      '-p tcp -m tcp --dport 16',
    ]);
    const ranges = Array.from({ length: 8 }, (_, i) => [i * 100, i * 100 + 9]);
    expect(matches(`proto: tcp, dport: [${ranges.map(([a, b]) => `${a}-${b}`).join(', ')}]`)).toEqual([
      `-p tcp -m multiport --dports ${ranges
        .slice(0, 7)
        .map(([a, b]) => `${a}:${b}`)
        .join(',')}`,
      '-p tcp -m tcp --dport 700:709',
    ]);
  });

  it('does without multiport, and leaves out what needs a length match that is not there', () => {
    const poor = { multiport: false, length: false };
    expect(matches('proto: udp, dport: [53, 100-200]', 4, poor)).toEqual([
      '-p udp -m udp --dport 53',
      '-p udp -m udp --dport 100:200',
    ]);
    expect(matches('proto: udp, larger_than: 500', 4, poor)).toEqual([]);
  });
});

describe('what goes to the queue as a first packet anyway', () => {
  it.each([
    ['proto: tcp, flags: syn', true],
    ['proto: tcp, flags: none, dport: 80', true],
    ['proto: tcp, flags: [syn, fin, ack]', true],
    ['proto: tcp, flags: [syn, ack]', false],
    ['proto: tcp, flags: ack', false],
    ['proto: tcp, dport: 23', false],
    ['proto: udp', false],
    ['from: 203.0.113.9', false],
  ])('%s: %s', (text, expected) => {
    expect(isFirstPacket(ruleOf(text))).toBe(expected);
  });
});
