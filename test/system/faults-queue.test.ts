/** The packet path when the daemon stands still, or somebody else has its queue. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Barricata } from '../support/daemon.js';
import { isBanned, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';

const ATTACKER = '203.0.113.66';
const SERVER = '192.168.50.10';
const owner = fileURLToPath(new URL('../fixtures/queue/owner.mjs', import.meta.url));

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('the packet path', () => {
  let b: Barricata;
  let attacker: Host;
  let client: Host;
  let web: ChildProcess;

  const served = (host: Host) => host.succeeds('curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${SERVER}/`);
  const alive = (): number => b.elements('barricata-alive4').size;
  /** Packets that the queue rules sent to the queue, of IPv4. */
  const queued = (): number =>
    run('iptables-save', '-c', '-t', 'mangle')
      .split('\n')
      .filter((line) => line.includes('NFQUEUE'))
      .reduce((sum, line) => sum + Number(/^\[(\d+):/.exec(line)?.[1]), 0);

  beforeAll(async () => {
    enterPrivateNetns();
    run('ip', 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
    attacker = new Host('attacker', [`${ATTACKER}/24`], ['203.0.113.1/24']);
    client = new Host('client', ['198.51.100.7/24'], ['198.51.100.1/24']);
    attacker.run('ip', 'route', 'add', 'default', 'via', '203.0.113.1');
    client.run('ip', 'route', 'add', 'default', 'via', '198.51.100.1');
    const script = 'require("http").createServer((q, r) => r.end("hi")).listen(80, "::")';
    web = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
    await waitFor('the web server answers', () => served(client));
  });
  beforeEach(() => {
    b = new Barricata();
    writeFileSync(b.eve, '');
  });
  afterEach(async () => {
    await b.stop().catch(() => undefined);
    b.cli('cleanup');
    await b.remove();
  });
  afterAll(() => {
    web?.kill('SIGKILL');
    attacker?.remove();
    client?.remove();
  });

  it('runs without its queue while another program owns it, says who, and takes it when that leaves', async () => {
    const other = spawn(process.execPath, [owner, '100'], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      let said = '';
      other.stdout?.on('data', (text: Buffer) => {
        said += text.toString();
      });
      await waitFor('the other program has the queue', () => said.includes('bound'), 5000);
      await b.start({ wait: false });
      await waitFor('the rules are in place', () => statusOf(b).kernel.complete, 10_000);
      await waitFor('the queue has a problem', () => statusOf(b).queue.problem?.includes('owns'));
      const status = statusOf(b);
      expect(status.queue).toMatchObject({ bound: false });
      expect(status.queue.problem).toContain(`process ${other.pid}) owns queue 100`);
      expect(status.queue.problem).toContain('queue.numbers');
      expect(status.ready).toBe(false);
      expect(b.cli('status', '-q').code).toBe(4);
      expect(b.cli('doctor').out).toContain('owns queue 100');
      // Bans hold, and nobody is sent to a queue of which nothing is known.
      b.redis('SET', `barricata:ban:${ATTACKER}`, 'x', 'EX', '600');
      await isBanned(b, ATTACKER);
      expect(served(attacker)).toBe(false);
      expect(served(client)).toBe(true);
      expect(alive()).toBe(0);
      expect(queued()).toBe(0);
    } finally {
      other.kill('SIGKILL');
    }
    await waitFor('the queue is bound', () => b.cli('status', '-q').code === 0, 8000);
    // The rules hand packets over only when the worker has said that it lives.
    await waitFor('the worker is alive', () => alive() === 2, 5000);
    const { packets } = statusOf(b).queue;
    expect(served(client)).toBe(true);
    await waitFor('packets are judged', () => statusOf(b).queue.packets > packets, 3000);
    expect(statusOf(b).queue.problem).toBeNull();
  });

  it('lets new connections pass within four seconds when the daemon is stopped by a signal, and goes on after it', async () => {
    await b.start();
    b.redis('SET', `barricata:ban:${ATTACKER}`, 'x', 'EX', '600');
    await isBanned(b, ATTACKER);
    await waitFor('the worker is alive', () => alive() === 2, 5000);
    const stopped = performance.now();
    process.kill(b.pid, 'SIGSTOP');
    try {
      await waitFor('the daemon stands', () => / T /.test(readFileSync(`/proc/${b.pid}/stat`, 'utf8')));
      await waitFor('a new connection passes', () => served(client), 6000);
      await waitFor('the alive sets are empty', () => alive() === 0, 6000);
      expect(performance.now() - stopped).toBeLessThan(4500);
      const before = queued();
      expect(served(client)).toBe(true);
      expect(queued()).toBe(before);
      // What is banned stays banned.
      expect(served(attacker)).toBe(false);
    } finally {
      process.kill(b.pid, 'SIGCONT');
    }
    await waitFor('the worker is alive again', () => alive() === 2, 5000);
    await waitFor('status is complete', () => b.cli('status', '-q').code === 0, 5000);
    // The rules hand packets over only when the worker has said that it lives.
    await waitFor('the worker is alive', () => alive() === 2, 5000);
    const { packets } = statusOf(b).queue;
    expect(served(client)).toBe(true);
    await waitFor('packets are judged', () => statusOf(b).queue.packets > packets, 3000);
    // Having stood still is no attack of those who waited.
    expect([...b.elements().keys()]).toEqual([ATTACKER]);
  });
});
