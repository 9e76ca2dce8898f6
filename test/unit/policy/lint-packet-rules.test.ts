import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { lint } from '../../../src/policy/lint.js';

const warnings = (...rules: string[]) =>
  lint(parseConfig(`filter:\n  rules:\n${rules.map((rule) => `    - ${rule}\n`).join('')}policy: []\n`, 'test.yaml'), {
    now: 0,
    ruleset: null,
    categories: null,
  });
const said = (...rules: string[]) => warnings(...rules).map(({ code, line, subject }) => [code, line, subject]);

describe('the check of packet rules', () => {
  it('names the line and what decides before it', () => {
    expect(
      warnings('{ proto: tcp, dport: 20-25, then: drop }', '{ proto: tcp, flags: syn, dport: 22, then: accept }'),
    ).toEqual([
      {
        code: 'unreachable',
        line: 4,
        subject: 'filter.rules[1]',
        message: 'is never reached: line 3 { proto: tcp, dport: 20-25, then: drop } matches all that it could match',
        fix: 'put it before that one, or remove it',
      },
    ]);
    expect(
      warnings('{ proto: udp, dport: [2, 1], then: drop }', '{ dport: 1-2, proto: udp, then: accept }')[0]?.message,
    ).toBe('has the same conditions as line 3 { proto: udp, dport: [ 2, 1 ], then: drop }, which decides first');
  });

  it.each<[wide: string, narrow: string, reached: string]>([
    ['proto: tcp', 'proto: tcp, flags: syn', 'proto: udp'],
    ['proto: tcp, flags: syn', 'proto: tcp, flags: [syn, urg], smaller_than: 90', 'proto: tcp, flags: [syn, ack]'],
    ['proto: tcp, flags: syn', 'proto: tcp, flags: syn', 'proto: tcp, flags: none'],
    // Fragments have no ports, and reach only the rule that names none.
    ['proto: udp, dport: 0-65535', 'proto: udp, sport: 5', 'proto: udp, from: 203.0.113.0/24'],
    ['proto: udp, dport: [0-99, 100-200]', 'proto: udp, dport: 50-150', 'proto: udp, dport: 50-201'],
    ['from: [203.0.113.0/25, 203.0.113.128/25]', 'from: 203.0.113.0/24, proto: tcp', 'from: 203.0.112.0/23'],
    ['to: 0.0.0.0/0', 'proto: icmp', 'proto: icmpv6'],
    ['to: 0.0.0.0/0', 'from: 203.0.113.9', 'from: "2001:db8::/32"'],
    ['proto: icmp, icmp_type: [8, 13]', 'proto: icmp, icmp_type: 13', 'proto: icmp'],
    ['larger_than: 1000', 'larger_than: 1000, smaller_than: 2000', 'larger_than: 999'],
    ['larger_than: 19', 'proto: udp', 'larger_than: 5, smaller_than: 20'],
    ['larger_than: 39', 'proto: icmpv6', 'proto: icmp'],
    ['smaller_than: 100', 'smaller_than: 99, proto: tcp', 'smaller_than: 101'],
  ])('says of { %s } that { %s } comes too late, and not that { %s } does', (wide, narrow, reached) => {
    expect(said(`{ ${wide}, then: drop }`, `{ ${narrow}, then: accept }`)).toEqual([
      ['unreachable', 4, 'filter.rules[1]'],
    ]);
    expect(said(`{ ${wide}, then: drop }`, `{ ${reached}, then: accept }`).map(([code]) => code)).not.toContain(
      'unreachable',
    );
  });

  it('names rules that nothing can meet, which stand in nobody’s way', () => {
    expect(said('{ larger_than: 100, smaller_than: 101, then: drop }', '{ larger_than: 100, then: drop }')).toEqual([
      ['matches_nothing', 3, 'filter.rules[0]'],
    ]);
    expect(said('{ from: 203.0.113.9, to: "2001:db8::1", then: drop }', '{ proto: tcp, then: drop }')).toEqual([
      ['matches_nothing', 3, 'filter.rules[0]'],
    ]);
    expect(said('{ proto: icmpv6, smaller_than: 40, then: drop }')).toEqual([
      ['matches_nothing', 3, 'filter.rules[0]'],
    ]);
    expect(said('{ larger_than: 100, smaller_than: 102, then: drop }')).toEqual([]);
  });
});
