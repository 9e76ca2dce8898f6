/** Every scan of nmap and every flood of hping3, against the real daemon: who is banned, how soon, and who is not. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Attack, FILTER, FLOODS, LATE, RANDOM_SOURCES, SCANS } from '../support/attacks.js';
import { statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { Innocent, Lab, type Peer, SERVER } from '../support/lab.js';
import { waitFor } from '../support/netns.js';

/** For so long after the start a stray ACK is taken for a connection that is older than the rules. */
const ACK_GRACE_MS = 121_000;

interface Figures {
  readonly attack: string;
  readonly expected: string;
  detector: string;
  scope: string;
  /** Milliseconds from the first packet to the ban. */
  toBan: number | null;
  passed: number;
  /** Prefixes other than the attacker's that were banned at its end. */
  falseBans: number;
  asked: number;
  failed: number;
}

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue', 'hping3', 'nmap'))('attacks', () => {
  let lab: Lab;
  let innocent: Innocent;
  const figures: Figures[] = [];
  const all = [...SCANS, ...FLOODS, RANDOM_SOURCES, ...LATE];
  const toBeBanned = new Set(all.flatMap(({ scope }, i) => (scope === 'none' ? [] : [i])));

  const attackerOf = (attack: Attack) => lab.peers[all.indexOf(attack)] as Peer;
  /** Banned prefixes that are not those of an attacker who is to be banned. */
  const wronglyBanned = () =>
    lab.banned().filter((one) => !lab.peers.some((who, i) => toBeBanned.has(i) && who.owns(one)));

  beforeAll(async () => {
    lab = await Lab.open({ filter: FILTER, limits: { new_bans_per_minute: 1000 } }, all.length);
    await lab.start();
    lab.watch();
    innocent = new Innocent(lab.client, `http://${SERVER}/`, 50);
    await waitFor('the innocent is served', () => innocent.attempts.length > 0);
  });

  afterAll(async () => {
    innocent?.stop();
    await lab?.close();
    const table = tableOf(figures);
    console.log(table);
    const file = process.env['BARRICATA_TABLE'];
    if (file) writeFileSync(file, table);
  });

  const carryOut = async (attack: Attack): Promise<Figures> => {
    const attacker = attackerOf(attack);
    const address = attack.family === 4 ? attacker.address : attacker.address6;
    const began = Date.now();
    const row: Figures = {
      attack: attack.name,
      expected: attack.scope === 'none' ? 'no ban' : `${attack.seenBy.join(' or ')}, ${attack.scope}`,
      detector: '',
      scope: 'none',
      toBan: null,
      passed: 0,
      falseBans: 0,
      asked: 0,
      failed: 0,
    };
    figures.push(row);
    const [program, ...args] = attack.command;
    const child = attacker.spawn(program, args);
    const ends = new Promise((resolve) => child.on('close', resolve));
    if (attack.scope !== 'none')
      await Promise.race([ends, waitFor('the ban', () => attacker.banned !== null, attack.within + 5000)]);
    else await ends;
    if (attack.scope !== 'none')
      await waitFor(`${attack.name}: the ban`, () => attacker.banned !== null, 1500).catch(() => undefined);
    child.kill('SIGKILL');
    if (attacker.banned !== null && attacker.first !== null) row.toBan = Math.round(attacker.banned - attacker.first);
    const record = lab.record(address);
    row.detector = String(record?.value['policy'] ?? '');
    row.scope = record === null ? 'none' : record.scope === 'ban' ? 'fleet' : 'host';
    row.passed = lab.passed(attacker);
    row.falseBans = wronglyBanned().length;
    await waitFor('the innocent was answered meanwhile', () => innocent.since(began).length > 0);
    const attempts = innocent.since(began);
    row.asked = attempts.length;
    row.failed = attempts.filter(({ ok }) => !ok).length;
    return row;
  };

  const asExpected = async (attack: Attack): Promise<void> => {
    const row = await carryOut(attack);
    const who = `${attack.name}: ${JSON.stringify(row)}`;
    expect(row.scope, who).toBe(attack.scope);
    if (attack.scope !== 'none') {
      expect(attack.seenBy, who).toContain(row.detector);
      expect(row.toBan, who).toBeLessThan(attack.within);
    }
    expect(row.passed, who).toBeLessThanOrEqual(attack.atMost);
    expect(wronglyBanned(), who).toEqual([]);
    expect(row.failed, who).toBe(0);
    expect(row.asked, who).toBeGreaterThan(0);
  };

  describe.concurrent('by scanning', () => {
    it.each(SCANS.map((attack) => [attack.name, attack] as const))('%s', (_, attack) => asExpected(attack));
  });

  describe('by flooding', () => {
    it.each(FLOODS.map((attack) => [attack.name, attack] as const))('%s', (_, attack) => asExpected(attack));

    it(`${RANDOM_SOURCES.name}: nobody is banned, the flood is told from its beginning to its end`, async () => {
      const alarms = () => statusOf(lab.barricata).alarms.filter(({ name }) => name === 'flood');
      expect(alarms()).toEqual([]);
      const done = asExpected(RANDOM_SOURCES);
      await waitFor('the alarm', () => alarms().length === 1, 20_000, 100);
      expect(alarms()[0]?.detail).toContain('443');
      await done;
      await waitFor('the end of the alarm', () => alarms().length === 0, 30_000, 200);
    });
  });

  describe('once the rules are two minutes old', () => {
    beforeAll(() => waitFor('that', () => performance.now() - lab.started > ACK_GRACE_MS, ACK_GRACE_MS, 200), 130_000);

    it.each(LATE.map((attack) => [attack.name, attack] as const))('%s', (_, attack) => asExpected(attack));
  });

  it('leave the innocent client served from beginning to end, and nobody else banned', () => {
    expect(innocent.attempts.length).toBeGreaterThan(100);
    expect(innocent.attempts.filter(({ ok }) => !ok)).toEqual([]);
    expect(wronglyBanned()).toEqual([]);
    expect(lab.barricata.redis('--scan', '--pattern', 'barricata:ban:*').split('\n').filter(Boolean).length).toBe(
      all.filter(({ scope }) => scope === 'fleet').length,
    );
  });
});

function tableOf(rows: readonly Figures[]): string {
  const lines = rows.map(({ attack, expected, detector, scope, toBan, passed, falseBans, asked, failed }) =>
    [attack, expected, detector, scope, toBan ?? '', passed, falseBans, `${asked - failed}/${asked}`].join(' | '),
  );
  return [
    '| attack | expected | seen by | scope | ms to ban | packets passed before | false bans | innocent served |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...lines.map((line) => `| ${line} |`),
    '',
  ].join('\n');
}
