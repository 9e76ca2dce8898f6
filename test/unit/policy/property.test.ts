/** What must hold for any alert and any policy, however wild. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PolicyAction, PolicyConditions, PolicyLine } from '../../../src/config/config.js';
import { type Address, parseAddress } from '../../../src/net/address.js';
import { overlaps, prefix } from '../../../src/net/prefix.js';
import { attribute } from '../../../src/policy/attribution.js';
import type { Decision } from '../../../src/policy/ban.js';
import type { RuleFacts } from '../../../src/policy/context.js';
import { decide } from '../../../src/policy/decide.js';
import { decideDetection } from '../../../src/policy/decide-detection.js';
import { PolicyMemory } from '../../../src/policy/memory.js';
import type { EveAlert } from '../../../src/suricata/eve-alert.js';
import { alertFrom, BAN_ALL, contextFor, endpoint, INFRASTRUCTURE, PRIVATE, SPECIAL } from './support.js';

const T = Date.UTC(2026, 10, 23, 12);
const OWN = ['198.51.100.1', '2001:db8:50::1'];
const ALLOWED = ['192.0.2.0/24', '2001:db8:a::/48'];
/** IPv4 hosts behind a relay or a translator: each name hides another, and a /64 of them hides very many. */
const BEHIND = ['2001::/32', '2002::/16', '64:ff9b::/96', '64:ff9b:1::/48', '::/96', '::ffff:0:0:0/96'];
const NEVER = [...PRIVATE, ...SPECIAL, ...OWN, ...ALLOWED, ...INFRASTRUCTURE, ...BEHIND].map(prefix);

const inside = fc.constantFrom('10.1.1.1', '192.168.50.10', '172.16.0.1', 'fc00::1', ...OWN);
const strange = fc.constantFrom(
  ...['127.0.0.1', '0.0.0.0', '169.254.1.1', '224.0.0.251', '255.255.255.255', '::', '::1', 'fe80::1', 'ff02::1'],
  ...['2001:0:53aa:64c::1', '2002:a01:101::1', '64:ff9b::a01:101', '::ffff:10.1.1.1', '100.64.0.1', '8.8.8.8'],
  ...['64:ff9b::808:808', '64:ff9b:1::808:808', '::c000:207', '::ffff:0:808:808'],
  ...['192.0.2.7', '2001:db8:a::7', '2001:4860:4860::8888'],
);
const public4 = fc.integer({ min: 1, max: 254 }).map((n) => `203.0.113.${n}`);
const anywhere = fc.oneof(inside, strange, public4, fc.ipV4(), fc.ipV6()).map((text) => parseAddress(text) as Address);
const port = fc.constantFrom(null, 0, 22, 53, 80, 443, 3306, 8080, 40_000, 65_535);
const end = fc.tuple(anywhere, port).map(([address, at]) => endpoint(address, at));

