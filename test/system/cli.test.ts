/** Exit codes and output forms of the command line, as CONTRACT-bound scripts rely on them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VERSION } from '../../src/cli/options.js';
import { Barricata, command, program } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run, waitFor } from '../support/netns.js';

const ready = hasFeatures('root', 'redis-server', 'ipset', 'nfqueue');

describe.skipIf(!ready)('the command line', () => {
  let b: Barricata;
  /** Standard output of a line of bash that begins with a verb. */
  const through = (line: string): string =>
    run('bash', '-c', `"$0" "$1" --config "$2" ${line}`, process.execPath, program, b.config);

  beforeAll(async () => {
    enterPrivateNetns();
    run('ip', 'address', 'add', '198.51.100.77/32', 'dev', 'lo');
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start();
  });
  afterAll(() => b?.remove());

  it('answers 0 when done, 1 when nothing changed', () => {
    const ban = b.cli('ban', '203.0.113.9', '--for', '24h', '--reason', 'ssh brute force', '--ticket', 'INC-4521');
    expect(ban.code).toBe(0);
    expect(ban.out).toMatch(
      /^banned 203\.0\.113\.9 until .* UTC \(1d\), in the kernel set after \d+ ms\nundo: barricata unban/,
    );
    expect(b.elements().has('203.0.113.9')).toBe(true);
    expect(b.cli('ban', '203.0.113.9', '--for', '1h', '--reason', 'again').code).toBe(1);
    expect(b.cli('why', '203.0.113.9').code).toBe(0);
    expect(b.cli('note', '203.0.113.9', 'customer called').code).toBe(0);
    expect(b.cli('extend', '203.0.113.9', '--to', '1h').code).toBe(1);
    expect(b.cli('extend', '203.0.113.9', '--to', '7d').code).toBe(0);
    expect(Number(b.redis('TTL', 'barricata:ban:203.0.113.9'))).toBeGreaterThan(6 * 86_400);
    expect(b.cli('ban', '203.0.113.9', '--for', '1h', '--reason', 'shorter', '--replace').code).toBe(0);
    expect(Number(b.redis('TTL', 'barricata:ban:203.0.113.9'))).toBeLessThanOrEqual(3600);
    expect(b.cli('unban', '203.0.113.9', '--reason', 'done').code).toBe(0);
    expect(b.elements().has('203.0.113.9')).toBe(false);
    expect(b.cli('unban', '203.0.113.9', '--reason', 'done').code).toBe(1);
    expect(b.cli('extend', '203.0.113.9', '--to', '7d').code).toBe(1);
    expect(b.cli('why', '203.0.113.9').code).toBe(1);
  });

  it('answers 2 for a wrong use, and says what is right', () => {
    for (const [args, says] of [
      [['ban', '203.0.113.9'], '--for'],
      [['ban', '203.0.113.9', '--for', '1h'], '--reason is needed'],
      [['ban', '203.0.113.9', '--for', 'soon', '--reason', 'x'], 'a duration is needed'],
      [['ban', '203.0.113.9/24', '--for', '1h', '--reason', 'x'], '203.0.113.0/24'],
      [['ban', '1.2.3.4; rm -rf /', '--for', '1h', '--reason', 'x'], 'not an IPv4 or IPv6 address'],
      [['list', '-o', 'xml'], 'table, json and tsv'],
      [['mode', 'panic', '--reason', 'x'], 'observe, enforce, off'],
      [['mode', 'pause', '--reason', 'x'], 'pause needs a duration'],
      [['ban', '203.0.113.9', '--reason', 'x'], '--for DURATION is needed'],
      [['list', '--source', 'suricatta'], 'suricata, filter, manual, import'],
      [['audit', '--act', 'banned'], 'one of ban, extend'],
      [['start', '--on-stop', 'ask'], 'keep, remove'],
      [['run', '--on-stop', 'ask'], 'keep, remove'],
      [['bann'], 'unknown command'],
    ] as const) {
      const answer = b.cli(...args);
      expect({ args, code: answer.code }).toEqual({ args, code: 2 });
      expect(answer.err).toContain(says);
    }
  });

  it('answers 3 when a protection refuses, and names it', () => {
    for (const [address, says] of [
      ['198.51.100.77', 'own address'],
      ['198.51.100.0/24', 'contains own address 198.51.100.77'],
      ['192.168.50.3', 'home network 192.168.50.0/24'],
      ['224.0.0.1', 'multicast'],
      ['1.1.1.1', 'resolver'],
    ]) {
      const answer = b.cli('ban', address as string, '--for', '1h', '--reason', 'test');
      expect({ address, code: answer.code }).toEqual({ address, code: 3 });
      expect(answer.err).toContain(says);
    }
    const session = command(
      process.execPath,
      [program, 'ban', '203.0.113.0/24', '--for', '1h', '--reason', 'x', '--config', b.config],
      {
        ...process.env,
        SSH_CONNECTION: '203.0.113.200 50000 198.51.100.77 22',
      },
    );
    expect(session.code).toBe(3);
    expect(session.err).toContain('contains this ssh session (203.0.113.200)');
    expect(b.elements().size).toBe(0);
  });

  it('prints tab-separated lines in a pipe and JSON on request', () => {
    b.cli('ban', '203.0.113.20', '--for', 'forever', '--reason', 'CERT list', '--ticket', 'INC-1');
    const [head, row] = b.cli('list').out.trim().split('\n');
    expect(head?.split('\t').slice(0, 3)).toEqual(['ADDRESS', 'LEFT', 'KERNEL']);
    expect(row?.split('\t').slice(0, 3)).toEqual(['203.0.113.20', 'forever', 'yes']);
    expect(b.cli('list', '-o', 'json').json()).toEqual([
      expect.objectContaining({
        address: '203.0.113.20',
        expiresAt: null,
        source: 'manual',
        sid: null,
        reason: 'CERT list',
        ticket: 'INC-1',
        scope: 'fleet',
        kernel: true,
        packets: 0,
      }),
    ]);
    expect(b.cli('list', '-o', 'json', '--inside', '203.0.113.0/28').json()).toEqual([]);
    expect(b.cli('list', '-o', 'json', '--ticket', 'INC-1').json<unknown[]>()).toHaveLength(1);
    expect(b.cli('status', '-o', 'json').json()).toMatchObject({
      mode: 'enforce',
      redis: { up: true },
      blocklist: { entries: 1, held: 0 },
      kernel: { backend: 'ipset', entries: 1, drift: 0 },
      queue: { dropped: 0, unfiltered: 0 },
      eve: [{ source: b.eve, lines: 0, alerts: 0, lagSeconds: 0 }],
    });
    b.cli('unban', '203.0.113.20', '--reason', 'done');
  });

  it('changes nothing with --dry-run', () => {
    expect(b.cli('ban', '203.0.113.30', '--for', '1h', '--reason', 'x', '--dry-run').code).toBe(0);
    expect(b.cli('allow', '203.0.113.30', '--for', '1h', '--reason', 'x', '--dry-run').code).toBe(0);
    expect(b.cli('mode', 'off', '--reason', 'x', '--dry-run').code).toBe(0);
    expect(b.redis('KEYS', 'barricata:*:203.0.113.30*')).toBe('');
    expect(b.cli('mode').out.trim()).toBe('enforce');
    expect(b.cli('stop', '--dry-run')).toMatchObject({ code: 0, out: `would stop process ${b.pid}\n` });
    expect(b.running).toBe(true);
    expect(b.cli('status', '-q').code).toBe(0);
    expect(b.cli('run', '--dry-run')).toMatchObject({ code: 0, out: expect.stringContaining('would run') });
  });

  it('shows every part in the status of a healthy daemon', () => {
    const status = b.cli('status');
    expect(status.code).toBe(0);
    const parts = status.out
      .trim()
      .split('\n')
      .map((line) => line.split(/\s/, 1)[0]);
    for (const part of ['redis', 'mode', 'daemon', 'blocklist', 'kernel', 'queue', 'alerts', 'rules', 'limits'])
      expect(parts).toContain(part);
    expect(parts).toContain('protected');
    expect(status.out).toMatch(/^history +[\d,]+ bytes, [\d,]+ rows written$/m);
  });

  it('says also in a pipe what a check of the configuration left out', () => {
    expect(through('policy check 2>&1')).toContain('not checked: what needs the rules');
  });

  it('goes on when whoever reads has seen enough', () => {
    expect(through('list | true; echo "code $PIPESTATUS"')).toBe('code 0\n');
    expect(through('list --watch | true; echo "code $PIPESTATUS"')).toBe('code 0\n');
    expect(through('list --by taste 2>&1 | true; echo "code $PIPESTATUS"')).toBe('code 2\n');
  });

  it('prints the redis-cli command first, in run and in status', async () => {
    await waitFor('the log', () => b.log.includes('Barricata runs'));
    expect(b.log.split('\n')[0]).toBe(`redis-cli -s ${b.socket}`);
    expect(b.cli('status').out.split('\n')[0]).toContain(`redis-cli -s ${b.socket}`);
  });

  it('checks everything, and fails only for what is broken', () => {
    const doctor = b.cli('doctor', '-o', 'json');
    const findings = doctor.json<{ state: string; check: string }[]>();
    expect(findings.filter((f) => f.state === 'fail')).toEqual([]);
    expect(doctor.code).toBe(0);
    expect(new Set(findings.map((f) => f.check))).toEqual(
      new Set([
        'configuration',
        'permission',
        'netlink',
        'tools',
        'kernel',
        'conntrack',
        'suricata',
        'daemon',
        'redis',
        'rules',
        'kernel sets',
        'queue',
        'alerts',
        'rules file',
      ]),
    );
  });

  it('refuses a second daemon and names the first', async () => {
    const second = command(process.execPath, [program, 'run', '--config', b.config]);
    expect(second.code).not.toBe(0);
    expect(second.err).toContain(`already runs here with process id ${b.pid}`);
  });

  it('starts and stops in the background, and cleans up what a killed daemon left', async () => {
    await b.stop();
    expect(run('ipset', 'list', '-n')).toBe('');
    expect(b.cli('status').code).toBe(4);
    expect(b.cli('list')).toMatchObject({ code: 4, err: expect.stringContaining('start it: barricata start') });
    const would = b.cli('start', '--dry-run');
    expect(would).toMatchObject({ code: 0, out: expect.stringContaining('would start') });
    expect(b.cli('status').code).toBe(4);
    const start = b.cli('start', '--on-stop', 'keep');
    expect(start.code).toBe(0);
    const { pid } = b.cli('status', '-o', 'json').json<{ pid: number }>();
    expect(b.cli('cleanup').code).toBe(1);
    process.kill(pid, 'SIGKILL');
    await waitFor('the daemon is dead', () => b.cli('status').code === 4);
    expect(run('iptables', '-t', 'raw', '-S')).toContain('BARRICATA');
    run('iptables', '-t', 'raw', '-A', 'PREROUTING', '-s', '192.0.2.1', '-j', 'DROP');
    run('ipset', 'create', 'mine', 'hash:ip');
    expect(b.cli('cleanup').code).toBe(0);
    expect(run('iptables', '-t', 'raw', '-S')).not.toContain('BARRICATA');
    expect(run('iptables', '-t', 'mangle', '-S')).not.toContain('BARRICATA');
    expect(run('iptables', '-t', 'raw', '-S')).toContain('192.0.2.1');
    expect(run('ipset', 'list', '-n').trim()).toBe('mine');
    expect(b.cli('start', '--on-stop', 'remove').code).toBe(0);
    expect(b.cli('stop').code).toBe(0);
    expect(b.cli('stop').code).toBe(1);
  });

  it('has one version', () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(VERSION).toBe(version);
    expect(b.cli('--version').out.trim()).toBe(version);
  });
});

describe('a configuration that is wrong', () => {
  it('is answered with 2, every mistake with its line, and the fix', () => {
    const b = new Barricata();
    writeFileSync(
      b.config,
      'mode: enforc\nhomee: [10.0.0.1/8]\nhome: [10.0.0.1/8]\nlimits: { new_bans_per_minute: many }\n',
    );
    const answer = b.cli('status');
    expect(answer.code).toBe(2);
    for (const text of [':1:', ':2:', ':3:', ':4:', 'home', '10.0.0.0/8', 'enforce'])
      expect(answer.err).toContain(text);
    return b.remove();
  });
});
