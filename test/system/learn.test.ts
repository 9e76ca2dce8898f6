/** `barricata learn` of a running daemon, in both modes and through restarts; `barricata selftest` in its own world. */
import { spawn } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
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

  const shown = () => b.cli('learn', '--status', '-o', 'json');
  const icmpOf = (proposal: Shown) => proposal.figures.find(({ key }) => key === 'icmp');
  const ping = (count: number) => client.run('ping', '-c', String(count), '-i', '0.01', '-W', '1', SERVER);

  beforeAll(async () => {
    enterPrivateNetns();
    run('ip', 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
    client = new Host('client', [`${CLIENT}/24`], ['198.51.100.1/24']);
    client.run('ip', 'route', 'add', 'default', 'via', '198.51.100.1');
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start();
  });
  afterAll(async () => {
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
    const found = shown().json<Shown>();
    expect(found).toMatchObject({ learning: true, answers: expect.any(Boolean) });
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

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('the self-test', () => {
  let b: Barricata;
  beforeAll(() => {
    enterPrivateNetns();
    b = new Barricata({
      filter: {
        syn: { more_than: '60/s per source', during: '2s', then: 'ban 1m' },
        icmp: { more_than: '20/s per source', during: '2s', then: 'ban 1m', drop_larger_than: 600 },
        sweep: 'off',
      },
    });
  });
  afterAll(() => b?.remove());

  const left = () => [
    ...run('ip', 'netns', 'list')
      .split('\n')
      .filter((name) => /^barricata-(attacker|server|client)-/.test(name)),
    ...readdirSync(tmpdir()).filter((name) => name.startsWith('barricata-selftest-')),
  ];

  it('attacks by the configured thresholds, scores, and leaves nothing behind', () => {
    const answer = b.cli('selftest', '--only', 'syn_rate,icmp_rate,port_scan,host_sweep,icmp_size', '-o', 'json');
    expect(answer.err).toBe('');
    const { passed, scores } = answer.json<Scores>();
    expect(scores.map(({ name, result, failed }) => [name, result, failed])).toEqual([
      ['syn_rate', 'detected', 0],
      ['icmp_rate', 'detected', 0],
      ['port_scan', 'detected', 0],
      ['host_sweep', 'off', 0],
      ['icmp_size', 'dropped', 0],
    ]);
    expect({ passed, code: answer.code }).toEqual({ passed: true, code: 0 });
    for (const score of scores.filter(({ result }) => result === 'detected')) {
      expect(score.after).toBeLessThan(4000);
      expect(score.served).toBeGreaterThan(0);
    }
    // A source passes until it is over the limit: what is configured, and not more than a part of it besides.
    expect(scores[0]?.passed).toBeLessThanOrEqual(150);
    expect(scores[0]?.passed).toBeGreaterThanOrEqual(100);
    expect(scores[4]?.passed).toBe(0);
    expect(left()).toEqual([]);
  });

  it('takes everything away when it is interrupted', async () => {
    const args = [program, 'selftest', '--only', 'ack_scan', '--config', b.config];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    await waitFor('it has begun', () => left().length === 4, 15_000);
    child.kill('SIGINT');
    await waitFor('it ends', () => child.exitCode === 130, 30_000);
    expect(left()).toEqual([]);
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
