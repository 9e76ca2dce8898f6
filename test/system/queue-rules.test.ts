/** The rules in front of the queue, through changes of the configuration, hangs and kills of the daemon. */

import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Barricata } from '../support/daemon.js';
import { statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';

const SERVER = '192.168.50.10';

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('the rules in front of the queue', () => {
  let b: Barricata;
  let client: Host;
  let web: ChildProcess;

  const served = () => client.succeeds('curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${SERVER}/`);
  const alive = () => b.elements('barricata-alive4').size === 2;
  const rules = (...args: string[]) => run('iptables-save', ...args, '-t', 'mangle').replace(/^#.*$/gm, '');
  const queued = () => Number(/^\[(\d+):\d+\] -A BARRICATA-QUEUE .*NFQUEUE/m.exec(rules('-c'))?.[1]);

  beforeAll(async () => {
    enterPrivateNetns();
    run('ip', 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
    client = new Host('client', ['198.51.100.7/24'], ['198.51.100.1/24']);
    client.run('ip', 'route', 'add', 'default', 'via', '198.51.100.1');
    const script = 'require("http").createServer((q, r) => r.end("hi")).listen(80, "::")';
    web = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
    await waitFor('the web server answers', served);
  });
  beforeEach(async () => {
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start({ args: ['--on-stop', 'keep'] });
    await waitFor('the worker is alive', alive, 5000);
  });
  afterEach(async () => {
    await b.stop().catch(() => undefined);
    b.cli('cleanup');
    await b.remove();
  });
  afterAll(() => {
    web?.kill('SIGKILL');
    client?.remove();
  });

  it('follow a change of the filter while the daemon runs, and nobody is called to have moved them', async () => {
    expect(served()).toBe(true);
    expect(rules()).not.toContain('-p udp -m conntrack');
    const before = queued();
    expect(before).toBeGreaterThan(0);
    b.configure({
      filter: {
        udp: { more_than: '2000/s per source', during: '3s', then: 'ban 10m' },
        rules: [{ proto: 'tcp', dport: 8080, then: 'reject' }],
      },
    });
    process.kill(b.pid, 'SIGHUP');
    await waitFor(
      'the new rules',
      () => rules().includes('-p udp -m conntrack --ctstate NEW -g BARRICATA-QUEUE'),
      5000,
    );
    await waitFor(
      'all of them',
      () => run('iptables-save', '-t', 'filter').includes('-A INPUT -j BARRICATA-REJECT'),
      5000,
    );
    expect(queued()).toBeGreaterThanOrEqual(before);
    b.configure({});
    process.kill(b.pid, 'SIGHUP');
    await waitFor('the old rules', () => !run('iptables-save').includes('BARRICATA-REJECT'), 5000);
    await waitFor('the rules are in place', () => statusOf(b).kernel.rules === 'in place', 5000);
    expect(statusOf(b).kernel.heals).not.toHaveProperty('rules_missing');
  });

  it('hold flooded services at a rate where SYNPROXY would not work; status and doctor name what to set', async () => {
    run('sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_loose=1');
    b.configure({ filter: { flood: { more_than: '500/s per destination', then: 'synproxy' } } });
    process.kill(b.pid, 'SIGHUP');
    const wrong = /SYNPROXY needs net\.netfilter\.nf_conntrack_tcp_loose=0/;
    await waitFor('status says so', () => statusOf(b).problems.some((problem) => wrong.test(problem)), 5000);
    const found = () =>
      b
        .cli('doctor', '-o', 'json')
        .json<{ state: string; detail: string; fix: string }[]>()
        .find(({ detail }) => detail.includes('SYNPROXY'));
    expect(found()).toMatchObject({ state: 'warn', fix: expect.stringContaining('nf_conntrack_tcp_loose=0') });
    run('sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_loose=0');
    expect(found()).toMatchObject({ state: 'ok' });
    // The rules follow when they are next looked at.
    run('iptables', '-t', 'mangle', '-D', 'BARRICATA-FIRST', '1');
    await waitFor('SYNPROXY', () => run('iptables-save', '-t', 'filter').includes('-j SYNPROXY'), 5000);
    await waitFor('nothing to complain of', () => !statusOf(b).problems.some((problem) => wrong.test(problem)), 5000);
  });

  it('stay as they are through a kill and the next start, and count on', async () => {
    expect(served()).toBe(true);
    const before = { rules: rules(), queued: queued() };
    await b.stop('SIGKILL');
    expect(rules()).toBe(before.rules);
    await b.start({ args: ['--on-stop', 'keep'] });
    expect(rules()).toBe(before.rules);
    expect(queued()).toBeGreaterThanOrEqual(before.queued);
    expect(before.queued).toBeGreaterThan(0);
    // What an earlier daemon handed over was not lost by this one.
    expect(statusOf(b).queue.unfiltered).toBeLessThan(before.queued);
  });

  it('drop nothing by themselves any more when the mode is observe', async () => {
    for (const set of ['barricata-limit4', 'barricata-hot4']) run('ipset', 'add', set, '198.51.100.7', 'timeout', '60');
    run('ipset', 'add', 'barricata-flood4', `${SERVER},tcp:80`, 'timeout', '60');
    expect(served()).toBe(false);
    expect(b.cli('mode', 'observe', '--reason', 'x').code).toBe(0);
    await waitFor('it is served', served, 3000);
    for (const set of ['barricata-hot4', 'barricata-flood4']) expect(b.elements(set).size).toBe(0);
  });

  it('count what passed while the daemon stood still, and status shows it', async () => {
    const { unfiltered } = statusOf(b).queue;
    process.kill(b.pid, 'SIGSTOP');
    try {
      await waitFor('the worker counts as dead', () => b.elements('barricata-alive4').size === 0, 6000);
      for (let i = 0; i < 5; i++) expect(served()).toBe(true);
    } finally {
      process.kill(b.pid, 'SIGCONT');
    }
    await waitFor('the worker is alive again', alive, 5000);
    await waitFor('status tells', () => statusOf(b).queue.unfiltered >= unfiltered + 5, 5000);
    expect(b.cli('status').out).toMatch(/unfiltered/);
  });
});
