import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { type Address, parseAddress } from '../../../src/net/address.js';
import { contains, overlaps, prefix, prefixOf } from '../../../src/net/prefix.js';
import { PrefixSet } from '../../../src/net/prefix-set.js';
import { admits, lockout, warning } from '../../../src/protection/admits.js';
import { type LiveAddress, nextExpiry, protectionFacts } from '../../../src/protection/facts.js';
import { infrastructure, isInfrastructure } from '../../../src/protection/infrastructure.js';

const NOW = Date.UTC(2026, 10, 23);
const live: LiveAddress[] = [
  { address: '192.0.2.10' as Address, what: 'own address' },
  { address: '2001:db8:1::10' as Address, what: 'own address' },
  { address: '192.0.2.1' as Address, what: 'gateway' },
  { address: '198.18.0.53' as Address, what: 'resolver' },
  { address: '203.0.113.200' as Address, what: 'ssh session of root' },
];

function factsOf(yaml = '', allow: string[] = []) {
  const allowed = new PrefixSet<true>();
  for (const text of allow) allowed.set(prefix(text), true);
  return protectionFacts(parseConfig(yaml, 'test.yaml'), live, allowed, NOW);
}
const judge = (text: string, facts = factsOf()) => {
  const refusal = admits(prefix(text), facts);
  return refusal === null ? null : `${refusal.cause}: ${refusal.detail}`;
};

