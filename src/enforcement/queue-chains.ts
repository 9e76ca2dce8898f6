/**
 * The chains that decide in the kernel which packets the worker sees (table
 * mangle), and what the kernel settles by itself.
 *
 * BARRICATA-FIRST, where PREROUTING jumps to, picks: first packets go on in
 * BARRICATA-QUEUE, what only a packet rule names in BARRICATA-NAMED, ICMP through
 * BARRICATA-ICMP; packets of connections pass after a few rules that look at nothing
 * but the header and the state. All of this is off while the worker is not alive.
 *
 * The arithmetic of BARRICATA-QUEUE, with A = `queue.at_most`:
 * - One bucket of A a second stands in front of the queue. Only what is above it
 *   is looked at for single offenders, and of that at most A packets a second
 *   (and A/10 at once), because each may come from another forged source and
 *   take a place in the table of sources. A place is free again a second after
 *   its last packet and is collected within another: 2.1 x A places at most. The
 *   table has 8 x A, so that it is not full even when the collector is 5 s late;
 *   full, it would drop every new source.
 * - A source becomes hot when more than A/10 of those looks a second are at it:
 *   fewer than ten can do so each second, and stay for 10 s, so that the set of
 *   262,144 buckets never holds more than some 110.
 * - The table of flooded services has more places than the set of them.
 */
import type { Config } from '../config/config.js';
import type { Family } from '../net/address.js';
import { ALIVE_SETS } from '../netlink/alive.js';
import { FLOOD_SETS, HOT_SETS, HOT_TIMEOUT, LIMIT_SETS } from '../netlink/limits.js';
import { hashLimit } from './hash-limit.js';
import type { Feature } from './kernel-features.js';
import { isFirstPacket, matchesOf } from './packet-matches.js';
import type { WantedChain } from './rules-text.js';
import { MOST_FLOODED, setName } from './sets.js';

/** What of the configuration shapes the rules of the packet filter. */
export type PacketPath = Pick<Config, 'queue' | 'filter'>;

export interface QueueChainOptions extends PacketPath {
  readonly family: Family;
  readonly has: (feature: Feature) => boolean;
  /** Flooded services are answered by SYNPROXY instead of being held at the rate. */
  readonly synproxy: boolean;
}

/** ICMP errors that connections need to work: unreachable (path MTU among them), time exceeded, parameter problem. */
const ICMP_KEPT: readonly number[] = [3, 11, 12];
/**
 * ICMPv6 that must not be filtered (RFC 4890, sections 4.3 and 4.4): errors 1-4,
 * multicast listener 130-132 and 143, neighbour discovery 133-137, inverse
 * discovery 141-142, certification path 148-149, multicast router 151-153.
 */
const ICMPV6_KEPT: readonly number[] = [
  1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 141, 142, 143, 148, 149, 151, 152, 153,
];

/** The share of `queue.at_most` above which a source is held by the kernel. */
const SHARE = 0.1;
/** Places of the table of sources for each packet a second of `queue.at_most`. */
const PLACES = 8;

export const SYN = '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN';
const matchSet = (name: string, side = 'src') => `-m set --match-set ${name} ${side}`;
const notInSet = (name: string) => `-m set ! --match-set ${name} src`;
export const isFlooded = (family: Family) => matchSet(FLOOD_SETS[family], 'dst,dst');

/**
 * The target for these consecutive queue numbers. A queue that nobody listens to lets
 * packets pass, but where overload drops: there it drops them, as `refreshAlive` does.
 */
function queueTarget({ numbers, whenOverloaded }: QueueChainOptions['queue']): string {
  const first = numbers[0] ?? 0;
  const bypass = whenOverloaded === 'accept' ? ' --queue-bypass' : '';
  return numbers.length === 1
    ? `-j NFQUEUE --queue-num ${first}${bypass}`
    : `-j NFQUEUE --queue-balance ${first}:${first + numbers.length - 1}${bypass} --queue-cpu-fanout`;
}

/** The four chains; BARRICATA-NAMED only where a packet rule names what is no first packet. */
export function queueChains(options: QueueChainOptions): WantedChain[] {
  const chain = (name: string, rules: readonly string[]): WantedChain => ({
    table: 'mangle',
    name,
    from: name === 'BARRICATA-FIRST' ? ['PREROUTING'] : [],
    rules,
  });
  const named = namedMatches(options);
  const chains = [
    chain('BARRICATA-FIRST', firstRules(options, named.others)),
    chain('BARRICATA-ICMP', icmpRules(options, named.icmp)),
    chain('BARRICATA-QUEUE', limitRules(options)),
  ];
  if (named.others.length + named.icmp.length > 0) chains.push(chain('BARRICATA-NAMED', namedRules(options)));
  return chains;
}

const TO_QUEUE = '-g BARRICATA-QUEUE';
const TO_NAMED = '-g BARRICATA-NAMED';

function firstRules({ family, filter, has }: QueueChainOptions, named: readonly string[]): string[] {
  const rules = [
    '-i lo -j RETURN',
    `-p ${family === 4 ? 'icmp' : 'ipv6-icmp'} -g BARRICATA-ICMP`,
    `-p tcp -m tcp ! --tcp-flags ACK ACK ${TO_QUEUE}`,
    `-p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN ${TO_QUEUE}`,
  ];
  if (has('conntrack')) {
    // Also RST with ACK; what answers a connection of ours is neither new nor invalid.
    rules.push(`-p tcp -m tcp --tcp-flags SYN,ACK ACK -m conntrack --ctstate INVALID,NEW ${TO_QUEUE}`);
    if (filter.udp !== null) rules.push(`-p udp -m conntrack --ctstate NEW ${TO_QUEUE}`);
  }
  for (const match of named) rules.push(`${match} ${TO_NAMED}`);
  if (has('conntrack') && filter.scan !== null) {
    // Scans for protocols. Routers speak to groups, are never answered, and so stay new.
    const groups = family === 4 ? '224.0.0.0/4' : 'ff00::/8';
    rules.push('-p tcp -j RETURN', '-p udp -j RETURN', `! -d ${groups} -m conntrack --ctstate NEW ${TO_QUEUE}`);
    // An SCTP chunk that belongs to no association, such as the COOKIE ECHO of a scan, is invalid instead.
    rules.push(`-p sctp -m conntrack --ctstate INVALID ${TO_QUEUE}`);
  }
  return rules;
}

