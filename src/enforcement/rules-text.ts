/**
 * The static rules as text: what Barricata wants in each table, what
 * `iptables-save` says is there, and the `iptables-restore --noflush` lines that
 * lead from one to the other. Nothing here runs a program.
 *
 * The rules are written exactly as `iptables-save` prints them (the nft and the
 * legacy variant agree on all of them), so that equal text means equal rule.
 */
import type { Family } from '../net/address.js';
import { ALIVE_SETS } from '../netlink/alive.js';
import { setName } from './sets.js';

export type Table = 'raw' | 'mangle' | 'filter';

/** Every chain that Barricata may have made, in whatever table (CONTRACT: BARRICATA-REJECT and -SYNPROXY where configured). */
export const OWN_CHAINS: readonly string[] = [
  'BARRICATA',
  'BARRICATA-OUT',
  'BARRICATA-QUEUE',
  'BARRICATA-REJECT',
  'BARRICATA-SYNPROXY',
];

/** A chain of ours and the built-in chain whose first rule jumps to it. */
export interface WantedChain {
  readonly table: Table;
  readonly name: string;
  readonly from: 'PREROUTING' | 'OUTPUT';
  /** Without `-A NAME`. */
  readonly rules: readonly string[];
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

/** The target for these consecutive queue numbers; a queue that nobody listens to lets packets pass. */
function queueTarget(queues: readonly number[]): string {
  const first = queues[0] ?? 0;
  return queues.length === 1
    ? `-j NFQUEUE --queue-num ${first} --queue-bypass`
    : `-j NFQUEUE --queue-balance ${first}:${first + queues.length - 1} --queue-bypass --queue-cpu-fanout`;
}

function queueRules(family: Family, queues: readonly number[]): string[] {
  const target = queueTarget(queues);
  const icmp = (type: number) =>
    family === 4
      ? `-p icmp -m icmp --icmp-type ${type} -j RETURN`
      : `-p ipv6-icmp -m icmp6 --icmpv6-type ${type} -j RETURN`;
  return [
    '-i lo -j RETURN',
    `-m set ! --match-set ${ALIVE_SETS[family]} src -j RETURN`,
    `-m set --match-set ${setName('allow', family)} src -j RETURN`,
    `-p tcp -m tcp ! --tcp-flags ACK ACK ${target}`,
    ...(family === 4 ? ICMP_KEPT : ICMPV6_KEPT).map(icmp),
    `-p ${family === 4 ? 'icmp' : 'ipv6-icmp'} ${target}`,
  ];
}

/**
 * The chains that one family needs.
 * @param queues consecutive NFQUEUE numbers; empty for no queue rules
 */
export function wantedChains(family: Family, outbound: boolean, queues: readonly number[]): WantedChain[] {
  const lists = (side: 'src' | 'dst') => [
    `-m set --match-set ${setName('allow', family)} ${side} -j RETURN`,
    `-m set --match-set ${setName('ban', family)} ${side} -j DROP`,
  ];
  const chains: WantedChain[] = [{ table: 'raw', name: 'BARRICATA', from: 'PREROUTING', rules: lists('src') }];
  if (outbound) chains.push({ table: 'raw', name: 'BARRICATA-OUT', from: 'OUTPUT', rules: lists('dst') });
  if (queues.length > 0) {
    chains.push({ table: 'mangle', name: 'BARRICATA-QUEUE', from: 'PREROUTING', rules: queueRules(family, queues) });
  }
  return chains;
}

export interface SavedRule {
  /** Without `-A NAME`. */
  readonly text: string;
  /** 0 when the listing has no counters. */
  readonly packets: number;
  readonly bytes: number;
}

/** The chains of one table: name to rules, in order. */
export type SavedTable = ReadonlyMap<string, readonly SavedRule[]>;

/** Reads what `iptables-save [-c] -t TABLE` prints. */
export function parseTable(text: string): SavedTable {
  const chains = new Map<string, SavedRule[]>();
  for (const line of text.split('\n')) {
    const chain = /^:(\S+) /.exec(line)?.[1];
    if (chain !== undefined) chains.set(chain, []);
    const rule = /^(?:\[(\d+):(\d+)\] )?-A (\S+) ?(.*)$/.exec(line);
    if (rule === null) continue;
    const name = rule[3] as string;
    const rules = chains.get(name) ?? [];
    chains.set(name, rules);
    rules.push({ text: rule[4] ?? '', packets: Number(rule[1] ?? 0), bytes: Number(rule[2] ?? 0) });
  }
  return chains;
}

/** The chain that a rule jumps or goes to. */
function targetOf(rule: SavedRule): string {
  return /(?:^| )-[jg] (\S+)/.exec(rule.text)?.[1] ?? '';
}

export interface TablePlan {
  /** Lines for iptables-restore, between `*TABLE` and `COMMIT`; none when all is as wanted. */
  readonly lines: readonly string[];
  /** One phrase for each thing that is not as wanted. */
  readonly missing: readonly string[];
}

/**
 * What leads from a table as it is to one where exactly the wanted chains of
 * ours are there and each is jumped to, once, by the first rule of its built-in
 * chain. Rules and chains of others keep their text and their order. A chain
 * that is right already keeps its counters.
 */
export function planTable(table: Table, wanted: readonly WantedChain[], saved: SavedTable): TablePlan {
  const declare: string[] = [];
  const fill: string[] = [];
  const jumps: string[] = [];
  const drop: string[] = [];
  const missing: string[] = [];
  const here = wanted.filter((chain) => chain.table === table);
  for (const { name, rules } of here) {
    const found = saved.get(name)?.map((rule) => rule.text);
    if (found !== undefined && found.length === rules.length && found.every((text, i) => text === rules[i])) continue;
    missing.push(found === undefined ? `chain ${name} of table ${table}` : `rules of chain ${name} of table ${table}`);
    // With --noflush, declaring a chain makes it or empties it.
    declare.push(`:${name} - [0:0]`);
    for (const rule of rules) fill.push(`-A ${name} ${rule}`);
  }
  const gone = [...saved.keys()].filter(
    (name) => OWN_CHAINS.includes(name) && !here.some((chain) => chain.name === name),
  );
  for (const chain of new Set([...saved.keys(), ...here.map(({ from }) => from)])) {
    const rules = saved.get(chain) ?? [];
    const wantedJump = here.find(({ from }) => from === chain);
    // A jump with conditions to a chain that stays is somebody's own and stays too.
    const bare = rules.filter(({ text }) => here.some(({ name }) => text === `-j ${name}`));
    const strays = rules.filter((rule) => gone.includes(targetOf(rule)));
    const right =
      wantedJump === undefined ? bare.length === 0 : bare.length === 1 && rules[0]?.text === `-j ${wantedJump.name}`;
    for (const rule of [...(right ? [] : bare), ...strays]) jumps.push(`-D ${chain} ${rule.text}`);
    if (right) continue;
    if (wantedJump !== undefined) jumps.push(`-I ${chain} 1 -j ${wantedJump.name}`);
    missing.push(
      wantedJump === undefined
        ? `a jump too many in ${chain} of table ${table}`
        : `jump to ${wantedJump.name} from position 1 of ${chain} of table ${table}`,
    );
  }
  for (const name of gone) {
    missing.push(`chain ${name} of table ${table} is to go`);
    drop.push(`-F ${name}`, `-X ${name}`);
  }
  return { lines: [...declare, ...fill, ...jumps, ...drop], missing };
}

/** The input of one `iptables-restore --noflush` for several tables; '' when there is nothing to do. */
export function restoreText(plans: readonly (readonly [Table, TablePlan])[]): string {
  let text = '';
  for (const [table, { lines }] of plans) {
    if (lines.length > 0) text += `*${table}\n${lines.join('\n')}\nCOMMIT\n`;
  }
  return text;
}