describe('admits', () => {
  it.each([
    '203.0.113.9',
    '203.0.113.0/26',
    '198.51.100.0/24',
    '198.18.0.9',
    '100.64.0.9',
    '2001:db8:bad::/48',
    '2001:db8::9',
    '1.1.1.9',
    '128.0.0.1',
    '223.255.255.255',
    '2001:0:1234::1',
    '64:ff9b::cb00:7109',
  ])('takes an ordinary address: %s', (text) => {
    expect(judge(text)).toBeNull();
  });

  it.each([
    ['0.0.0.0', 'special: lies inside addresses of "this network" 0.0.0.0/8'],
    ['0.0.0.0/8', 'special: is addresses of "this network" 0.0.0.0/8'],
    ['0.0.0.0/0', 'special: contains addresses of "this network" 0.0.0.0/8'],
    ['127.0.0.1', 'special: lies inside loopback addresses 127.0.0.0/8'],
    ['169.254.169.254', 'special: lies inside link-local addresses 169.254.0.0/16'],
    ['224.0.0.251', 'special: lies inside multicast addresses 224.0.0.0/4'],
    ['255.255.255.255', 'special: lies inside reserved addresses 240.0.0.0/4'],
    ['192.0.0.0/2', 'special: contains multicast addresses 224.0.0.0/4'],
    ['::', 'special: is the unspecified address ::'],
    ['::1', 'special: is the loopback address ::1'],
    ['::/64', 'special: contains the unspecified address ::'],
    ['fe80::1', 'special: lies inside link-local addresses fe80::/10'],
    ['ff02::1', 'special: lies inside multicast addresses ff00::/8'],
    ['::/0', 'special: contains the unspecified address ::'],
    ['10.1.2.3', 'home: lies inside home network 10.0.0.0/8'],
    ['10.0.0.0/8', 'home: is home network 10.0.0.0/8'],
    ['10.0.0.0/7', 'home: contains home network 10.0.0.0/8'],
    ['fd00::1', 'home: lies inside home network fc00::/7'],
    ['192.0.2.10', 'this_machine: is own address 192.0.2.10'],
    ['192.0.2.1', 'this_machine: is gateway 192.0.2.1'],
    ['198.18.0.0/24', 'this_machine: contains resolver 198.18.0.53'],
    ['203.0.113.0/24', 'this_machine: contains ssh session of root 203.0.113.200'],
    ['2001:db8:1::/64', 'this_machine: contains own address 2001:db8:1::10'],
    ['8.8.8.8', 'infrastructure: is Google resolver 8.8.8.8'],
    ['1.1.1.0/24', 'infrastructure: contains Cloudflare resolver 1.1.1.1'],
    ['2001:4860:4860::/48', 'infrastructure: contains Google resolver 2001:4860:4860::64'],
    ['199.7.83.42', 'infrastructure: is root server l 199.7.83.42'],
    ['203.0.0.0/16', 'this_machine: contains ssh session of root 203.0.113.200'],
    ['11.0.0.0/23', 'too_wide: is wider than limits.widest, which is /24 for IPv4'],
    ['2001:db8:8000::/33', 'too_wide: is wider than limits.widest, which is /48 for IPv6'],
  ])('refuses %s and names the entry', (text, reason) => {
    expect(judge(text)).toBe(reason);
  });

  it('refuses private networks outside home unless bannable_private lists them', () => {
    const yaml = 'home: 192.168.50.0/24\nbannable_private: [10.66.0.0/16]';
    const facts = factsOf(yaml);
    expect(judge('10.1.2.3', facts)).toBe(
      'private: lies inside private network 10.0.0.0/8, and bannable_private does not list it',
    );
    expect(judge('172.16.0.1', facts)).toMatch(/^private: /);
    expect(judge('fd00::1', facts)).toMatch(/^private: /);
    expect(judge('10.66.1.2', facts)).toBeNull();
    expect(judge('10.66.1.0/24', facts)).toBeNull();
    expect(judge('192.168.50.7', factsOf(`${yaml}\nnever_ban: []`))).toMatch(/^private: /);
    const wide = factsOf(`${yaml}\nlimits: { widest: { ipv4: 8, ipv6: 19 } }\nnever_ban: []`);
    expect(judge('10.0.0.0/8', wide)).toMatch(/^private: is private network/);
    expect(judge('172.0.0.0/8', wide)).toMatch(/^private: contains private network/);
    expect(judge('11.0.0.0/8', wide)).toBeNull();
  });

  it('refuses what is listed, with its reason and ticket, until the day is over', () => {
    const yaml =
      'never_ban: [{ address: 198.51.100.0/24, reason: penetration test, ticket: INC-4600, until: 2026-12-31 }]';
    const listed = (now: number) => judge('198.51.100.7', protectionFacts(parseConfig(yaml, 'x'), [], null, now));
    expect(listed(NOW)).toBe('listed: lies inside never_ban entry (penetration test, INC-4600) 198.51.100.0/24');
    const end = Date.UTC(2027, 0, 1);
    expect(listed(end - 1)).not.toBeNull();
    expect(listed(end)).toBeNull();
    expect(nextExpiry(parseConfig(yaml, 'x'), NOW)).toBe(end);
    expect(nextExpiry(parseConfig(yaml, 'x'), end)).toBeNull();
  });

  it('refuses what an allow entry covers or lies inside, as the entries are at that moment', () => {
    const allowed = new PrefixSet<true>();
    const facts = protectionFacts(parseConfig('', 'x'), [], allowed, NOW);
    expect(judge('198.51.100.7', facts)).toBeNull();
    allowed.set(prefix('198.51.100.0/25'), true);
    expect(judge('198.51.100.7', facts)).toBe('allowed: lies inside allow entry 198.51.100.0/25');
    expect(judge('198.51.100.0/24', facts)).toBe('allowed: contains allow entry 198.51.100.0/25');
    allowed.delete(prefix('198.51.100.0/25'));
    expect(judge('198.51.100.7', facts)).toBeNull();
  });

  it('refuses trusted proxies, whose address all visitors share', () => {
    const facts = factsOf('suricata: { trusted_proxies: [203.0.113.64/28] }');
    expect(judge('203.0.113.66', facts)).toBe('listed: lies inside trusted proxy 203.0.113.64/28');
  });

  it('follows never_ban when it leaves home, this_machine or infrastructure out', () => {
    const facts = factsOf('home: 198.51.100.0/24\nnever_ban: []');
    for (const text of ['198.51.100.7', '192.0.2.10', '8.8.8.8']) expect(judge(text, facts)).toBeNull();
    expect(judge('127.0.0.1', facts)).toMatch(/^special/);
  });

  it('never takes a prefix that overlaps a protected or special one', () => {
    const facts = factsOf('limits: { widest: { ipv4: 8, ipv6: 19 } }', ['198.51.100.0/25']);
    const guarded = [...facts.protected].map((entry) => entry.prefix);
    guarded.push(
      ...[
        '0.0.0.0/8',
        '127.0.0.0/8',
        '169.254.0.0/16',
        '224.0.0.0/3',
        '198.51.100.0/25',
        '::1',
        'fe80::/10',
        'ff00::/8',
      ].map(prefix),
    );
    const near = fc.constantFrom(...guarded).chain((p) =>
      fc.record({ length: fc.nat(p.family === 4 ? 32 : 128), flip: fc.integer() }).map(({ length, flip }) => {
        const low = p.family === 4 ? { ...p, w0: p.w0 ^ (flip & 0x1ff) } : { ...p, w3: p.w3 ^ (flip & 0x1ff) };
        return prefixOf(low, length);
      }),
    );
    fc.assert(
      fc.property(near, (target) => {
        if (guarded.some((p) => overlaps(p, target))) expect(admits(target, facts)).not.toBeNull();
        else expect(admits(target, facts)?.cause ?? 'too_wide').toMatch(/too_wide|private|special/);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('what a person is told', () => {
  it('about carrier-grade translation is a warning, not a refusal', () => {
    expect(warning(prefix('100.64.3.4'))).toContain('100.64.0.0/10');
    expect(warning(prefix('203.0.113.9'))).toBeNull();
  });

  it.each([
    ['10.0.0.0/8', '10.4.1.7 51234 10.0.0.1 22', 'it contains this ssh session (10.4.1.7)'],
    ['10.4.1.7', '10.4.1.7 51234 22', 'it contains this ssh session (10.4.1.7)'],
    ['1.2.3.4', '::ffff:1.2.3.4 51234 10.0.0.1 22', 'it contains this ssh session (1.2.3.4)'],
    ['fe80::/10', 'fe80::1%eth0 51234 fe80::2%eth0 22', 'it contains this ssh session (fe80::1)'],
    ['10.5.0.0/16', '10.4.1.7 51234 10.0.0.1 22', null],
    ['10.0.0.0/8', '', null],
    ['10.0.0.0/8', undefined, null],
    ['10.0.0.0/8', 'nonsense', null],
  ])('about %s from the session %s', (target, connection, text) => {
    expect(lockout(prefix(target), connection)).toBe(text);
  });
});

describe('the shipped infrastructure', () => {
  it('has the root servers in both families and the resolvers that forgers use', () => {
    const names = [...infrastructure].map((entry) => entry.value);
    for (const letter of 'abcdefghijklm') {
      const entries = [...infrastructure].filter((entry) => entry.value === `root server ${letter}`);
      expect(new Set(entries.map((entry) => entry.prefix.family)), letter).toEqual(new Set([4, 6]));
    }
    expect(names.length).toBeGreaterThan(120);
    for (const text of [
      '1.1.1.1',
      '1.0.0.1',
      '8.8.8.8',
      '8.8.4.4',
      '9.9.9.9',
      '149.112.112.112',
      '208.67.222.222',
      '208.67.220.220',
      '94.140.14.14',
      '2606:4700:4700::1111',
    ]) {
      expect(isInfrastructure(prefix(text)), text).not.toBeNull();
    }
  });

  it('is found inside and around a prefix', () => {
    expect(isInfrastructure(prefix('8.8.8.0/24'))).toBe('Google resolver');
    expect(isInfrastructure(prefix('45.90.28.7'))).toBe('NextDNS resolver');
    expect(isInfrastructure(prefix('8.8.9.0/24'))).toBeNull();
  });

  it('holds no special, private or wide network by mistake', () => {
    const bare = protectionFacts(parseConfig('never_ban: []', 'x'), [], null, NOW);
    for (const { prefix: p } of infrastructure) {
      expect(parseAddress(p.text.split('/')[0]), p.text).not.toBeNull();
      if (p.length >= (p.family === 4 ? 24 : 48)) expect(admits(p, bare), p.text).toBeNull();
      expect(contains(prefix(p.family === 4 ? '0.0.0.0/0' : '2000::/3'), p)).toBe(true);
    }
  });
});