/** Whether the detectors want every ICMP packet that may be filtered. */
const wantsIcmp = ({ filter }: PacketPath) => filter.icmp !== null || filter.pingSweep !== null;

function icmpRules(options: QueueChainOptions, named: readonly string[]): string[] {
  const kept = (type: number) =>
    options.family === 4
      ? `-p icmp -m icmp --icmp-type ${type} -j RETURN`
      : `-p ipv6-icmp -m icmp6 --icmpv6-type ${type} -j RETURN`;
  const rules = (options.family === 4 ? ICMP_KEPT : ICMPV6_KEPT).map(kept);
  for (const match of named) rules.push(`${match} ${TO_NAMED}`);
  if (wantsIcmp(options)) rules.push(TO_QUEUE);
  return rules;
}

/** What packet rules name and would not reach the worker anyway. A rule that accepts needs nothing of the kernel. */
function namedMatches(options: QueueChainOptions): { readonly icmp: string[]; readonly others: string[] } {
  const { family, filter, has } = options;
  const features = { multiport: has('multiport'), length: has('length') };
  const icmp = new Set<string>();
  const others = new Set<string>();
  for (const rule of filter.rules) {
    if (rule.then.kind === 'accept' || isFirstPacket(rule)) continue;
    const isIcmp = rule.protocol === 'icmp' || rule.protocol === 'icmpv6';
    for (const match of matchesOf(rule, family, features)) {
      if (!isIcmp) others.add(match);
      // The chain of ICMP sees nothing else, so that a rule for any protocol stands in both.
      if ((isIcmp || rule.protocol === null) && !wantsIcmp(options)) icmp.add(match);
    }
  }
  return { icmp: [...icmp], others: [...others] };
}

/** Off without a worker. What passes then is counted, except of those who are never filtered. */
function aliveRules(family: Family): string[] {
  const dead = notInSet(ALIVE_SETS[family]);
  return [`${dead} ${notInSet(setName('allow', family))} -j RETURN`, `${dead} -j RETURN`];
}

function limitRules(options: QueueChainOptions): string[] {
  const { family, queue, filter, has, synproxy } = options;
  const { atMost } = queue;
  const mayDrop = matchSet(LIMIT_SETS[family]);
  const rules = aliveRules(family);
  if (filter.flood !== null && has('hashlimit')) {
    const { perSecond } = filter.flood;
    const above = { family, name: 'flood', when: 'above', perSecond, per: 'service', most: 16 * MOST_FLOODED } as const;
    // SYNPROXY takes what is above; what is below still shows the worker whether the flood goes on.
    const target = synproxy ? 'RETURN' : 'DROP';
    rules.push(`${SYN} ${isFlooded(family)} ${mayDrop} ${hashLimit(above)} -j ${target}`);
  }
  rules.push(`${matchSet(setName('allow', family))} -j RETURN`, `${matchSet(HOT_SETS[family])} ${mayDrop} -j DROP`);
  if (!has('hashlimit')) return [...rules, queueTarget(queue)];
  const bucket = { family, when: 'upto', perSecond: atMost } as const;
  rules.push(`${hashLimit({ ...bucket, name: 'first' })} ${queueTarget(queue)}`);
  if (has('set_target')) {
    const most = 2 ** Math.ceil(Math.log2(Math.max(1024, PLACES * Math.min(1_000_000, atMost))));
    const share = { family, name: 'share', when: 'above', perSecond: atMost * SHARE, per: 'source', most } as const;
    const target = `-j SET --add-set ${HOT_SETS[family]} src --exist --timeout ${HOT_TIMEOUT}`;
    rules.push(`${mayDrop} ${hashLimit({ ...bucket, name: 'look' })} ${hashLimit(share)} ${target}`);
  }
  return [...rules, ...overloadRules(options)];
}

function overloadRules({ family, queue }: QueueChainOptions): string[] {
  return [...(queue.whenOverloaded === 'drop' ? [`${matchSet(LIMIT_SETS[family])} -j DROP`] : []), '-j RETURN'];
}

/** As many a second as first packets, in a bucket of their own: connections do not use up the room of new ones. */
function namedRules(options: QueueChainOptions): string[] {
  const { family, queue, has } = options;
  const rules = [...aliveRules(family), `${matchSet(setName('allow', family))} -j RETURN`];
  if (!has('hashlimit')) return [...rules, queueTarget(queue)];
  const bucket = { family, name: 'named', when: 'upto', perSecond: queue.atMost } as const;
  return [...rules, `${hashLimit(bucket)} ${queueTarget(queue)}`, ...overloadRules(options)];
}

/** What a rule of these chains does to the packets that it counts; `null` for nothing of interest. */
export function meaningOf(text: string): 'unfiltered' | 'limited' | 'queued' | null {
  if (text.includes('-j NFQUEUE')) return 'queued';
  if (text.endsWith('-j DROP')) return 'limited';
  // The last rule, and the first of `aliveRules`.
  if (text === '-j RETURN' || /! --match-set \S+ src .*! --match-set \S+ src -j RETURN$/.test(text))
    return 'unfiltered';
  return null;
}
