/** History as a person meets it: why, audit and the files, with a real daemon, a real Redis and the real kernel. */
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { History } from '../../src/history/history.js';
import { prefix } from '../../src/net/prefix.js';
import { type Answer, alertLine, Barricata } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, waitFor } from '../support/netns.js';

interface Why {
  readonly address: string;
  readonly banned: boolean;
  readonly steps: readonly { readonly check: string; readonly result: string; readonly detail: string }[];
  readonly decisions: readonly { readonly kind: string; readonly outcome: string; readonly count: number }[];
  readonly journal: readonly { readonly act: string; readonly by: string | null }[];
  readonly history: { readonly completeFrom: number | null } | null;
  readonly unread: readonly string[];
}

const BANNED = '203.0.113.66';
const NOTED = '203.0.113.77';
const PROTECTED = '8.8.8.8';

const step = (answer: Answer, check: string) => answer.json<Why>().steps.find((one) => one.check === check);
/** An alert of an address whose flow nobody answered, with nothing recognised: never a proof. */
const unproven = (src: string) =>
  alertLine(src, {
    app_proto: 'failed',
    flow: { pkts_toserver: 1, pkts_toclient: 0, bytes_toserver: 60, src_ip: src },
  });

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('history', () => {
  let b: Barricata;
  const json = (address: string) => b.cli('why', address, '-o', 'json');
  const rows = async (address: string) =>
    (await new History(join(b.folder, 'state/history')).alerts({ address: prefix(address), judged: true })).rows;

  beforeAll(async () => {
    enterPrivateNetns();
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start();
    appendFileSync(b.eve, alertLine(BANNED) + alertLine(PROTECTED) + unproven(NOTED) + unproven(NOTED));
    await waitFor('the ban', () => b.elements().has(BANNED));
  });
  afterAll(() => b?.remove());

  it('lets why tell a ban from the alert to the kernel, with the number and the text of the line', () => {
    const why = json(BANNED);
    expect(why.code).toBe(0);
    const { steps, decisions } = why.json<Why>();
    expect(steps.map(({ check }) => check)).toEqual([
      'engine event',
      'age',
      'attribution',
      'evidence',
      'protection',
      'policy',
      'decision',
      'ban',
      'journal',
      'redis',
      'kernel',
    ]);
    const file = readFileSync(b.config, 'utf8').split('\n');
    const number = Number(/line (\d+) /.exec(step(why, 'policy')?.detail ?? '')?.[1]);
    expect(file[number - 1]).toContain('{');
    expect(step(why, 'policy')).toMatchObject({
      result: 'ban 1h',
      detail: expect.stringMatching(
        /"web exploitation": \{ "?name"?: "?web exploitation"?, .*"?then"?: "?ban 1h"? \}$/,
      ),
    });
    expect(step(why, 'attribution')?.detail).toContain(`${BANNED} opened the flow to 192.168.50.10`);
    expect(step(why, 'evidence')).toMatchObject({ result: 'app' });
    expect(step(why, 'redis')?.detail).toContain(`barricata:ban:${BANNED}`);
    expect(step(why, 'kernel')).toMatchObject({ result: 'in the set' });
    expect(decisions).toMatchObject([{ kind: 'ban', outcome: 'stored', count: 1 }]);
  });

  it('lets why name the check that stopped what is not banned', () => {
    const noted = json(NOTED);
    expect(noted.code).toBe(1);
    expect(noted.json<Why>()).toMatchObject({ banned: false, decisions: [{ kind: 'note', count: 2 }] });
    expect(step(noted, 'evidence')?.result).toBe('unproven');
    expect(step(noted, 'decision')?.detail).toMatch(
      /TEST web attack, 2 times, .*decided by policy: no policy line matched/,
    );
    expect(step(json(PROTECTED), 'decision')).toMatchObject({ result: 'refused' });
    expect(step(json(PROTECTED), 'protection')?.result).toBe('infrastructure');
    expect(json('203.0.113.99').json<Why>().decisions).toEqual([]);
    const text = b.cli('why', NOTED, '-o', 'table').out;
    expect(text).toMatch(/^NOT BANNED\n/);
    expect(text).toMatch(/history is complete from \d{4}-\d\d-\d\d \d\d:\d\d UTC/);
  });

  it('lets why say of an own host that it was flagged', async () => {
    const flow = {
      pkts_toserver: 4,
      pkts_toclient: 3,
      bytes_toserver: 366,
      bytes_toclient: 331,
      src_ip: '192.168.50.20',
    };
    appendFileSync(b.eve, alertLine('192.168.50.20', { dest_ip: '192.0.2.200', flow }));
    const why = await waitFor('the flag', () => {
      const answer = json('192.168.50.20');
      if (answer.json<Why>().decisions.length === 0) throw new Error(answer.out);
      return answer;
    });
    expect(why.code).toBe(1);
    expect(step(why, 'attribution')).toMatchObject({ result: 'outbound' });
    expect(step(why, 'decision')).toMatchObject({ result: 'flag' });
    expect(json('192.0.2.200').json<Why>().decisions).toMatchObject([{ kind: 'flag' }]);
  });

  it('keeps what a restart forgot before', async () => {
    await b.stop();
    await b.start();
    expect(json(NOTED).json<Why>()).toMatchObject({ decisions: [{ kind: 'note', count: 2 }], unread: [] });
    expect(step(json(PROTECTED), 'decision')).toMatchObject({ result: 'refused' });
  });

  it('lets audit show who did what, and choose', async () => {
    expect(
      b.cli('ban', '203.0.113.5', '--for', '1h', '--reason', 'by hand', '--ticket', 'INC-7', '--as', 'ann').code,
    ).toBe(0);
    expect(b.cli('unban', '203.0.113.5', '--reason', 'wrong one', '--as', 'bob').code).toBe(0);
    const audit = (...args: string[]) =>
      b.cli('audit', ...args, '-o', 'json').json<{ act: string; by: string; address: string; why: string }[]>();
    expect(audit('203.0.113.5')).toMatchObject([
      { act: 'unban', by: 'bob', why: 'wrong one' },
      { act: 'ban', by: 'ann', why: 'by hand', ticket: 'INC-7' },
    ]);
    expect(audit('--by', 'bob').map(({ address }) => address)).toEqual(['203.0.113.5']);
    expect(audit('--act', 'ban').map(({ address }) => address)).toEqual(['203.0.113.5', BANNED]);
    expect(audit('203.0.113.0/24', '--act', 'ban')).toHaveLength(2);
    expect(audit('--since', '1h').length).toBe(audit().length);
    expect(audit('198.51.100.1')).toEqual([]);
    const shown = b.cli('audit', '203.0.113.5', '-o', 'table').out;
    expect(shown).toMatch(/TIME .*ACT .*ADDRESS .*BY /);
    expect(shown).toMatch(/unban +203\.0\.113\.5 +bob +cli .* wrong one/);
    expect(step(json('203.0.113.5'), 'journal')).toMatchObject({
      result: 'unban',
      detail: expect.stringContaining('unban by bob (cli): wrong one'),
    });
  });

  it('says that a person lifted the ban when the same is seen again', async () => {
    const again = alertLine('203.0.113.67');
    appendFileSync(b.eve, again);
    await waitFor('the ban', () => b.elements().has('203.0.113.67'));
    expect(b.cli('unban', '203.0.113.67', '--reason', 'customer').code).toBe(0);
    appendFileSync(b.eve, again);
    const why = await waitFor('the pardon', () => {
      const answer = json('203.0.113.67');
      if (step(answer, 'decision')?.result !== 'pardoned') throw new Error(answer.out);
      return answer;
    });
    expect(why.code).toBe(1);
    expect(step(why, 'decision')?.detail).toContain('a person lifted the ban');
  });

  it('answers without a daemon and without Redis, from the files and the kernel, and says what it could not read', async () => {
    await b.stop();
    await b.start({ args: ['--on-stop', 'keep'] });
    await waitFor('the ban', () => b.elements().has(BANNED));
    await b.stop();
    const banned = json(BANNED);
    expect({ code: banned.code, ...banned.json<Why>() }).toMatchObject({ code: 0, banned: true });
    expect(step(banned, 'kernel')).toMatchObject({ result: 'in the set' });
    expect(step(banned, 'redis')).toMatchObject({ result: 'unknown' });
    expect(step(banned, 'policy')?.result).toBe('ban 1h');
    expect(banned.json<Why>().unread).toEqual([expect.stringMatching(/^Redis: /)]);
    // Nothing says that it is held: there is nobody to say it.
    expect(b.cli('why', BANNED).out).toContain(`undo, as soon as Redis answers: barricata unban ${BANNED}`);
    expect(json(NOTED)).toMatchObject({ code: 1 });
    expect(json(NOTED).json<Why>().decisions).toMatchObject([{ kind: 'note', count: 2 }]);
    expect(b.cli('audit').code).toBe(4);
    await b.start();
  });

  it('keeps who spoke to whom, from flow, http and tls records', async () => {
    const now = new Date().toISOString().replace('Z', '000+0000');
    const ends = { src_ip: '198.51.100.9', src_port: 4000, dest_ip: '192.168.50.10', dest_port: 443, proto: 'TCP' };
    const record = (type: string, more: object) =>
      `${JSON.stringify({ timestamp: now, flow_id: 1, event_type: type, ...ends, ...more })}\n`;
    const counts = { pkts_toserver: 3, pkts_toclient: 3, bytes_toserver: 400, bytes_toclient: 600 };
    appendFileSync(
      b.eve,
      record('flow', { app_proto: 'tls', flow: counts }) + record('tls', { tls: { version: 'TLS 1.3' } }),
    );
    const contacts = () => new History(join(b.folder, 'state/history')).contacts({ address: prefix('198.51.100.9') });
    const [found] = await waitFor('the contact', async () => {
      json(NOTED);
      const { contacts: all } = await contacts();
      if (all.length === 0) throw new Error('no contact');
      return all;
    });
    expect(found).toMatchObject({ inside: '192.168.50.10', port: 443, flows: 1, bytes: 1000, replies: 1 });
  });

  it('goes on after a kill, and loses no row that was written', async () => {
    for (let i = 1; i <= 50; i++) appendFileSync(b.eve, unproven(`198.51.100.${i}`));
    await waitFor('history of them', async () => {
      b.cli('why', NOTED, '-q');
      return (await rows('198.51.100.0/24')).length >= 50;
    });
    await b.stop('SIGKILL');
    await b.start();
    expect((await rows('198.51.100.0/24')).length).toBe(50);
    appendFileSync(b.eve, unproven('198.51.100.51'));
    await waitFor('the next', () => json('198.51.100.51').json<Why>().decisions.length === 1);
    expect((await rows('198.51.100.0/24')).length).toBe(51);
  });
});

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('history that cannot be written', () => {
  let b: Barricata;
  afterEach(() => b?.remove());

  it('does not keep anybody from being banned, and is said by status', async () => {
    enterPrivateNetns();
    b = new Barricata();
    writeFileSync(b.eve, '');
    mkdirSync(join(b.folder, 'state'), { recursive: true });
    writeFileSync(join(b.folder, 'state/history'), 'in the way');
    await b.start();
    appendFileSync(b.eve, alertLine(BANNED) + unproven(NOTED));
    await waitFor('the ban', () => b.elements().has(BANNED));
    const { problems } = b.cli('status', '-o', 'json').json<{ problems: string[] }>();
    expect(problems).toContainEqual(expect.stringContaining('history cannot be written to'));
    // The daemon's memory serves instead.
    const why = b.cli('why', NOTED, '-o', 'json');
    expect(why.code).toBe(1);
    expect(step(why, 'evidence')?.result).toBe('unproven');
    expect(why.json<Why>().unread).toEqual([expect.stringContaining('history: ')]);
    rmSync(join(b.folder, 'state/history'));
    await waitFor('it is written again', () => readdirSync(join(b.folder, 'state')).includes('history'));
    await waitFor('the status says so', () => !b.cli('status', '-o', 'json').out.includes('history cannot be written'));
    expect(b.cli('why', NOTED, '-o', 'json').json<Why>()).toMatchObject({ unread: [], decisions: [{ kind: 'note' }] });
  });

  it('can be switched off', async () => {
    enterPrivateNetns();
    b = new Barricata({ history: 'off' });
    writeFileSync(b.eve, '');
    await b.start();
    appendFileSync(b.eve, unproven(NOTED));
    const why = await waitFor('the decision', () => {
      const answer = b.cli('why', NOTED, '-o', 'json');
      if (answer.json<Why>().decisions.length === 0) throw new Error(answer.out);
      return answer;
    });
    expect(step(why, 'evidence')?.result).toBe('unproven');
    expect(why.json<Why>().unread).toEqual([expect.stringContaining('history: off')]);
    expect(readdirSync(join(b.folder, 'state'))).not.toContain('history');
  });
});
