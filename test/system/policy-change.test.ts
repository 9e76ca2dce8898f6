/** The configuration of a running daemon is changed, undone, broken, and written while processes are killed. */
import { spawn } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.js';
import { alertLine, Barricata, program } from '../support/daemon.js';
import { isBanned, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';

const IGNORED = 9_000_001;
const SERVER = '192.168.50.10';

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('a change of the policy', () => {
  let b: Barricata;
  let next: string;
  let hosts = 10;

  beforeAll(async () => {
    enterPrivateNetns();
    run('ip', 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
    b = new Barricata();
    next = join(b.folder, 'next.yaml');
    writeFileSync(b.eve, '');
    await b.start();
  });
  afterAll(() => b?.remove());

  /** A configuration with a comment and this policy; everything else as it runs. */
  const text = (comment: string, ...lines: readonly string[]) => {
    const { policy: _, ...rest } = JSON.parse(original);
    return `# ${comment}\n${JSON.stringify(rest, null, 1).replace(/\n\}$/, ',')}\n "policy": [ # first match decides\n${lines.join(',\n')}\n]}\n`;
  };
  let original = '';
  beforeEach(() => {
    original ||= readFileSync(b.config, 'utf8');
  });
  const IGNORE = `{ name: known false positive, when: { sid: ${IGNORED} }, then: ignore }`;
  const WEB = '{ name: web, when: { category: Web Application Attack, proven: true }, then: ban 1h }';

  const alert = (sid: number): string => {
    hosts += 1;
    const address = `203.0.113.${hosts}`;
    const { alert: of } = JSON.parse(alertLine(address));
    appendFileSync(b.eve, alertLine(address, { alert: { ...of, signature_id: sid } }));
    return address;
  };
  /** Alerts are decided in order: when the second is banned, the first was decided. */
  const isIgnored = async (): Promise<boolean> => {
    const [first, second] = [alert(IGNORED), alert(9_000_002)];
    await isBanned(b, second, 2000);
    return !b.elements().has(first);
  };
  const apply = (...more: readonly string[]) => b.cli('policy', 'apply', next, '--yes', '--as', 'analyst1', ...more);
  const versionIn = (file: string) => parseConfig(readFileSync(file, 'utf8'), file).policyVersion;

  it('decides the next alert, is in the journal, and is undone', async () => {
    expect(await isIgnored()).toBe(false);
    writeFileSync(next, text('with an exception', IGNORE, WEB));
    chmodSync(b.config, 0o640);
    chownSync(b.config, 0, 65_534);
    const before = statusOf(b).config.version;
    const applied = apply('--ticket', 'INC-4411', '--reason', 'curl of the monitoring');
    expect(applied).toMatchObject({ code: 0 });
    expect(applied.out).toContain('policy line "known false positive" added at 1');
    expect(await isIgnored()).toBe(true);

    expect(readFileSync(b.config, 'utf8')).toBe(readFileSync(next, 'utf8'));
    expect(statSync(b.config)).toMatchObject({ mode: 0o100_640, uid: 0, gid: 65_534 });
    const after = statusOf(b).config.version;
    expect(after).toBe(versionIn(next));
    const journal = b.redis('XREVRANGE', 'barricata:journal', '+', '-', 'COUNT', '20');
    for (const word of ['policy', 'analyst1', 'INC-4411', 'curl of the monitoring', before, after])
      expect(journal).toContain(word);
    expect(b.cli('audit', '--act', 'policy').out).toContain(`\tpolicy ${before}\tpolicy ${after}\t`);

    // The alerts of before are in history within seconds; the preview decides them by both.
    const past = await waitFor(
      'a preview',
      () => {
        const { preview } = b
          .cli('policy', 'undo', '--dry-run', '-o', 'json')
          .json<{ preview: { added?: unknown[] } }>();
        return (preview.added?.length ?? 0) > 0 ? preview : null;
      },
      30_000,
      500,
    );
    expect(past).toMatchObject({ removed: [], added: [{ why: expect.stringContaining('known false positive') }, {}] });
    expect(b.cli('policy', 'undo', '--dry-run').out).toContain('policy line "known false positive" removed from 1');
    expect(await isIgnored()).toBe(true);
    expect(b.cli('policy', 'undo', '--yes')).toMatchObject({ code: 0 });
    expect(await isIgnored()).toBe(false);
    expect(readFileSync(b.config, 'utf8')).toBe(original);
    expect(statusOf(b).config.version).toBe(before);

    const listed = b.cli('policy', 'list', '-o', 'json').json<Record<string, unknown>[]>();
    expect(listed).toMatchObject([
      { version: before, runs: true, restores: 1 },
      { version: after, runs: false, by: 'analyst1', ticket: 'INC-4411' },
      { version: before, runs: false, by: null },
    ]);
    expect(b.cli('policy', 'undo', '--to', '2', '--yes').code).toBe(0);
    expect(await isIgnored()).toBe(true);
    expect(b.cli('policy', 'undo', '--to', before, '--yes').code).toBe(0);
  });

  it('with mistakes changes nothing, and says where they are', async () => {
    writeFileSync(next, text('wrong', IGNORE, '{ name: web, when: { categry: x }, then: bann 1h }'));
    const before = statusOf(b).config.version;
    const answer = apply();
    expect(answer.code).toBe(1);
    expect(answer.err).toContain('unknown key');
    expect(answer.err).toContain('categry: x');
    expect(readFileSync(b.config, 'utf8')).toBe(original);
    expect(statusOf(b)).toMatchObject({ config: { version: before }, alarms: [] });
    expect(await isIgnored()).toBe(false);
  });

  it('asks for --yes without a terminal, and does nothing in a dry run', () => {
    writeFileSync(next, text('with an exception', IGNORE, WEB));
    expect(b.cli('policy', 'apply', next)).toMatchObject({ code: 2, err: expect.stringContaining('--yes') });
    expect(b.cli('policy', 'apply', next, '--dry-run').code).toBe(0);
    expect(b.cli('policy', 'apply', next, '--dry-run', '-o', 'json').json()).toMatchObject({ outcome: 'dry_run' });
    expect(readFileSync(b.config, 'utf8')).toBe(original);
    expect(b.cli('policy', 'diff', next, '-o', 'json').json()).toMatchObject({
      running: true,
      policy: [
        { name: 'web exploitation', change: 'removed' },
        { name: 'known false positive', change: 'added' },
        { name: 'web', change: 'added' },
      ],
      keys: [],
      restartNeeded: [],
    });
    expect(b.cli('policy', 'diff').code).toBe(1);
    expect(b.cli('policy', 'apply', b.config, '--yes').code).toBe(1);
    expect(b.cli('policy', 'frobnicate').code).toBe(2);
  });

  it('in place, with a mistake, leaves the daemon and the command line at work', async () => {
    const before = statusOf(b).config.version;
    const broken = original.replace('"policy"', '"polcy"');
    writeFileSync(b.config, broken);
    try {
      process.kill(b.pid, 'SIGHUP');
      await waitFor('the alarm', () => statusOf(b).alarms.find(({ name }) => name === 'policy_rejected'));
      const status = b.cli('status');
      expect(status.code).toBe(0);
      expect(status.out).toMatch(/polcy: unknown key; did you mean "policy"/);
      expect(statusOf(b).config.version).toBe(before);
      const address = alert(IGNORED);
      await isBanned(b, address);
      expect(b.cli('unban', address, '--reason', 'x').code).toBe(0);
      expect(b.cli('policy', 'check')).toMatchObject({ code: 1, out: expect.stringContaining('polcy') });
      // A good file in the place of the broken one ends the alarm.
      writeFileSync(next, text('with an exception', IGNORE, WEB));
      expect(apply()).toMatchObject({ code: 0 });
      expect(statusOf(b).alarms).toEqual([]);
    } finally {
      writeFileSync(next, original);
      apply();
    }
    expect(statusOf(b).config.version).toBe(before);
  });

  it('edited in place is taken up by apply without a file', async () => {
    writeFileSync(b.config, text('with an exception', IGNORE, WEB));
    expect(b.cli('policy', 'diff').out).toContain('known false positive');
    expect(b.cli('policy', 'apply', '--yes').code).toBe(0);
    expect(await isIgnored()).toBe(true);
    expect(b.cli('policy', 'undo', '--yes').code).toBe(0);
    expect(readFileSync(b.config, 'utf8')).toBe(original);
    // An edit that nobody took up is kept when it is replaced, and no undo brings it back.
    writeFileSync(b.config, text('never taken up', WEB));
    writeFileSync(next, text('with an exception', IGNORE, WEB));
    expect(apply().code).toBe(0);
    expect(b.cli('policy', 'list').out).toContain('never taken up');
    expect(b.cli('policy', 'undo', '--yes').code).toBe(0);
    expect(readFileSync(b.config, 'utf8')).toBe(original);
  });

  it('killed at any moment leaves a whole file, the old one or the new one', async () => {
    const texts = [original, text('other', IGNORE, WEB)];
    const began = performance.now();
    writeFileSync(next, texts[1] as string);
    expect(apply().code).toBe(0);
    const takes = performance.now() - began;
    let written = 1;
    const seen = new Set<string>();
    // On a busy machine one run takes longer than the last, so late kills come much later than one run took.
    for (let i = 0; i < 24 || (seen.size < 2 && i < 72); i++) {
      const wanted = texts.find((one) => one !== readFileSync(b.config, 'utf8')) as string;
      writeFileSync(next, wanted);
      const child = spawn(process.execPath, [program, 'policy', 'apply', next, '--yes', '--config', b.config], {
        stdio: 'ignore',
      });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      const kill = setTimeout(() => child.kill('SIGKILL'), takes * (0.4 + (i % 24) / 12));
      await ended;
      clearTimeout(kill);
      const now = readFileSync(b.config, 'utf8');
      expect(texts).toContain(now);
      seen.add(now === wanted ? 'new' : 'old');
      written += now === wanted ? 1 : 0;
    }
    expect(written).toBeGreaterThan(1);
    expect([...seen].sort()).toEqual(['new', 'old']);
    // The lock went with the process, and whatever was left half done is finished by the next change.
    writeFileSync(next, original);
    expect([0, 1]).toContain(apply().code);
    expect(b.cli('policy', 'apply', '--yes').code).toBeLessThan(2);
    expect(statusOf(b).config.version).toBe(versionIn(b.config));
    expect(await isIgnored()).toBe(false);
    expect(b.cli('policy', 'list', '-o', 'json').json<unknown[]>().length).toBeLessThanOrEqual(10);
  });

  it('made twice at once happens once, or one after the other', async () => {
    const files = ['a', 'b', 'c'].map((name) => {
      const file = join(b.folder, `${name}.yaml`);
      writeFileSync(file, text(name, `{ name: ${name}, when: { sid: ${IGNORED} }, then: ignore }`, WEB));
      return file;
    });
    const codes = await Promise.all(
      files.map(
        (file) =>
          new Promise<number | null>((resolve) => {
            const args = [program, 'policy', 'apply', file, '--yes', '--config', b.config];
            spawn(process.execPath, args, { stdio: 'ignore' }).once('exit', resolve);
          }),
      ),
    );
    expect(codes).toContain(0);
    for (const code of codes) expect([0, 1]).toContain(code);
    const now = readFileSync(b.config, 'utf8');
    expect(files.map((file) => readFileSync(file, 'utf8'))).toContain(now);
    expect(statusOf(b).config.version).toBe(versionIn(b.config));
    writeFileSync(next, original);
    expect(apply().code).toBe(0);
  });

  it('of the thresholds holds for the packets that come then', async () => {
    const attacker = new Host('scanner', ['198.51.100.88/24'], ['198.51.100.1/24']);
    try {
      attacker.run('ip', 'route', 'add', 'default', 'via', '198.51.100.1');
      const scan = (from: number, to: number) =>
        attacker.succeeds(
          'bash',
          '-c',
          `for p in $(seq ${from} ${to}); do timeout 0.2 bash -c "</dev/tcp/${SERVER}/$p"; done; true`,
        );
      const started = () => b.log.split('the packet filter runs').length;
      const before = started();
      scan(2000, 2011);
      expect(b.elements().has('198.51.100.88')).toBe(false);
      const settings = JSON.parse(original);
      writeFileSync(
        next,
        JSON.stringify({
          ...settings,
          filter: { scan: { more_than: '5 ports per source', within: '60s', then: 'ban 10m' } },
        }),
      );
      const applied = apply();
      expect(applied.code).toBe(0);
      expect(applied.out).toContain('+   filter.scan.more_than: 5 ports per source');
      await waitFor(
        'the filter runs anew',
        () => started() > before && b.elements('barricata-alive4').size > 0,
        10_000,
      );
      scan(3000, 3011);
      await isBanned(b, '198.51.100.88');
      expect(statusOf(b).problems).toEqual([]);
    } finally {
      attacker.remove();
      writeFileSync(next, original);
      apply();
    }
  });

  it('that needs a restart says so, and where the daemon is found cannot move', async () => {
    const settings = JSON.parse(original);
    writeFileSync(next, JSON.stringify({ ...settings, queue: { numbers: [222] } }));
    const applied = apply();
    expect(applied.code).toBe(0);
    expect(applied.out).toContain('restart needed for: queue');
    expect(b.cli('status').out).toContain('restart needed for: queue');
    writeFileSync(next, JSON.stringify({ ...settings, run: '/run/elsewhere' }));
    expect(apply()).toMatchObject({ code: 2, err: expect.stringContaining('run cannot change') });
    writeFileSync(next, original);
    expect(apply().code).toBe(0);
    expect(statusOf(b).config.restartNeeded).toEqual([]);
  });

  it('without a daemon is written, and taken up by the next start', async () => {
    await b.stop();
    writeFileSync(next, text('with an exception', IGNORE, WEB));
    expect(apply()).toMatchObject({ code: 5, err: expect.stringContaining('no daemon has taken it up') });
    await b.start();
    expect(await isIgnored()).toBe(true);
    // Versions that cannot be read are no reason to refuse a change.
    rmSync(join(b.folder, 'state/policy'), { recursive: true });
    writeFileSync(next, original);
    expect(apply().code).toBe(0);
    expect(await isIgnored()).toBe(false);
  });
});
