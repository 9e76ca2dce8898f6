/** What the policy check says of unreachable lines, against every alert of a small world. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PolicyConditions, Side } from '../../src/config/config.js';
import type { AddressWords } from '../../src/net/address.js';
import { formatWords } from '../../src/net/address.js';
import { prefix } from '../../src/net/prefix.js';
import { setOf } from '../../src/policy/context.js';
import { implies } from '../../src/policy/implies.js';
import { type Case, matches } from '../../src/policy/match.js';

const HOME = ['10.0.0.0/8', '2001:db8:50::/48'].map(prefix);
/** A host in each part of the networks below, one of home beyond them, one of nowhere, and loopback. */
const HOSTS = ['10.1.0.1', '10.2.0.1', '198.51.100.1', '198.51.100.200', '203.0.113.1', '192.0.2.1', '127.0.0.1'];
const NETWORKS = [
  '10.0.0.0/8',
  '10.1.0.0/16',
  '198.51.100.0/24',
  '198.51.100.0/25',
  '198.51.100.128/25',
  '0.0.0.0/0',
  '::/0',
];
const CATEGORIES = ['Web Application Attack', 'Misc activity', ' misc ACTIVITY', ''];
const SIGNATURES = ['ET WEB attack', 'ET web', 'WEB', 'other'];
const SIDS = [0, 1, 2, 3, 4, 5];

const side: fc.Arbitrary<Side> = fc.oneof(
  fc.constant<Side>('outside'),
  fc.constant<Side>('home'),
  fc.uniqueArray(fc.constantFrom(...NETWORKS), { minLength: 1, maxLength: 3 }).map((texts) => ({
    networks: texts.map(prefix),
  })),
);
const range = fc
  .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 3 }))
  .map(([first, more]) => [first, Math.min(5, first + more)] as const);
const some = <T>(values: readonly T[]) => fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });

/** Conditions over the small world; each is there or not. */
const conditions = (keys: readonly (keyof PolicyConditions)[]): fc.Arbitrary<PolicyConditions> =>
  fc
    .record(
      {
        sid: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
        sidRange: fc.array(range, { minLength: 1, maxLength: 2 }),
        severity: range,
        destPort: fc.array(range, { minLength: 1, maxLength: 2 }),
        category: some(CATEGORIES.filter(Boolean)),
        proto: some(['TCP', 'UDP', 'ICMPV6', '58']),
        proven: fc.boolean(),
        from: side,
        to: side,
        signature: some<string | RegExp>([...SIGNATURES, /web/i, /^ET/i]),
      },
      { requiredKeys: [] },
    )
    .map((all) => Object.fromEntries(Object.entries(all).filter(([key]) => keys.includes(key as never))));

interface World {
  readonly cases: readonly Case[];
  readonly facts: readonly Parameters<typeof matches>[2][];
}

/** Every alert of the world, and every machine that one of its hosts may be. */
const own = (address: string | null) => ({
  home: setOf(HOME),
  isOwn: (words: AddressWords) => formatWords(words) === address,
  ruleFacts: () => null,
});

function caseOf(of: {
  sid?: number;
  severity?: number;
  port?: number;
  category?: string;
  proto?: string;
  proven?: boolean;
  from?: string;
  to?: string;
  signature?: string;
}): Case {
  const { sid = 1, severity = 1, port = 1, category = '', proto = 'TCP', proven = true, from, to, signature = '' } = of;
  const end = (address: string | undefined) =>
    address === undefined ? null : { address, port, host: prefix(address) };
  return {
    alert: { sid, gid: 1, severity, category, proto, appProto: null, signature, metadata: {}, dest: end(to) },
    attribution: { initiator: end(from), responder: end(to), role: 'unknown', doubt: null },
    evidence: { proof: proven ? 'app' : null },
  } as unknown as Case;
}

/** Whether some alert meets `narrow` and not `wide`. */
function differ(narrow: PolicyConditions, wide: PolicyConditions, { cases, facts }: World): boolean {
  return facts.some((fact) => cases.some((one) => matches(narrow, one, fact) && !matches(wide, one, fact)));
}

const anything: World = {
  cases: SIDS.flatMap((sid) =>
    SIGNATURES.flatMap((signature, i) =>
      HOSTS.map((from, j) =>
        caseOf({
          sid,
          signature,
          from,
          to: HOSTS[(i + j) % HOSTS.length] as string,
          severity: (i + sid) % 6,
          port: (j + sid) % 6,
          category: CATEGORIES[i] as string,
          proto: ['TCP', 'UDP', 'IPV6-ICMP'][j % 3] as string,
          proven: (i + j) % 2 === 0,
        }),
      ),
    ),
  ),
  facts: [own(null), own('203.0.113.1')],
};

describe('whether a policy line is reached', () => {
  it('is never denied of a line that some alert would reach', () => {
    const all = conditions([
      'sid',
      'sidRange',
      'severity',
      'destPort',
      'category',
      'proto',
      'proven',
      'from',
      'to',
      'signature',
    ]);
    let yes = 0;
    fc.assert(
      fc.property(all, all, fc.boolean(), (one, other, joined) => {
        // Two lines by chance seldom hold one another: half of the time one is both.
        const narrow = joined ? { ...other, ...one, ...other } : one;
        if (!implies(narrow, other, HOME)) return;
        yes += 1;
        expect(differ(narrow, other, anything)).toBe(false);
      }),
      { numRuns: 2000 },
    );
    expect(yes).toBeGreaterThan(100);
  });

  const exact: readonly (readonly [string, readonly (keyof PolicyConditions)[], World])[] = [
    ['sids', ['sid', 'sidRange'], { cases: SIDS.map((sid) => caseOf({ sid })), facts: [own(null)] }],
    [
      'severity and proof',
      ['severity', 'proven'],
      {
        cases: SIDS.flatMap((severity) => [true, false].map((proven) => caseOf({ severity, proven }))),
        facts: [own(null)],
      },
    ],
    ['ports', ['destPort'], { cases: SIDS.map((port) => caseOf({ port, to: '10.0.0.1' })), facts: [own(null)] }],
    ['categories', ['category'], { cases: CATEGORIES.map((category) => caseOf({ category })), facts: [own(null)] }],
    [
      'protocols',
      ['proto'],
      { cases: ['TCP', 'UDP', 'IPV6-ICMP', 'GRE'].map((proto) => caseOf({ proto })), facts: [own(null)] },
    ],
    [
      'sides',
      ['from'],
      {
        cases: [caseOf({}), ...[...HOSTS, '2001:db8::1', '2001:db8:50::1'].map((from) => caseOf({ from }))],
        facts: [own(null), ...HOSTS.map(own)],
      },
    ],
  ];
  it.each(exact)('is told exactly by %s', (_, keys, world) => {
    let [yes, no] = [0, 0];
    fc.assert(
      fc.property(conditions(keys), conditions(keys), (narrow, wide) => {
        const held = !differ(narrow, wide, world);
        expect(implies(narrow, wide, HOME)).toBe(held);
        if (held) yes += 1;
        else no += 1;
      }),
      { numRuns: 1000 },
    );
    expect(Math.min(yes, no)).toBeGreaterThan(20);
  });
});
