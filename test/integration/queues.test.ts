/** Two queues of the kernel with a worker each, and a source whose packets are spread over both. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { createLog } from '../../src/base/log.js';
import type { FilterConfig } from '../../src/config/config.js';
import type { Detection } from '../../src/filter/detection.js';
import { newKnownGoodMemory } from '../../src/filter/known-good.js';
import { PacketQueue } from '../../src/filter/packet-queue.js';
import { sharedNumber } from '../../src/filter/shared-state.js';
import { queueStatuses } from '../../src/netlink/nfqueue-status.js';
import { hasFeatures } from '../support/feature.js';
import { NO_FILTER } from '../support/filter.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';

const FILTER: FilterConfig = {
  ...NO_FILTER,
  syn: { perSecond: 200, during: 8, ban: 600 },
  icmp: { perSecond: 200, during: 8, ban: 600, dropLargerThan: 1024 },
  udp: { perSecond: 200, during: 8, ban: 600 },
  scan: { most: 30, within: 60, ban: 600 },
};
const LIMIT = 1600;

describe.skipIf(!hasFeatures('root', 'nfqueue', 'hping3', 'two processors'))('two queues', () => {
  let attacker: Host;
  let queue: PacketQueue;
  let found: Detection[] = [];

  beforeAll(() => {
    enterPrivateNetns();
    attacker = new Host('attacker', ['203.0.113.66/24'], ['203.0.113.1/24']);
    const target = ['-j', 'NFQUEUE', '--queue-balance', '100:101', '--queue-bypass', '--queue-cpu-fanout'];
    // Each hping3 would count the answers to both, and end early.
    run('iptables', '-A', 'OUTPUT', '-d', '203.0.113.66', '-j', 'DROP');
    run('iptables', '-t', 'mangle', '-A', 'PREROUTING', '!', '-i', 'lo', ...target);
  });

  afterEach(async () => {
    await queue.stop();
  });

  afterAll(() => attacker.remove());

  const start = async () => {
    found = [];
    queue = new PacketQueue({
      numbers: [100, 101],
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
    });
    await queue.start();
  };

  /** Sends from one processor; a packet on a virtual pair is received on the processor that sent it. */
  const sendFrom = (processor: number, ...args: string[]): Promise<void> =>
    new Promise((resolve) => {
      const child = attacker.spawn('taskset', ['-c', String(processor), 'hping3', '-q', ...args, '203.0.113.1']);
      child.on('close', () => resolve());
    });

  const floods = [
    ['syn_rate', ['-S', '-p', '80']],
    ['icmp_rate', ['-1']],
    ['udp_rate', ['-2', '-p', '50000']],
  ] as const;

  for (const [detector, kind] of floods) {
    it(`${detector}: a source that sends 1.3 times the limit, half on each processor, is reported`, async () => {
      await start();
      // Neither half comes near the limit.
      const half = ['-i', 'u1500', '-c', String(LIMIT * 0.65), ...kind];
      await Promise.all([sendFrom(0, ...half), sendFrom(1, ...half)]);
      await waitFor('a detection', () => found.length > 0);
      const [first] = found;
      expect(first).toMatchObject({ detector, source: '203.0.113.66/32' });
      expect(first?.count).toBeGreaterThan(LIMIT);
      expect(first?.count).toBeLessThan(LIMIT * 1.3);
      // Two workers may report at the same moment.
      expect(found.length).toBeLessThanOrEqual(2);
      await waitFor('drops', () => queue.health().dropped > 0);
      for (const status of queueStatuses()) expect(status.sequence).toBeLessThan(LIMIT);
    });
  }

  it('port_scan: a source that looks at 20 ports on each processor is reported, and one at 14 is not', async () => {
    await start();
    await Promise.all([
      sendFrom(0, '-S', '-i', 'u1000', '-c', '14', '-p', '++1000'),
      sendFrom(1, '-S', '-i', 'u1000', '-c', '14', '-p', '++2000'),
    ]);
    await waitFor('all packets', () => queue.health().packets >= 28);
    expect(found).toEqual([]);
    await Promise.all([
      sendFrom(0, '-S', '-i', 'u1000', '-c', '6', '-p', '++1014'),
      sendFrom(1, '-S', '-i', 'u1000', '-c', '6', '-p', '++2014'),
    ]);
    await waitFor('a detection', () => found.length > 0);
    expect(found[0]).toMatchObject({ detector: 'port_scan', source: '203.0.113.66/32' });
    for (const status of queueStatuses()) expect(status.sequence).toBeGreaterThan(10);
  });
});