const wild: fc.Arbitrary<EveAlert> = fc
  .record({
    src: fc.option(end, { freq: 20 }),
    dest: fc.option(end, { freq: 20 }),
    flowSide: fc.constantFrom('same', 'reversed', 'foreign', 'none', 'no flow'),
    foreign: end,
    over: fc.record({
      at: fc.oneof(fc.integer({ min: T - 1_200_000, max: T + 7_200_000 }), fc.constant(Number.NaN), fc.constant(1e300)),
      sid: fc.constantFrom(1, 2_019_232, 2_200_074, 224_008),
      severity: fc.integer({ min: 1, max: 255 }),
      signature: fc.oneof(fc.constant('ET WEB_SERVER Attempt'), fc.string()),
      category: fc.constantFrom('', 'Web Application Attack', 'Generic Protocol Command Decode', 'Misc activity'),
      action: fc.constantFrom('allowed' as const, 'blocked' as const),
      verdict: fc.constantFrom(null, 'alert', 'pass', 'drop'),
      proto: fc.constantFrom('TCP', 'TCP', 'TCP', 'UDP', 'ICMP', 'IPV6-ICMP', 'GRE', '', '6'),
      appProto: fc.constantFrom(null, 'http', 'tls', 'failed'),
      direction: fc.constantFrom(null, 'to_server' as const, 'to_client' as const),
      flowId: fc.constantFrom(null, 1, 2),
      ruleSource: fc.option(anywhere, { freq: 2 }),
      ruleTarget: fc.option(anywhere, { freq: 2 }),
      metadata: fc.constantFrom<EveAlert['metadata']>(
        {},
        { confidence: ['Low'] },
        { __proto__: ['x'] },
        { barricata: ['ban'], barricata_for: ['300d'] },
        { barricata: ['ignore'] },
      ),
      xff: fc.oneof(fc.constant(null), fc.constant(null), anywhere, fc.string()),
      tunnelled: fc.boolean(),
      icmpType: fc.constantFrom(null, 0, 3, 8, 11, 128),
      packetSource: fc.constantFrom(null, 'wire/pcap', 'gre tunnel', 'stream (flow timeout)'),
    }),
    counts: fc.record({
      packetsToServer: fc.nat(5),
      packetsToClient: fc.nat(5),
      bytesToServer: fc.nat(2000),
      bytesToClient: fc.nat(2000),
      state: fc.constantFrom(null, 'new', 'established', 'closed'),
      start: fc.constantFrom(null, T, T - 3_600_000),
    }),
  })
  .map(({ src, dest, flowSide, foreign, over, counts }) => {
    const ends = {
      same: { src, dest },
      reversed: { src: dest, dest: src },
      foreign: { src: foreign, dest },
      none: { src: null, dest: null },
      'no flow': null,
    }[flowSide];
    return { ...alertFrom({}), ...over, src, dest, flow: ends === null ? null : { ...ends, ...counts } };
  });

/** Attacks that a policy would ban, from any address at all: what keeps them from a ban is who they come from. */
const likely: fc.Arbitrary<EveAlert> = fc
  .record({
    src: fc.tuple(anywhere, fc.constantFrom(40_000, 443)).map(([address, at]) => endpoint(address, at)),
    dest: fc.tuple(inside, fc.constantFrom(80, 22)).map(([address, at]) => endpoint(address, at)),
    answer: fc.boolean(),
    at: fc.integer({ min: T - 500_000, max: T + 100_000 }),
    appProto: fc.constantFrom(null, 'http'),
  })
  .map(({ src, dest, answer, at, appProto }) => {
    const plain = alertFrom({ at });
    const ends = answer ? { src: dest, dest: src } : { src, dest };
    const direction = answer ? ('to_client' as const) : ('to_server' as const);
    const counts = plain.flow as NonNullable<EveAlert['flow']>;
    return { ...plain, ...ends, direction, appProto, flow: { ...counts, src, dest } };
  });

const alerts = fc.oneof(wild, likely);

const actions: fc.Arbitrary<PolicyAction> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .constantFrom(1, 60, 86_400, Number.POSITIVE_INFINITY)
      .map((duration) => ({ kind: 'ban' as const, duration })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<PolicyAction>(
      { kind: 'flag' },
      { kind: 'note' },
      { kind: 'ignore' },
      { kind: 'would_ban', duration: 60 },
    ),
  },
);
const conditions: fc.Arbitrary<PolicyConditions> = fc.record(
  {
    sid: fc.constantFrom([2_019_232], [2_200_074, 224_008, 1]),
    severity: fc.constant([1, 255] as const),
    from: fc.constantFrom('outside' as const, 'home' as const, { networks: [prefix('0.0.0.0/0'), prefix('::/0')] }),
    to: fc.constantFrom('outside' as const, 'home' as const),
    proven: fc.boolean(),
    proto: fc.constantFrom(['tcp'], ['udp', 'icmp', 'gre']),
    internal: fc.constantFrom<boolean | 'ban'>(true, false, 'ban'),
    distinctSids: fc.record({ atLeast: fc.integer({ min: 2, max: 3 }), within: fc.constantFrom(1, 3600) }),
    meta: fc.constantFrom({ confidence: ['low'] }, { barricata: ['ban'] }),
  },
  { requiredKeys: [] },
);
const policies: fc.Arbitrary<PolicyLine[]> = fc.array(
  fc.record({ name: fc.constant('line'), line: fc.nat(), when: conditions, then: actions }),
  { maxLength: 3 },
);

