import { describe, expect, it } from 'vitest';
import type { CommandResult } from '../../../src/enforcement/command.js';
import { Rules } from '../../../src/enforcement/rules.js';
import {
  parseTable,
  planTable,
  restoreText,
  type Table,
  type WantedChain,
} from '../../../src/enforcement/rules-text.js';
import { wantedChains } from '../../../src/enforcement/wanted-chains.js';
import { DEFAULT_FILTER } from '../../support/filter.js';

const PACKETS = {
  queue: { numbers: [100], whenOverloaded: 'accept', atMost: 100_000 },
  filter: DEFAULT_FILTER,
} as const;

/** Tables in memory that understand what the plans use of iptables-restore. */
class Tables {
  readonly tables = new Map<string, Map<string, string[]>>();
  refuse: ((table: string) => string | null) | null = null;
  readonly ran: string[] = [];

  run = async (program: string, args: readonly string[], input = ''): Promise<CommandResult> => {
    this.ran.push(program);
    const at = (table: string) => {
      const key = `${program.startsWith('ip6') ? 6 : 4} ${table}`;
      const found =
        this.tables.get(key) ??
        new Map([
          ['PREROUTING', [] as string[]],
          ['OUTPUT', []],
        ]);
      this.tables.set(key, found);
      return found;
    };
    if (program.endsWith('-save')) {
      const chains = at(args.at(-1) ?? '');
      let stdout = '';
      for (const [name, rules] of chains)
        stdout += [`:${name} - [0:0]`, ...rules.map((r) => `-A ${name} ${r}`), ''].join('\n');
      return { code: 0, stdout, stderr: '' };
    }
    let table = '';
    for (const line of input.trim().split('\n')) {
      const [verb = '', name = '', ...rest] = line.split(' ');
      if (verb.startsWith('*')) {
        table = verb.slice(1);
        const why = this.refuse?.(table) ?? null;
        if (why !== null) return { code: 1, stdout: '', stderr: why };
      } else if (verb.startsWith(':')) at(table).set(verb.slice(1), []);
      else if (verb === '-A') at(table).get(name)?.push(rest.join(' '));
      else if (verb === '-I') at(table).get(name)?.unshift(rest.slice(1).join(' '));
      else if (verb === '-F') at(table).set(name, []);
      else if (verb === '-X') at(table).delete(name);
      else if (verb === '-D') {
        const rules = at(table).get(name) ?? [];
        rules.splice(rules.indexOf(rest.join(' ')), 1);
      }
    }
    return { code: 0, stdout: '', stderr: '' };
  };
}

