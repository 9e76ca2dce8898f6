import type { Config, PacketRule } from '../config/config.js';
import { needsHeader } from '../filter/packet-rules.js';
import type { Prefix } from '../net/prefix.js';
import { covered, EVERYWHERE, merged, type Ranges, within } from './implies.js';
import type { Warning } from './lint.js';

/** A header alone; no shorter packet is handed to a rule. */
const SHORTEST = { 4: 20, 6: 40 } as const;
const ALL_PORTS: Ranges = [[0, 65_535]];
const FLAG_BITS = 0xff;

/** Packet rules that no packet can reach. */
export function lintPacketRules({ filter: { rules }, packetRuleLines: lines }: Config): Warning[] {
  return rules.flatMap((rule, index): Warning[] => {
    const of = { line: lines[index] ?? 0, subject: `filter.rules[${index}]` };
    if (matchesNothing(rule)) {
      const message = 'no packet can meet all of its conditions at once';
      return [{ code: 'matches_nothing', ...of, message, fix: 'correct its networks or sizes, or remove it' }];
    }
    const first = rules.findIndex((earlier, at) => at < index && packetRuleImplies(rule, earlier));
    const before = rules[first];
    if (before === undefined) return [];
    const where = `line ${lines[first] ?? 0} ${before.text}`;
    const same = packetRuleImplies(before, rule);
    const message = same
      ? `has the same conditions as ${where}, which decides first`
      : `is never reached: ${where} matches all that it could match`;
    const fix = same ? 'remove one of the two' : 'put it before that one, or remove it';
    return [{ code: 'unreachable', ...of, message, fix }];
  });
}

/** Whether every packet that `narrow` matches is matched by `wide` too. Says yes only where that is certain. */
export function packetRuleImplies(narrow: PacketRule, wide: PacketRule): boolean {
  if (matchesNothing(narrow)) return true;
  const families = familiesOf(narrow);
  return (
    (wide.protocol === null || wide.protocol === narrow.protocol) &&
    // A rule without ports, flags and types also matches fragments, which have none.
    (!needsHeader(wide) || needsHeader(narrow)) &&
    flagsWithin(narrow.flags, wide.flags) &&
    networksWithin(narrow.from, wide.from, families) &&
    networksWithin(narrow.to, wide.to, families) &&
    portsWithin(narrow.sourcePorts, wide.sourcePorts) &&
    portsWithin(narrow.targetPorts, wide.targetPorts) &&
    (wide.icmpTypes.length === 0 || among(narrow.icmpTypes, wide.icmpTypes)) &&
    (wide.largerThan === null || shortestOf(narrow, families) > wide.largerThan) &&
    (wide.smallerThan === null || (narrow.smallerThan !== null && narrow.smallerThan <= wide.smallerThan))
  );
}

function matchesNothing(rule: PacketRule): boolean {
  const families = familiesOf(rule);
  return families.length === 0 || (rule.smallerThan !== null && shortestOf(rule, families) >= rule.smallerThan);
}

/** The families that a packet which the rule matches can be of. */
function familiesOf({ protocol, from, to }: PacketRule): (4 | 6)[] {
  const has = (networks: readonly Prefix[], family: 4 | 6) =>
    networks.length === 0 || networks.some((network) => network.family === family);
  const other = { 4: 'icmpv6', 6: 'icmp' } as const;
  return ([4, 6] as const).filter((family) => has(from, family) && has(to, family) && protocol !== other[family]);
}

/** Bytes of the shortest packet that the rule can match. */
function shortestOf({ largerThan }: PacketRule, families: readonly (4 | 6)[]): number {
  return Math.max((largerThan ?? 0) + 1, SHORTEST[families.includes(4) ? 4 : 6]);
}

function flagsWithin(narrow: PacketRule['flags'], wide: PacketRule['flags']): boolean {
  if (wide === null) return true;
  if (narrow === null) return false;
  return (wide.mask & ~narrow.mask & FLAG_BITS) === 0 && (narrow.value & wide.mask) === wide.value;
}

function networksWithin(narrow: readonly Prefix[], wide: readonly Prefix[], families: readonly (4 | 6)[]): boolean {
  if (wide.length === 0) return true;
  const inner = narrow.length === 0 ? EVERYWHERE : narrow;
  return inner.filter(({ family }) => families.includes(family)).every((network) => covered(network, wide));
}

function portsWithin(narrow: Ranges, wide: Ranges): boolean {
  return wide.length === 0 || within(merged(narrow.length === 0 ? ALL_PORTS : narrow), merged(wide));
}

function among(narrow: readonly number[], wide: readonly number[]): boolean {
  return narrow.length > 0 && narrow.every((one) => wide.includes(one));
}
