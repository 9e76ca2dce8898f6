import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { PacketRule } from '../../src/config/config.js';
import { PacketRules } from '../../src/filter/packet-rules.js';
import { Packet } from '../../src/net/packet.js';
import { contains, type Prefix, prefixOf } from '../../src/net/prefix.js';
import { packetRuleImplies } from '../../src/policy/lint-packet-rules.js';

/** Few different values, so that rules and packets meet. */
const word = fc.constantFrom(0, 1, -1, 0x0a000001, 0x20010db8);
const port = fc.constantFrom(0, 1, 22, 80, 443, 65_535);
const some = <T>(of: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(of, { minLength: 1, maxLength: 3 }));
const range = fc.tuple(port, port).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
const prefix: fc.Arbitrary<Prefix> = fc
  .tuple(fc.constantFrom<4 | 6>(4, 6), word, word, word, word, fc.nat(128))
  .map(([family, w0, w1, w2, w3, length]) =>
    family === 4
      ? prefixOf({ family, w0, w1: 0, w2: 0, w3: 0 }, length % 33)
      : prefixOf({ family, w0, w1, w2, w3 }, length),
  );

const rule: fc.Arbitrary<PacketRule> = fc
  .record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'icmp' as const, 'icmpv6' as const, null),
    flags: fc.option(fc.record({ mask: fc.constantFrom(23, 31, 63), value: fc.constantFrom(0, 2, 16, 18) })),
    from: some(prefix),
    to: some(prefix),
    sourcePorts: some(range),
    targetPorts: some(range),
    icmpTypes: some(fc.constantFrom(0, 8, 31, 32, 128, 255)),
    largerThan: fc.option(fc.constantFrom(0, 40, 1000)),
    smallerThan: fc.option(fc.constantFrom(40, 41, 70_000)),
  })
  .map((r) => ({
    ...r,
    text: '',
    // Only what a file can say: ports with TCP and UDP, flags with TCP, types with ICMP.
    flags: r.protocol === 'tcp' ? r.flags : null,
    sourcePorts: r.protocol === 'tcp' || r.protocol === 'udp' ? r.sourcePorts : [],
    targetPorts: r.protocol === 'tcp' || r.protocol === 'udp' ? r.targetPorts : [],
    icmpTypes: r.protocol === 'icmp' || r.protocol === 'icmpv6' ? r.icmpTypes : [],
    then: { kind: 'drop' as const },
  }));

const packet = fc
  .record({
    family: fc.constantFrom<0 | 4 | 6>(4, 4, 6, 6, 0),
    words: fc.array(word, { minLength: 8, maxLength: 8 }),
    protocol: fc.constantFrom(6, 17, 1, 58, 132, 47),
    length: fc.constantFrom(20, 40, 41, 1500, 70_000),
    transport: fc.boolean(),
    sourcePort: port,
    targetPort: port,
    flags: fc.constantFrom(0, 2, 16, 18, 0xc2, 41),
    type: fc.constantFrom(0, 8, 31, 32, 128, 255),
  })
  .map((p) => {
    // No packet over IPv6 is shorter than its header.
    const length = p.family === 6 ? Math.max(40, p.length) : p.length;
    const made = Object.assign(new Packet(), { family: p.family, protocol: p.protocol, length });
    const [s0, s1, s2, s3, t0, t1, t2, t3] = p.words;
    Object.assign(made, { source0: s0, target0: t0 });
    if (p.family === 6)
      Object.assign(made, { source1: s1, source2: s2, source3: s3, target1: t1, target2: t2, target3: t3 });
    if (!p.transport) return made;
    const ports = { sourcePort: p.sourcePort, targetPort: p.targetPort };
    if (p.protocol === 6) return Object.assign(made, ports, { transport: true, flags: p.flags });
    if (p.protocol === 17 || p.protocol === 132) return Object.assign(made, ports, { transport: true });
    if (p.protocol === 1 || p.protocol === 58) return Object.assign(made, { transport: true, type: p.type });
    return made;
  });

const NUMBER = { tcp: 6, udp: 17, icmp: 1, icmpv6: 58 };

