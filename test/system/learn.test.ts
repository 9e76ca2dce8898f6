/** `barricata learn` of a running daemon, in both modes and through restarts; `barricata selftest` in its own world. */
import { spawn } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.js';
import type { Proposal } from '../../src/filter/learn/propose.js';
import { Barricata, program } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';

const CLIENT = '198.51.100.7';
const SERVER = '192.168.50.10';

type Shown = Proposal & { readonly learning: boolean };

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('learning', () => {
  let b: Barricata;
  let client: Host;
  let web: ReturnType<typeof spawn> | undefined;

  const served = () => client.succeeds('curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${SERVER}/`);
  const shown = () => b.cli('learn', '--status', '-o', 'json');
  const icmpOf = (proposal: Shown) => proposal.figures.find(({ key }) => key === 'icmp');
  const ping = (count: number) => client.run('ping', '-c', String(count), '-i', '0.01', '-W', '1', SERVER);

  beforeAll(async () => {
    enterPrivateNetns();
    run('ip', 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
    client = new Host('client', [`${CLIENT}/24`], ['198.51.100.1/24']);
    client.run('ip', 'route', 'add', 'default', 'via', '198.51.100.1');
    const page = 'require("http").createServer((q, r) => r.end("hi")).listen(80)';
    web = spawn(process.execPath, ['-e', page], { stdio: 'ignore' });
    await waitFor('the web server answers', served);
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start();
  });
  afterAll(async () => {
    web?.kill('SIGKILL');
    await b?.remove();
    client?.remove();
  });

  it('is nothing before anybody asked for it, and changes nothing on a dry run', () => {
    expect(shown()).toMatchObject({ code: 1, err: expect.stringContaining('nothing was learned yet') });
    expect(b.cli('learn', '--for', '1h', '--dry-run')).toMatchObject({ code: 0 });
    expect(shown().code).toBe(1);
  });

  it('goes on when the command is interrupted, shows what is known, and ends when asked', async () => {
    const args = [program, 'learn', '--for', '1h', '--config', b.config];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (data) => {
      said += data;
    });
    await waitFor('it learns', () => said.includes('Ctrl-C ends this command, not the learning'));
    child.kill('SIGINT');
    await waitFor('the command ends', () => child.signalCode !== null || child.exitCode !== null);
    ping(30);
    await waitFor('the pings are known', () => icmpOf(shown().json<Shown>())?.max === 10);
    for (let i = 0; i < 20; i++) expect(served()).toBe(true);
    for (let i = 0; i < 7; i++) client.succeeds('curl', '-s', '--max-time', '1', `http://${SERVER}:${81 + i}/`);
    await waitFor('the connections are known', () => shown().json<Shown>().yaml.includes('# 20 connections'));
    // An attempt that is not completed counts when it can be no more.
    const scan = () =>
      shown()
        .json<Shown>()
        .figures.find(({ key }) => key === 'scan');
    await waitFor('so are those that failed', () => scan()?.max === 7, 15_000, 200);
    const found = shown().json<Shown>();
    expect(found).toMatchObject({ learning: true, answers: true });
    expect(icmpOf(found)?.largest[0]?.who).toBe(CLIENT);
    expect(b.cli('learn', '--for', '2h')).toMatchObject({ code: 1, err: expect.stringContaining('learning already') });
    const stopped = b.cli('learn', '--stop');
    expect(stopped.code).toBe(0);
    expect(shown().json<Shown>().learning).toBe(false);
    expect(parseConfig(stopped.out, 'proposal').filter.icmp?.perSecond).toBe(50);
    ping(5);
    expect(icmpOf(shown().json<Shown>())).toEqual(icmpOf(found));
  });

  it('waits for the end, and writes the proposal', async () => {
    const out = join(b.folder, 'proposal.yaml');
    const args = [program, 'learn', '--for', '3s', '--out', out, '--config', b.config];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    await waitFor('it learns', () => shown().json<Shown>().learning);
    ping(20);
    await waitFor('the command ends', () => child.exitCode === 0, 15_000);
    expect(b.cli('policy', 'check', out).code).toBe(0);
    expect(icmpOf(shown().json<Shown>())).toMatchObject({ visits: 1, max: 6.7 });
  });

  it('goes on through a change of the configuration, a restart, and in mode observe', async () => {
    expect(b.cli('learn', '--for', '1h', '--background').code).toBe(0);
    ping(12);
    b.configure({ filter: { scan: 'off' } });
    expect(b.cli('policy', 'apply', '--yes').code).toBe(0);
    await waitFor('the workers began anew', () => b.cli('status', '-q').code === 0);
    const count = () => shown().json<Shown>().packets;
    await waitFor('what was before is known', () => count() >= 12);
    const first = count();
    await b.stop();
    b.configure({ mode: 'observe' });
    await b.start();
    expect(count()).toBeGreaterThanOrEqual(first);
    ping(18);
    await waitFor('what is seen after is known too', () => count() >= first + 18);
    expect(shown().json<Shown>().learning).toBe(true);
    expect(b.cli('learn', '--stop').code).toBe(0);
  });
});

interface Scores {
  readonly passed: boolean;
  readonly scores: readonly {
    readonly name: string;
    readonly result: string;
    readonly ok: boolean;
    readonly after: number | null;
    readonly passed: number | null;
    readonly served: number;
    readonly failed: number;
  }[];
}

const CHANGES = {
  filter: {
    syn: { more_than: '60/s per source', during: '2s', then: 'ban 1m' },
    icmp: { more_than: '20/s per source', during: '2s', then: 'ban 1m', drop_larger_than: 600 },
    sweep: 'off',
  },
};

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('the self-test', () => {
  let b: Barricata;
  beforeAll(() => {
    enterPrivateNetns();
    b = new Barricata(CHANGES);
  });
  afterAll(() => b?.remove());

  /** Starts the command with a temporary folder of its own. */
  const selftest = (...args: string[]) => {
    const env = { ...process.env, TMPDIR: b.folder };
    const child = spawn(process.execPath, [program, 'selftest', ...args, '--config', b.config], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    let out = '';
    child.stdout.on('data', (data) => {
      out += data;
    });
    child.stderr.on('data', (data) => {
      out += data;
    });
    return { child, out: () => out };
  };
  /** What a self-test has made and not removed. */
  const left = (pid: number | undefined) => [
    ...run('ip', 'netns', 'list')
      .split('\n')
      .filter((line) => new RegExp(`^barricata-\\w+-${pid}\\b`).test(line)),
    ...readdirSync(b.folder).filter((name) => name.startsWith('barricata-selftest-')),
  ];

  it('attacks by the configured thresholds, scores, and leaves nothing behind', async () => {
    const { child, out } = selftest('--only', 'syn_rate,icmp_rate,port_scan,host_sweep,icmp_size', '-o', 'json');
    await waitFor('it ends', () => child.exitCode !== null, 60_000);
    const { passed, scores } = JSON.parse(out()) as Scores;
    expect(scores.map(({ name, result, failed }) => [name, result, failed])).toEqual([
      ['syn_rate', 'detected', 0],
      ['icmp_rate', 'detected', 0],
      ['port_scan', 'detected', 0],
      ['host_sweep', 'off', 0],
      ['icmp_size', 'dropped', 0],
    ]);
    expect({ passed, code: child.exitCode }).toEqual({ passed: true, code: 0 });
    for (const score of scores.filter(({ result }) => result === 'detected')) {
      expect(score.after).toBeLessThan(4000);
      expect(score.served).toBeGreaterThan(0);
    }
    // A source passes until it is over the limit: what is configured, and not more than a part of it besides.
    expect(scores[0]?.passed).toBeLessThanOrEqual(150);
    expect(scores[0]?.passed).toBeGreaterThanOrEqual(100);
    expect(scores[4]?.passed).toBe(0);
    expect(left(child.pid)).toEqual([]);
  });

  it('fails when a detector sees nothing, and says which', async () => {
    b.configure({ filter: { rules: [{ proto: 'icmp', then: 'accept' }] } });
    const { child, out } = selftest('--only', 'icmp_rate,port_scan', '-o', 'json');
    await waitFor('it ends', () => child.exitCode !== null, 60_000);
    const { passed, scores } = JSON.parse(out()) as Scores;
    expect(scores.map(({ name, result, ok }) => [name, result, ok])).toEqual([
      ['icmp_rate', 'missed', false],
      ['port_scan', 'detected', true],
    ]);
    expect({ passed, code: child.exitCode }).toEqual({ passed: false, code: 1 });
    b.configure(CHANGES);
  });

  it('takes everything away when it is interrupted', async () => {
    const { child, out } = selftest('--only', 'ack_scan');
    await waitFor('it has begun', () => left(child.pid).length === 4, 15_000);
    child.kill('SIGINT');
    await waitFor('it ends', () => child.exitCode === 130, 30_000);
    expect(out()).toContain('interrupted; everything was removed');
    expect(left(child.pid)).toEqual([]);
  });

  it('says which attacks there are, and what it would do', () => {
    expect(b.cli('selftest', '--only', 'x')).toMatchObject({
      code: 2,
      err: expect.stringContaining('syn_rate, icmp_rate'),
    });
    const { attacks } = b.cli('selftest', '--dry-run', '-o', 'json').json<{ attacks: string[] }>();
    expect(attacks).toContain('stealth_scan');
    expect(attacks).not.toContain('host_sweep');
    expect(b.cli('selftest', '-o', 'yaml').code).toBe(2);
  });
});