describe('the plan for a table', () => {
  const wanted = wantedChains(4, true, { ...PACKETS, synproxy: false, has: () => true });

  it('is one text for both tables, chains before jumps', () => {
    const empty = parseTable(':PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n');
    const plans = (['raw', 'mangle'] as const).map((table): [Table, ReturnType<typeof planTable>] => [
      table,
      planTable(table, wanted, empty),
    ]);
    const text = restoreText(plans);
    expect(text.split('\n').slice(0, 9)).toEqual([
      '*raw',
      ':BARRICATA - [0:0]',
      ':BARRICATA-OUT - [0:0]',
      '-A BARRICATA -m set --match-set barricata-allow4 src -j RETURN',
      '-A BARRICATA -m set --match-set barricata4 src -j DROP',
      '-A BARRICATA-OUT -m set --match-set barricata-allow4 dst -j RETURN',
      '-A BARRICATA-OUT -m set --match-set barricata4 dst -j DROP',
      '-I PREROUTING 1 -j BARRICATA',
      '-I OUTPUT 1 -j BARRICATA-OUT',
    ]);
    expect(text.match(/^COMMIT$/gm)?.length).toBe(2);
  });

  it('reads counters, comments and chains without rules', () => {
    const table = parseTable(
      '# Generated\n*raw\n:PREROUTING ACCEPT [1:2]\n:X - [0:0]\n[12:3456] -A PREROUTING -m comment --comment "a -j b" -j X\nCOMMIT\n',
    );
    expect([...table.keys()]).toEqual(['PREROUTING', 'X']);
    expect(table.get('PREROUTING')).toEqual([{ text: '-m comment --comment "a -j b" -j X', packets: 12, bytes: 3456 }]);
  });

  it('puts the jumps of several chains first, in the order wanted, whatever stood there', () => {
    const [ours, other] = ['BARRICATA-REJECT', 'BARRICATA-SYNPROXY'].map((name): WantedChain => {
      return { table: 'filter', name, from: ['INPUT', 'FORWARD'], rules: ['-j DROP'] };
    });
    const both = [ours as WantedChain, other as WantedChain];
    const lines = (...input: string[]) =>
      planTable('filter', both, parseTable(chains + input.map((rule) => `-A INPUT ${rule}\n`).join(''))).lines;
    const chains = [
      ...[':INPUT -', ':FORWARD -', ':BARRICATA-REJECT -', ':BARRICATA-SYNPROXY -'],
      ...['-A BARRICATA-REJECT -j DROP', '-A BARRICATA-SYNPROXY -j DROP'],
      ...['-A FORWARD -j BARRICATA-REJECT', '-A FORWARD -j BARRICATA-SYNPROXY', ''],
    ].join('\n');
    expect(lines('-j BARRICATA-REJECT', '-j BARRICATA-SYNPROXY', '-j ACCEPT')).toEqual([]);
    const first = ['-I INPUT 1 -j BARRICATA-SYNPROXY', '-I INPUT 1 -j BARRICATA-REJECT'];
    expect(lines('-j ACCEPT')).toEqual(first);
    expect(lines('-j BARRICATA-SYNPROXY', '-j BARRICATA-REJECT')).toEqual([
      '-D INPUT -j BARRICATA-SYNPROXY',
      '-D INPUT -j BARRICATA-REJECT',
      ...first,
    ]);
    expect(lines('-j BARRICATA-REJECT', '-j ACCEPT', '-j BARRICATA-SYNPROXY')).toEqual([
      '-D INPUT -j BARRICATA-REJECT',
      '-D INPUT -j BARRICATA-SYNPROXY',
      ...first,
    ]);
  });

  it('empties chains that lead to one another before it deletes any', () => {
    const saved = parseTable(
      ':PREROUTING -\n:BARRICATA-FIRST -\n:BARRICATA-QUEUE -\n-A PREROUTING -j BARRICATA-FIRST\n-A BARRICATA-FIRST -p tcp -g BARRICATA-QUEUE\n',
    );
    expect(planTable('mangle', [], saved).lines).toEqual([
      '-D PREROUTING -j BARRICATA-FIRST',
      '-F BARRICATA-FIRST',
      '-F BARRICATA-QUEUE',
      '-X BARRICATA-FIRST',
      '-X BARRICATA-QUEUE',
    ]);
  });

  it('keeps a jump with conditions that somebody made, and removes it only with the chain', () => {
    const saved = parseTable(':PREROUTING -\n:BARRICATA -\n-A PREROUTING -i eth9 -j BARRICATA\n');
    expect(planTable('raw', wanted, saved).lines.filter((line) => line.startsWith('-D'))).toEqual([]);
    expect(planTable('raw', [], saved).lines).toEqual([
      '-D PREROUTING -i eth9 -j BARRICATA',
      '-F BARRICATA',
      '-X BARRICATA',
    ]);
  });
});

describe('installing', () => {
  const rules = (tables: Tables) =>
    new Rules({ commands: tables, variant: 'auto', outbound: true, packets: () => PACKETS });

  it('keeps the ban rules in force where the kernel cannot queue, and says so', async () => {
    const tables = new Tables();
    tables.refuse = (table) =>
      table === 'mangle' ? 'Warning: Extension NFQUEUE revision 0 not supported, missing kernel module?' : null;
    const subject = rules(tables);
    const result = await subject.install();
    expect(result.queue).toBe(false);
    expect(result.notes[0]).toMatch(/IPv4 packets are not filtered, bans are enforced: .*xt_NFQUEUE/);
    expect(tables.tables.get('4 raw')?.get('PREROUTING')).toEqual(['-j BARRICATA']);
    expect(await subject.verify()).toBe('ok');
    tables.refuse = null;
    expect(await subject.install()).toMatchObject({ queue: true, notes: [] });
    expect(tables.tables.get('4 mangle')?.get('PREROUTING')).toEqual(['-j BARRICATA-FIRST']);
  });

  it('fails when the ban rules themselves are refused', async () => {
    const said: readonly (readonly [string, string])[] = [
      ["Set barricata4 doesn't exist.", 'missing'],
      ["Can't open socket to ipset.", 'unsupported'],
      ['Permission denied (you must be root)', 'not_permitted'],
      ['Another app is currently holding the xtables lock', 'timeout'],
      ['line 3 failed', 'refused'],
    ];
    for (const [stderr, kind] of said) {
      const tables = new Tables();
      tables.refuse = () => stderr;
      await expect(rules(tables).install()).rejects.toMatchObject({ kind, message: expect.stringContaining(stderr) });
    }
  });

  it('does not run for ever when what was written is not what is read', async () => {
    const tables = new Tables();
    const run = tables.run;
    tables.run = async (program, args, input) =>
      program.endsWith('-restore') ? { code: 0, stdout: '', stderr: '' } : run(program, args, input);
    await expect(rules(tables).install()).rejects.toMatchObject({ kind: 'refused' });
    expect(tables.ran.length).toBeLessThan(20);
  });

  it('tries again when another program changed the tables in between', async () => {
    const tables = new Tables();
    let refusals = 2;
    tables.refuse = () => (refusals-- > 0 ? 'line 9 failed' : null);
    expect(await rules(tables).install()).toMatchObject({ queue: true });
  });
});
