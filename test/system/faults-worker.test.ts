/** A packet worker that throws, dies or hangs, and a daemon that stands still: first packets pass, bans hold. */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { queueStatuses } from '../../src/netlink/nfqueue-status.js';
import type { Barricata } from '../support/daemon.js';
import { isBanned, statusOf, withWorker } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { type Attempt, inHost, Lab, type Peer, Rush, SERVER } from '../support/lab.js';
import { type Host, waitFor } from '../support/netns.js';

const PORT = 8080;
/** A connection that takes this long lost its first packet, or waited. */
const SLOW_MS = 500;

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('a packet worker', () => {
  let lab: Lab;
  let b: Barricata;
  let attacker: Peer;
  let rush: Rush | null = null;

  const served = (host: Host) => host.succeeds('curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${SERVER}/`);
  const alive = (): number => b.elements('barricata-alive4').size;
  const isAlive = () => waitFor('the worker is alive', () => alive() === 2, 6000);
  const banHolds = async () => {
    b.redis('SET', `barricata:ban:${attacker.address}`, 'x', 'EX', '600');
    await isBanned(b, attacker.address);
    expect(served(attacker)).toBe(false);
  };
  const isQuick = ({ ok, ms }: Attempt) => ok && ms < SLOW_MS;
  /** Milliseconds from `since` until a connection began that was quick, when one was not before. */
  const quickAgainAfter = async (since: number, deadlineMs: number): Promise<number> => {
    const of = rush as Rush;
    const lastSlow = () => of.odd(since).findLast((one) => !isQuick(one))?.at ?? Number.POSITIVE_INFINITY;
    await waitFor('connections are quick again', () => of.odd(lastSlow()).filter(isQuick).length > 20, deadlineMs);
    return (of.odd(lastSlow()).find(isQuick)?.at ?? Number.POSITIVE_INFINITY) - since;
  };

  beforeAll(async () => {
    lab = await Lab.open({}, 1);
    attacker = lab.peers[0] as Peer;
  });
  beforeEach(async () => {
    rush?.stop();
    rush = null;
    b = await lab.renew();
  });
  afterAll(async () => {
    rush?.stop();
    await lab?.close();
  });

  it('that throws on each packet lets each pass, counts them, and goes on', async () => {
    await b.start({ through: withWorker(b, 'throwing-worker.mjs') });
    await isAlive();
    rush = new Rush(lab.client, '10', PORT);
    const began = Date.now();
    await waitFor('connections', () => (rush as Rush).done(began) > 150);
    expect(rush.odd(began).filter((one) => !isQuick(one))).toEqual([]);
    const { queue } = statusOf(b);
    expect(queue.exceptions).toBeGreaterThan(100);
    expect(queue).toMatchObject({ bound: true, dropped: 0 });
    await banHolds();
  });

  it('that cannot be loaded leaves bans in force, and is named; what passes is counted as unfiltered', async () => {
    await b.start({ wait: false, through: withWorker(b, 'broken-worker.mjs') });
    await waitFor('the rules are in place', () => statusOf(b).kernel.complete, 15_000);
    await waitFor('status says why', () => statusOf(b).queue.problem?.includes('made by the test'), 8000);
    expect(b.cli('status', '-q').code).toBe(4);
    rush = new Rush(lab.client, '10', PORT);
    const began = Date.now();
    await waitFor('connections', () => (rush as Rush).done(began) > 100);
    expect(rush.odd(began).filter((one) => !isQuick(one))).toEqual([]);
    await waitFor('they are counted', () => statusOf(b).queue.unfiltered >= 100, 5000);
    await banHolds();
  });

  it('that dies with packets held lets new connections pass within 100 ms', async () => {
    const died = `${b.folder}/died`;
    await b.start({ through: [...withWorker(b, 'dying-worker.mjs'), `BARRICATA_TEST_DIED=${died}`] });
    await isAlive();
    rush = new Rush(lab.client, '5', PORT);
    await waitFor('connections', () => (rush as Rush).done(0) > 50);
    await inHost(lab.client, 'ping', '-c', '1', '-W', '1', '-s', '305', SERVER);
    const at = Number(await waitFor('its end', () => existsSync(died) && readFileSync(died, 'utf8')));
    await waitFor('connections after it', () => (rush as Rush).done(at + 100) > 200);
    // Those that it held were lost and came again a second later; from 100 ms after the end none was.
    const held = rush.odd(at - 300, at).filter((one) => !isQuick(one));
    expect(held.length).toBeGreaterThan(0);
    await waitFor('those that it held', () => (rush as Rush).odd(at - 300, at).length > 20, 5000);
    expect(rush.odd(at - 300).filter(({ ok }) => !ok)).toEqual([]);
    expect(rush.odd(at + 100).filter((one) => !isQuick(one))).toEqual([]);
    await waitFor('a new worker', () => statusOf(b).queue.bound && alive() === 2, 8000);
    await banHolds();
  });

  it('that hangs lets new connections pass within four seconds, and is started again', async () => {
    await b.start({ through: withWorker(b, 'slow-worker.mjs') });
    await isAlive();
    rush = new Rush(lab.client, '20', PORT);
    await waitFor('connections', () => (rush as Rush).done(0) > 50);
    const hangs = Date.now();
    // A ping of 555 bytes keeps it busy for 20 s.
    lab.client.spawn('ping', ['-c', '1', '-W', '1', '-s', '527', SERVER]);
    const after = await quickAgainAfter(hangs, 12_000);
    console.log(`a hanging worker: new connections pass after ${after} ms`);
    expect(after).toBeGreaterThan(0);
    expect(after).toBeLessThan(4000);
    await waitFor('the log says so', () => b.log.includes('the packet worker hangs'), 10_000);
    await waitFor('a new worker', () => statusOf(b).queue.bound && alive() === 2, 10_000);
    const { packets } = statusOf(b).queue;
    await waitFor('it judges', () => statusOf(b).queue.packets > packets + 10, 5000);
    await banHolds();
  });

  it('that stands still for a while gives what it held its verdicts then', async () => {
    await b.start({ through: withWorker(b, 'slow-worker.mjs') });
    await isAlive();
    // A ping of 444 bytes puts it to sleep for four seconds.
    lab.client.spawn('ping', ['-c', '1', '-W', '1', '-s', '416', SERVER]);
    await waitFor('it stands still', () => queueStatuses()[0]?.waiting === 1);
    const { output } = await inHost(lab.client, 'ping', '-c', '1', '-W', '10', SERVER);
    expect(output).toContain('1 received');
    expect(Number(/time=([\d.]+) ms/.exec(output)?.[1])).toBeGreaterThan(1000);
    expect(b.log).not.toContain('the packet worker hangs');
  });

  it('goes on while the main thread is busy for five seconds', async () => {
    await b.start({ through: withWorker(b) });
    await isAlive();
    const before = statusOf(b).queue.packets;
    rush = new Rush(lab.client, '20', PORT);
    await waitFor('connections', () => (rush as Rush).done(0) > 20);
    const busy = Date.now();
    process.kill(b.pid, 'SIGUSR2');
    let least = 2;
    await waitFor('five seconds', () => {
      least = Math.min(least, alive());
      return Date.now() - busy > 4800;
    });
    expect(least).toBe(2);
    expect(rush.done(busy)).toBeGreaterThan(150);
    expect(rush.odd(busy).filter((one) => !isQuick(one))).toEqual([]);
    await waitFor('status answers', () => statusOf(b).queue.packets - before > 200, 10_000);
    expect(statusOf(b).queue).toMatchObject({ bound: true, unfiltered: 0 });
  });

  it('whose process is stopped by a signal lets new connections pass within four seconds; what it held waits', async () => {
    await b.start();
    await isAlive();
    rush = new Rush(lab.client, '20', PORT);
    await waitFor('connections', () => (rush as Rush).done(0) > 50);
    await banHolds();
    const stopped = Date.now();
    process.kill(b.pid, 'SIGSTOP');
    try {
      const held = inHost(lab.client, 'ping', '-c', '1', '-W', '15', SERVER);
      const after = await quickAgainAfter(stopped, 10_000);
      console.log(`a stopped process: new connections pass after ${after} ms`);
      expect(after).toBeGreaterThan(0);
      expect(after).toBeLessThan(4000);
      expect(served(attacker)).toBe(false);
      process.kill(b.pid, 'SIGCONT');
      const { output } = await held;
      expect(output).toContain('1 received');
      expect(Number(/time=([\d.]+) ms/.exec(output)?.[1])).toBeGreaterThan(1000);
    } finally {
      process.kill(b.pid, 'SIGCONT');
    }
  });
});