const base = contextFor({
  now: T,
  own: OWN,
  allowed: ALLOWED,
  trustedProxies: ['203.0.113.64/26', '10.1.1.1'],
  rules: {
    1: { flow: 'to_client', established: true, target: 'src_ip', source: 'home', destination: 'external' },
    2019232: { flow: 'to_server', protocol: 'http' },
  },
});
const context = fc
  .record({
    policy: policies,
    otherwise: actions,
    conntrack: fc.constantFrom('assured' as const, 'unknown' as const),
    metadataActions: fc.boolean(),
  })
  .map(({ conntrack, ...given }) => ({ ...base, ...given, conntrack: () => conntrack }));

function safe(decision: Decision): void {
  if (decision.kind !== 'ban' && decision.kind !== 'would_ban') return;
  const { ban } = decision;
  const banned = prefix(ban.prefix);
  expect(NEVER.find((network) => overlaps(network, banned))?.text).toBeUndefined();
  expect(ban.until).toBeGreaterThan(T);
  expect(new Date(ban.record.first).toISOString()).toBe(ban.record.first);
  expect(ban.proven).toBe(ban.record.proof !== null);
  expect(ban.record.scope).toBe(ban.proven ? 'fleet' : 'host');
  if (!ban.proven) expect(ban.until - T).toBeLessThanOrEqual((600 + 60) * 1000);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

/** What the rule would have said, had it been written for the answers. */
function mirrored(facts: RuleFacts): RuleFacts {
  return {
    ...facts,
    flow: facts.flow === null ? null : facts.flow === 'to_client' ? 'to_server' : 'to_client',
    target: facts.target === null ? null : facts.target === 'src_ip' ? 'dest_ip' : 'src_ip',
    source: facts.destination,
    destination: facts.source,
  };
}

describe('for any alert and any policy', () => {
  it('nobody protected, inside or special is banned, and unproven bans stay short and local', () => {
    let bans = 0;
    fc.assert(
      fc.property(alerts, context, (alert, around) => {
        const decision = decide(alert, around);
        if (decision.kind === 'ban') bans += 1;
        safe(decision);
      }),
      { numRuns: 20_000 },
    );
    expect(bans).toBeGreaterThan(100);
  });

  it('deciding changes nothing that it was given, and gives the same answer twice', () => {
    fc.assert(
      fc.property(alerts, context, (alert, around) => {
        deepFreeze(alert);
        deepFreeze(around.policy);
        expect(decide(alert, around)).toEqual(decide(alert, around));
      }),
      { numRuns: 2000 },
    );
  });

  it('the same alerts in the same order give the same decisions, and nobody protected is banned by several', () => {
    const several = fc.array(alerts, { minLength: 2, maxLength: 12 });
    let bans = 0;
    fc.assert(
      fc.property(several, context, (list, around) => {
        const run = () => {
          const memory = new PolicyMemory();
          return list.map((alert) => decide(alert, around, memory));
        };
        const decisions = run();
        decisions.forEach(safe);
        bans += decisions.filter(({ kind }) => kind === 'ban').length;
        expect(run()).toEqual(decisions);
      }),
      { numRuns: 2000 },
    );
    expect(bans).toBeGreaterThan(100);
  });

  it('nobody inside is banned where protections of home are switched off, but by a line that says so, and never this machine', () => {
    const open = { ...contextFor({ now: T, own: OWN, without: ['home', 'private', 'this_machine'] }) };
    const first = fc
      .constantFrom<boolean | 'ban'>(true, false, 'ban')
      .map((internal): PolicyLine => ({ ...BAN_ALL, when: { internal } }));
    let bans = 0;
    fc.assert(
      fc.property(alerts, context, first, (alert, { policy: rest, otherwise, metadataActions }, line) => {
        const policy = [line, ...rest];
        const decision = decide(alert, { ...open, policy, otherwise, metadataActions });
        if (decision.kind !== 'ban' && decision.kind !== 'would_ban') return;
        const banned = prefix(decision.ban.prefix);
        expect(OWN.some((own) => overlaps(prefix(own), banned))).toBe(false);
        if (!PRIVATE.some((network) => overlaps(prefix(network), banned))) return;
        bans += 1;
        expect(decision.ban.record.role).toBe('lateral');
        expect(policy.some(({ when }) => when.internal === 'ban')).toBe(true);
      }),
      { numRuns: 10_000 },
    );
    expect(bans).toBeGreaterThan(5);
  });

  it('engine events and passed packets never do more than nothing', () => {
    fc.assert(
      fc.property(alerts, context, (alert, around) => {
        fc.pre(alert.sid > 2_199_999 || alert.sid === 224_008 || alert.verdict === 'pass');
        expect(decide(alert, around).kind).toBe('ignore');
      }),
      { numRuns: 2000 },
    );
  });

  it('who attacked does not depend on which of the two sent the packet', () => {
    fc.assert(
      fc.property(alerts, context, (alert, around) => {
        fc.pre(alert.src !== null && alert.dest !== null && alert.src.address !== alert.dest.address);
        const direction = alert.direction === null ? null : alert.direction === 'to_server' ? 'to_client' : 'to_server';
        const answer: EveAlert = { ...alert, src: alert.dest, dest: alert.src, direction };
        const turned = {
          ...around,
          ruleFacts: (sid: number, gid: number) => {
            const facts = around.ruleFacts(sid, gid);
            return facts && mirrored(facts);
          },
        };
        const [one, other] = [attribute(alert, around), attribute(answer, turned)];
        expect([other.role, other.doubt?.kind ?? null]).toEqual([one.role, one.doubt?.kind ?? null]);
        // Where nothing tells who opened it and both are inside, the sender stands for the one to look at.
        if (one.resolvedBy === 'both ends inside') return;
        expect(other.candidate).toBe(one.candidate);
        expect(other.initiator).toEqual(one.initiator);
        expect(other.responder).toEqual(one.responder);
      }),
      { numRuns: 5000 },
    );
  });

  it('no detection bans anybody protected, and none without proof for long or for the fleet', () => {
    const source = fc.oneof(
      anywhere.map(String),
      anywhere.map((text) => (text.includes(':') ? `${text}/64` : `${text}/32`)),
      fc.string(),
    );
    const detector = fc.constantFrom('syn_rate' as const, 'icmp_rate' as const, 'port_scan' as const);
    const ban = fc.constantFrom(0, -5, 1, 600, 1e9, Number.POSITIVE_INFINITY, Number.NaN);
    const proof = fc.constantFrom(null, 'conntrack' as const);
    const knownGood = fc.constantFrom(null, true, false);
    let bans = 0;
    let proven = 0;
    fc.assert(
      fc.property(source, detector, ban, fc.nat(1e6), proof, knownGood, (from, name, seconds, count, told, good) => {
        const detection = {
          detector: name,
          source: from,
          target: '10.1.1.1',
          count,
          window: 3,
          at: T,
          ban: seconds,
          proof: told,
          knownGood: good,
        };
        const decision = decideDetection(detection, base);
        if (decision.kind === 'ban') {
          bans += 1;
          const mayBeProven = told !== null && good === false && !decision.ban.prefix.includes('/');
          if (mayBeProven) proven += 1;
          expect(decision.ban.proven).toBe(mayBeProven);
          expect(decision.ban.record).toMatchObject({
            scope: mayBeProven ? 'fleet' : 'host',
            proof: mayBeProven ? 'conntrack' : null,
          });
        }
        safe(decision);
      }),
      { numRuns: 5000 },
    );
    expect(bans).toBeGreaterThan(100);
    expect(proven).toBeGreaterThan(10);
  });
});
