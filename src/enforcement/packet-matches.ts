/**
 * Packet rules as matches of iptables, so that the kernel queues what a rule
 * names and nothing else. The worker decides by the rules themselves; here it
 * only matters that no packet is missing and none is too many.
 */
import type { PacketRule } from '../config/config.js';
import type { Family } from '../net/address.js';
import type { Prefix } from '../net/prefix.js';

/** In the order in which `iptables-save` prints them. */
const FLAGS = [
  ['FIN', 1],
  ['SYN', 2],
  ['RST', 4],
  ['PSH', 8],
  ['ACK', 16],
  ['URG', 32],
] as const;
const ACK = 16;
const SYN_FIN = 3;

/** Ports that one multiport match can hold; a range takes two. */
const PORTS_PER_MATCH = 15;
const LONGEST_PACKET = 65_535;

/** What of the kernel's matches there is; see `kernel-features`. */
export interface MatchFeatures {
  readonly multiport: boolean;
  readonly length: boolean;
}

/** Every match of the rule in one family, each a rule without its target; none when no packet of that family fits. */
export function matchesOf(rule: PacketRule, family: Family, features: MatchFeatures): string[] {
  if (rule.protocol === 'icmp' && family === 6) return [];
  if (rule.protocol === 'icmpv6' && family === 4) return [];
  const length = lengthMatch(rule);
  if (length === null || (length !== '' && !features.length)) return [];
  const sources = networks(rule.from, '-s', family);
  const targets = networks(rule.to, '-d', family);
  const protocol = protocolMatches(rule, features.multiport);
  const matches: string[] = [];
  for (const from of sources) {
    for (const to of targets) {
      for (const what of protocol) matches.push([from, to, what, length].filter((word) => word !== '').join(' '));
    }
  }
  return matches;
}

/** Whether every TCP packet that the rule names goes to the queue as a first packet already. */
export function isFirstPacket({ protocol, flags }: PacketRule): boolean {
  if (protocol !== 'tcp' || flags === null) return false;
  const withoutAck = (flags.mask & ACK) !== 0 && (flags.value & ACK) === 0;
  return withoutAck || (flags.value & SYN_FIN) === SYN_FIN;
}

/** One match a network; `''` when any will do. */
function networks(list: readonly Prefix[], option: '-s' | '-d', family: Family): string[] {
  if (list.length === 0 || list.some((net) => net.family === family && net.length === 0)) return [''];
  return list
    .filter((net) => net.family === family)
    .map((net) => `${option} ${net.text.includes('/') ? net.text : `${net.text}/${family === 4 ? 32 : 128}`}`);
}

/** `''` for any length, `null` for none. */
function lengthMatch({ largerThan, smallerThan }: PacketRule): string | null {
  if (largerThan === null && smallerThan === null) return '';
  const least = largerThan === null ? 0 : largerThan + 1;
  const most = smallerThan === null ? LONGEST_PACKET : smallerThan - 1;
  if (least > most || least > LONGEST_PACKET) return null;
  return `-m length --length ${least === most ? least : `${least}:${most}`}`;
}

function protocolMatches(rule: PacketRule, multiport: boolean): string[] {
  switch (rule.protocol) {
    case null:
      return [''];
    case 'icmp':
      // A type of 255 would stand for any.
      return rule.icmpTypes.length === 0
        ? ['-p icmp']
        : rule.icmpTypes.filter((type) => type !== 255).map((type) => `-p icmp -m icmp --icmp-type ${type}`);
    case 'icmpv6':
      return rule.icmpTypes.length === 0
        ? ['-p ipv6-icmp']
        : rule.icmpTypes.map((type) => `-p ipv6-icmp -m icmp6 --icmpv6-type ${type}`);
    default:
      return portMatches(rule, rule.protocol, multiport);
  }
}

function portMatches(rule: PacketRule, protocol: 'tcp' | 'udp', multiport: boolean): string[] {
  const flags = rule.flags === null ? '' : `--tcp-flags ${flagNames(rule.flags.mask)} ${flagNames(rule.flags.value)}`;
  const matches: string[] = [];
  for (const source of portGroups(rule.sourcePorts, multiport)) {
    for (const target of portGroups(rule.targetPorts, multiport)) {
      const single = [
        source.length === 1 ? `--sport ${portText(source[0])}` : '',
        target.length === 1 ? `--dport ${portText(target[0])}` : '',
        flags,
      ].filter((word) => word !== '');
      const words = [`-p ${protocol}`];
      if (single.length > 0) words.push(`-m ${protocol}`, ...single);
      if (source.length > 1) words.push(`-m multiport --sports ${source.map(portText).join(',')}`);
      if (target.length > 1) words.push(`-m multiport --dports ${target.map(portText).join(',')}`);
      matches.push(words.join(' '));
    }
  }
  return matches;
}

type PortRange = readonly [number, number];

const portText = (range: PortRange | undefined) => {
  const [first, last] = range ?? [0, 0];
  return first === last ? `${first}` : `${first}:${last}`;
};

/** The ranges as one match each can hold them; one empty group when any port will do. */
function portGroups(ranges: readonly PortRange[], multiport: boolean): PortRange[][] {
  if (ranges.length === 0 || ranges.some(([first, last]) => first === 0 && last === 65_535)) return [[]];
  const groups: PortRange[][] = [];
  let room = 0;
  for (const range of ranges) {
    const takes = range[0] === range[1] ? 1 : 2;
    if (takes > room || !multiport) {
      groups.push([]);
      room = PORTS_PER_MATCH;
    }
    groups.at(-1)?.push(range);
    room -= takes;
  }
  return groups;
}

function flagNames(bits: number): string {
  const names = FLAGS.filter(([, bit]) => (bits & bit) !== 0).map(([name]) => name);
  return names.length === 0 ? 'NONE' : names.join(',');
}
