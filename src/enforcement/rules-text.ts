/**
 * The static rules as text: what Barricata wants in each table, what
 * `iptables-save` says is there, and the `iptables-restore --noflush` lines that
 * lead from one to the other. Nothing here runs a program.
 *
 * The rules are written exactly as `iptables-save` prints them (the nft and the
 * legacy variant agree on all of them), so that equal text means equal rule.
 */
export type Table = 'raw' | 'mangle' | 'filter';

/** Where a rule is tried out for a moment, to see whether the kernel takes it; nobody jumps there. */
export const PROBE_CHAIN = 'BARRICATA-PROBE';

/** Every chain that Barricata may have made, in whatever table. */
export const OWN_CHAINS: readonly string[] = [
  'BARRICATA',
  'BARRICATA-OUT',
  'BARRICATA-FIRST',
  'BARRICATA-ICMP',
  'BARRICATA-QUEUE',
  'BARRICATA-NAMED',
  PROBE_CHAIN,
  'BARRICATA-REJECT',
  'BARRICATA-SYNPROXY',
];

/** A chain of ours. */
export interface WantedChain {
  readonly table: Table;
  readonly name: string;
  /** Built-in chains that jump to it at their top, those of one chain in the order wanted; none where others of ours lead to it. */
  readonly from: readonly ('PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT')[];
  /** Without `-A NAME`. */
  readonly rules: readonly string[];
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
 * ours are there and each is jumped to, once, from the top of its built-in
 * chains. Rules and chains of others keep their text and their order. A chain
 * that is right already keeps its counters.
 */
export function planTable(table: Table, wanted: readonly WantedChain[], saved: SavedTable): TablePlan {
  const declare: string[] = [];
  const fill: string[] = [];
  const jumps: string[] = [];
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
  for (const chain of new Set([...saved.keys(), ...here.flatMap(({ from }) => from)])) {
    // A chain of ours is right, or was emptied and filled above, or is emptied below.
    if (OWN_CHAINS.includes(chain)) continue;
    const rules = saved.get(chain) ?? [];
    const wantedJumps = here.filter(({ from }) => (from as readonly string[]).includes(chain));
    // A jump with conditions to a chain that stays is somebody's own and stays too.
    const bare = rules.filter(({ text }) => here.some(({ name }) => text === `-j ${name}`));
    const strays = rules.filter((rule) => gone.includes(targetOf(rule)));
    const right =
      bare.length === wantedJumps.length && wantedJumps.every(({ name }, i) => rules[i]?.text === `-j ${name}`);
    for (const rule of [...(right ? [] : bare), ...strays]) jumps.push(`-D ${chain} ${rule.text}`);
    if (right) continue;
    for (const { name } of wantedJumps.toReversed()) jumps.push(`-I ${chain} 1 -j ${name}`);
    missing.push(
      wantedJumps.length === 0
        ? `a jump too many in ${chain} of table ${table}`
        : `jump to ${wantedJumps.map(({ name }) => name).join(' and ')} from position 1 of ${chain} of table ${table}`,
    );
  }
  for (const name of gone) missing.push(`chain ${name} of table ${table} is to go`);
  // They may lead to one another, so all are emptied before any is deleted.
  const drop = [...gone.map((name) => `-F ${name}`), ...gone.map((name) => `-X ${name}`)];
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
