/** The packet path against the kernel's NFQUEUE, with real floods and scans from other namespaces. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { createLog } from '../../src/base/log.js';
import type { FilterConfig } from '../../src/config/config.js';
import type { Detection } from '../../src/filter/detection.js';
import { newKnownGoodMemory } from '../../src/filter/known-good.js';
import { PacketQueue, type PacketQueueOptions } from '../../src/filter/packet-queue.js';
import { sharedNumber } from '../../src/filter/shared-state.js';
import { NetlinkError } from '../../src/netlink/errors.js';
import { queueStatuses } from '../../src/netlink/nfqueue-status.js';
import { hasFeatures } from '../support/feature.js';
import { NO_FILTER } from '../support/filter.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';

const QUEUE = 100;
const FILTER: FilterConfig = {
  ...NO_FILTER,
  syn: { perSecond: 200, during: 3, ban: 600 },
  icmp: { perSecond: 50, during: 3, ban: 600, dropLargerThan: 1024 },
  scan: { most: 30, within: 60, ban: 600 },
};

describe.skipIf(!hasFeatures('root', 'nfqueue', 'hping3', 'nmap'))('the packet queue', () => {
  let attacker: Host;
  let innocent: Host;
  let queue: PacketQueue | null = null;
  let web: Server;
  let found: Detection[] = [];

  const start = async (options: Partial<PacketQueueOptions> = {}): Promise<PacketQueue> => {
    found = [];
    queue = new PacketQueue({
      numbers: [QUEUE],
      filter: FILTER,
      home: [],
      knownGood: newKnownGoodMemory([1, 2]),
      settledAt: sharedNumber(Number.POSITIVE_INFINITY),
      rejects: sharedNumber(0),
      whenOverloaded: 'accept',
      dropping: true,
      keepAlive: false,
      clock: systemClock,
      log: createLog('silent'),
      onDetection: (detection) => found.push(detection),
      onFlood: () => undefined,
      ...options,
    });
    await queue.start();
    return queue;
  };
  const bound = () => queueStatuses().some((status) => status.number === QUEUE);

  beforeAll(async () => {
    enterPrivateNetns();
    attacker = new Host('attacker', ['203.0.113.66/24', '2001:db8:66::66/64'], ['203.0.113.1/24', '2001:db8:66::1/64']);
    innocent = new Host('innocent', ['198.51.100.7/24'], ['198.51.100.1/24']);
    const target = ['-j', 'NFQUEUE', '--queue-num', String(QUEUE), '--queue-bypass'];
    const mangle = (command: string, ...match: string[]) =>
      run(command, '-t', 'mangle', '-A', 'PREROUTING', '!', '-i', 'lo', ...match, ...target);
    mangle('iptables', '-p', 'tcp', '!', '--tcp-flags', 'ACK', 'ACK');
    mangle('iptables', '-p', 'icmp');
    mangle('ip6tables', '-p', 'tcp', '!', '--tcp-flags', 'ACK', 'ACK');
    web = createServer((_, response) => response.end('served\n'));
    await new Promise<void>((resolve) => web.listen(80, '0.0.0.0', resolve));
  });

  afterEach(async () => {
    await queue?.stop();
    queue = null;
    expect(queueStatuses()).toEqual([]);
  });

  afterAll(() => {
    web.close();
    attacker.remove();
    innocent.remove();
  });

  /** Runs a command in a host without blocking this thread, on which the web server answers. */
  const inHost = (host: Host, command: string, ...args: string[]): Promise<{ code: number; output: string }> =>
    new Promise((resolve) => {
      const child = host.spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      child.stdout?.on('data', (bytes) => {
        output += bytes;
      });
      child.stderr?.on('data', (bytes) => {
        output += bytes;
      });
      child.on('close', (code) => resolve({ code: code ?? -1, output }));
    });

  it('gives every packet one verdict, so that all pings are answered and none waits', async () => {
    const path = await start();
    const { code, output } = await inHost(attacker, 'ping', '-c', '60', '-i', '0.03', '-q', '203.0.113.1');
    expect(output).toContain('60 received');
    expect(code).toBe(0);
    await waitFor('counters', () => path.health().packets === 60);
    expect(path.health()).toMatchObject({ bound: true, accepted: 60, dropped: 0, queueLength: 0, unfiltered: 0 });
    expect(queueStatuses()[0]).toMatchObject({ waiting: 0, sequence: 60 });
    expect(found).toEqual([]);
  });

  it('reports a SYN flood once and drops what is over the limit', async () => {
    const path = await start();
    await inHost(attacker, 'hping3', '-q', '-S', '-p', '80', '-i', 'u500', '-c', '3000', '203.0.113.1');
    await waitFor('all packets', () => path.health().packets >= 3000);
    await waitFor('a detection', () => found.length > 0);
    expect(found).toEqual([
      {
        detector: 'syn_rate',
        source: '203.0.113.66/32',
        target: '203.0.113.1',
        count: 601,
        window: 3,
        at: expect.any(Number),
        ban: 600,
        proof: null,
        knownGood: null,
      },
    ]);
    const { dropped, queueLength } = path.health();
    expect(dropped).toBeGreaterThan(1500);
    expect(queueLength).toBe(0);
    expect((await inHost(innocent, 'curl', '-s', '-m', '2', 'http://198.51.100.1/')).output).toBe('served\n');
  });

  it('reports an nmap SYN scan, over IPv4 and over IPv6', async () => {
    await start();
    await inHost(attacker, 'nmap', '-n', '-Pn', '-sS', '--max-retries', '0', '-p', '1-200', '203.0.113.1');
    await waitFor('a detection', () => found.length > 0);
    await inHost(attacker, 'nmap', '-6', '-n', '-Pn', '-sS', '--max-retries', '0', '-p', '1-200', '2001:db8:66::1');
    await waitFor('a second detection', () => found.length > 1);
    expect(found.map(({ detector, source, count }) => [detector, source, count])).toEqual([
      ['port_scan', '203.0.113.66/32', 31],
      ['port_scan', '2001:db8:66::66/128', 31],
    ]);
  });

  it('reports an ICMP flood', async () => {
    await start();
    await inHost(attacker, 'hping3', '-q', '-1', '-i', 'u1000', '-c', '600', '203.0.113.1');
    await waitFor('a detection', () => found.length > 0);
    expect(found.map(({ detector, source, count }) => [detector, source, count])).toEqual([
      ['icmp_rate', '203.0.113.66/32', 151],
    ]);
  });

  it('lets a client that opens connection after connection alone', async () => {
    const path = await start();
    const urls = Array.from({ length: 120 }, () => 'http://198.51.100.1/');
    const { output } = await inHost(
      innocent,
      'curl',
      '-s',
      '-Z',
      '--parallel-max',
      '30',
      '-H',
      'Connection: close',
      ...urls,
    );
    expect(output.match(/served/g)?.length).toBe(120);
    expect(path.health()).toMatchObject({ dropped: 0 });
    expect(path.health().packets).toBeGreaterThanOrEqual(120);
    expect(found).toEqual([]);
  });

  it('drops an oversized ping, also when it came in fragments, and reports nobody for it', async () => {
    const path = await start();
    expect((await inHost(innocent, 'ping', '-c', '2', '-W', '1', '-s', '900', '198.51.100.1')).code).toBe(0);
    expect((await inHost(innocent, 'ping', '-c', '2', '-W', '1', '-s', '1200', '198.51.100.1')).code).toBe(1);
    expect((await inHost(innocent, 'ping', '-c', '2', '-W', '1', '-s', '4000', '198.51.100.1')).code).toBe(1);
    await waitFor('drops', () => path.health().dropped >= 4);
    expect(found).toEqual([]);
  });

  it('drops nothing while it observes, and still reports', async () => {
    const path = await start({ dropping: false });
    await inHost(attacker, 'hping3', '-q', '-1', '-i', 'u1000', '-c', '400', '203.0.113.1');
    await waitFor('a detection', () => found.length === 1);
    expect(path.health().dropped).toBe(0);
    path.setDropping(true);
    const { code } = await inHost(attacker, 'ping', '-c', '1', '-W', '1', '-s', '1200', '203.0.113.1');
    expect(code).toBe(1);
  });

  it('accepts every packet and counts when a detector throws on all of them', async () => {
    const path = await start({ workerUrl: new URL('../fixtures/queue/throwing-worker.mjs', import.meta.url) });
    const { output } = await inHost(innocent, 'ping', '-c', '20', '-i', '0.02', '-q', '198.51.100.1');
    expect(output).toContain('20 received');
    await waitFor('counters', () => path.health().exceptions === 20);
    expect(path.health()).toMatchObject({ packets: 20, accepted: 20, queueLength: 0 });
  });

  it('closes the queue of a worker that dies, so that packets pass, and starts it again', async () => {
    const path = await start({ workerUrl: new URL('../fixtures/queue/dying-worker.mjs', import.meta.url) });
    // A ping of 333 bytes makes that worker end on the spot, its queue open.
    await inHost(innocent, 'ping', '-c', '1', '-W', '1', '-s', '305', '198.51.100.1');
    expect((await inHost(innocent, 'ping', '-c', '3', '-i', '0.05', '-W', '1', '198.51.100.1')).code).toBe(0);
    await waitFor('a new worker', () => path.health().restarts === 1 && path.health().bound);
    expect((await inHost(innocent, 'ping', '-c', '2', '-i', '0.05', '-W', '1', '198.51.100.1')).code).toBe(0);
    expect(path.health().problem).toBeNull();
  });

  it('counts exactly the packets that passed unfiltered while a worker stood still', async () => {
    const path = await start({
      backlog: 64,
      filter: NO_FILTER,
      workerUrl: new URL('../fixtures/queue/slow-worker.mjs', import.meta.url),
    });
    // A ping of 444 bytes makes that worker stand still for four seconds, several times what the 300 pings take.
    innocent.spawn('ping', ['-c', '1', '-W', '1', '-s', '416', '198.51.100.1']);
    await waitFor('the worker to stand still', () => queueStatuses()[0]?.waiting === 1);
    const { output } = await inHost(attacker, 'ping', '-c', '300', '-i', '0.001', '-W', '1', '-q', '203.0.113.1');
    const [, answered] = /(\d+) received/.exec(output) ?? [];
    // Those that the queue held are answered too late for ping to have waited.
    expect(Number(answered)).toBeGreaterThan(200);
    await waitFor('an empty queue', () => path.health().queueLength === 0);
    // A gap shows with the packet that follows it.
    await inHost(innocent, 'ping', '-c', '1', '-W', '1', '198.51.100.1');
    await waitFor('the count', () => path.health().unfiltered > 200);
    const health = path.health();
    expect(queueStatuses()[0]?.sequence).toBe(302);
    expect(health).toMatchObject({ dropped: 0, queueDropped: 0, userDropped: 0 });
    // Those that waited were let through without being judged, and are counted both as accepted and as unfiltered.
    expect(health.accepted + health.unfiltered).toBeGreaterThanOrEqual(302);
    expect(health.unfiltered).toBeGreaterThanOrEqual(299);
    expect(health.unfiltered).toBeLessThanOrEqual(300);
  });

  it('says who owns a queue that it cannot have, and leaves nothing bound', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'barricata-queue-'));
    let owner: ChildProcess | null = null;
    try {
      const script = join(directory, 'owner.mjs');
      const dist = new URL('../../dist/netlink/', import.meta.url);
      writeFileSync(
        script,
        `import { Nfqueue } from '${new URL('nfqueue.js', dist).href}';
         import { NetlinkSocket } from '${new URL('socket.js', dist).href}';
         Nfqueue.open({ number: ${QUEUE}, failOpen: true, backlog: 64, waitMs: 200 }, NetlinkSocket.open());
         setTimeout(() => {}, 30000);`,
      );
      owner = spawn(process.execPath, [script], { stdio: 'inherit' });
      await waitFor('the other program', bound);
      const error = await start().then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(NetlinkError);
      expect(error).toMatchObject({ kind: 'exists' });
      expect((error as Error).message).toContain(`another program (node, process ${owner.pid}) owns queue ${QUEUE}`);
    } finally {
      owner?.kill('SIGKILL');
      await waitFor('its end', () => !bound());
      rmSync(directory, { recursive: true });
    }
  });

  it('refreshes the alive sets only while every worker makes progress', async () => {
    const sets = ['barricata-alive4', 'barricata-alive6'];
    sets.forEach((set, i) => {
      run('ipset', 'create', set, 'hash:net', 'family', i ? 'inet6' : 'inet', 'timeout', '3');
    });
    const alive = () => sets.every((set) => run('ipset', 'list', set).split('Members:\n')[1]?.trim());
    try {
      await start({
        numbers: [QUEUE, QUEUE + 1],
        keepAlive: true,
        workerUrl: new URL('../fixtures/queue/slow-worker.mjs', import.meta.url),
      });
      await waitFor('a heartbeat', alive);
      // The second worker is idle and goes on; the first stands still for 8 seconds, and is ended after 5.
      await inHost(innocent, 'ping', '-c', '1', '-W', '1', '-s', '527', '198.51.100.1');
      await waitFor('the sets to run empty', () => !alive(), 8000);
      await waitFor('the first worker anew', () => queue?.health().restarts === 1 && queue.health().bound, 10_000);
      await waitFor('the heartbeat again', alive);
    } finally {
      await queue?.stop();
      for (const set of sets) run('ipset', 'destroy', set);
    }
  });
});