/** What the configuration says of a rule, condition by condition. */
function holds(r: PacketRule, p: Packet): boolean {
  if (p.family === 0) return false;
  const { family } = p;
  const source = {
    family,
    w0: p.source0,
    w1: p.source1,
    w2: p.source2,
    w3: p.source3,
    length: family === 4 ? 32 : 128,
  };
  const target = { family, w0: p.target0, w1: p.target1, w2: p.target2, w3: p.target3, length: source.length };
  const among = (ranges: PacketRule['sourcePorts'], of: number) =>
    ranges.length === 0 || (p.transport && ranges.some(([low, high]) => of >= low && of <= high));
  return (
    (r.protocol === null || NUMBER[r.protocol] === p.protocol) &&
    (r.protocol !== 'icmp' || family === 4) &&
    (r.protocol !== 'icmpv6' || family === 6) &&
    (r.flags === null || (p.transport && (p.flags & r.flags.mask) === r.flags.value)) &&
    (r.from.length === 0 || r.from.some((net) => contains(net, source))) &&
    (r.to.length === 0 || r.to.some((net) => contains(net, target))) &&
    among(r.sourcePorts, p.sourcePort) &&
    among(r.targetPorts, p.targetPort) &&
    (r.icmpTypes.length === 0 || (p.transport && r.icmpTypes.includes(p.type))) &&
    (r.largerThan === null || p.length > r.largerThan) &&
    (r.smallerThan === null || p.length < r.smallerThan)
  );
}

it('packet rules decide as their conditions read one by one say', () => {
  let met = 0;
  fc.assert(
    fc.property(
      fc.array(rule, { maxLength: 6 }),
      fc.array(packet, { minLength: 1, maxLength: 8 }),
      (rules, packets) => {
        const compiled = new PacketRules(rules);
        const hits = new Array<number>(rules.length).fill(0);
        for (const p of packets) {
          const expected = rules.findIndex((r) => holds(r, p));
          expect(compiled.match(p)).toBe(expected);
          if (expected < 0) continue;
          hits[expected] = (hits[expected] as number) + 1;
          met += 1;
        }
        expect([...compiled.hits]).toEqual(hits);
      },
    ),
    { numRuns: 4000 },
  );
  // Rules that never meet a packet would show nothing.
  expect(met).toBeGreaterThan(1000);
});

/** A rule, and one that asks for less: some of its conditions are gone or wider. */
const pair = fc
  .tuple(rule, rule, fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }))
  .map(([narrow, other, keep]) => {
    const [a, b, c, d, e, f, g, h] = keep;
    const ports = narrow.protocol === 'tcp' || narrow.protocol === 'udp' ? other : narrow;
    const wide: PacketRule = {
      ...narrow,
      protocol: a || needs(narrow) ? narrow.protocol : null,
      flags: b ? narrow.flags : null,
      from: c ? [...narrow.from, ...other.from] : other.from,
      to: d ? narrow.to : [],
      sourcePorts: e ? [...narrow.sourcePorts, ...ports.sourcePorts] : narrow.sourcePorts.slice(1),
      targetPorts: f ? narrow.targetPorts : [],
      icmpTypes: g ? narrow.icmpTypes : [],
      largerThan: h ? narrow.largerThan : null,
    };
    return { narrow, wide };
  });
const needs = (r: PacketRule) =>
  r.flags !== null || r.sourcePorts.length + r.targetPorts.length + r.icmpTypes.length > 0;

it('a packet rule is called unreachable only where no packet reaches it', () => {
  let yes = 0;
  let reached = 0;
  fc.assert(
    fc.property(pair, fc.array(packet, { minLength: 40, maxLength: 40 }), ({ narrow, wide }, packets) => {
      if (!packetRuleImplies(narrow, wide)) return;
      yes += 1;
      for (const p of packets) {
        if (!holds(narrow, p)) continue;
        reached += 1;
        expect(holds(wide, p)).toBe(true);
      }
    }),
    { numRuns: 3000 },
  );
  expect([yes > 500, reached > 500]).toEqual([true, true]);
});
