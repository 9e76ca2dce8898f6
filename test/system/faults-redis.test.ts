/** Redis that is killed, absent or emptied: the kernel keeps its bans and nothing is lost or doubled. */
import {
  appendFileSync,
  mkdirSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { alertLine, Barricata } from '../support/daemon.js';
import { inKernel, inRedis, isBanned, journaled, kernelTimeout, redisServers, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run, waitFor } from '../support/netns.js';
import { TestRedis } from '../support/redis.js';

const numbered = (n: number) => Array.from({ length: n }, (_, i) => `198.51.100.${i + 1}`);

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('when Redis fails', () => {
  let b: Barricata;

  beforeAll(() => enterPrivateNetns());
  afterEach(async () => {
    await b.stop().catch(() => undefined);
    b.cli('cleanup');
    await b.remove();
  });

  async function running(changes: Record<string, unknown> = {}): Promise<void> {
    b = new Barricata(changes);
    writeFileSync(b.eve, '');
    await b.start();
  }

  it('keeps the kernel and bans on when the embedded server is killed, and tells it all once when it is back', async () => {
    await running();
    b.redis('SET', 'barricata:ban:198.51.100.1', 'by hand', 'EX', '600');
    appendFileSync(b.eve, alertLine('203.0.113.1'));
    await isBanned(b, '198.51.100.1');
    await isBanned(b, '203.0.113.1');
    const [pid] = redisServers(b);
    // A directory in the place of the socket keeps the server from coming back before the test wants it to.
    unlinkSync(b.socket);
    mkdirSync(b.socket);
    process.kill(pid as number, 'SIGKILL');
    await waitFor('status says that Redis is down', () => !statusOf(b).redis.up, 5000);
    appendFileSync(b.eve, alertLine('203.0.113.2'));
    appendFileSync(
      b.eve,
      alertLine('203.0.113.2', { alert: { ...JSON.parse(alertLine('x')).alert, signature_id: 7 } }),
    );
    await isBanned(b, '203.0.113.2');
    const status = statusOf(b);
    expect(status.problems[0]).toContain('Redis is away');
    expect(status.blocklist.offline).toBeGreaterThan(0);
    expect(inKernel(b)).toEqual(['198.51.100.1', '203.0.113.1', '203.0.113.2']);
    const doctor = b.cli('doctor', '-o', 'json');
    expect(doctor.code).toBe(1);
    expect(doctor.json<{ state: string; check: string }[]>()).toContainEqual(
      expect.objectContaining({ state: 'fail', check: 'redis' }),
    );
    expect(b.cli('ban', '203.0.113.3', '--for', '1h', '--reason', 'x').code).toBe(4);

    rmdirSync(b.socket);
    await waitFor('Redis is back', () => statusOf(b).redis.up, 15_000);
    await waitFor('the ban is in Redis', () => inRedis(b).includes('203.0.113.2'), 5000);
    await waitFor('nothing waits for Redis', () => statusOf(b).blocklist.offline === 0, 5000);
    expect(journaled(b, 'ban')).toEqual(
      new Map([
        ['198.51.100.1', 1],
        ['203.0.113.1', 1],
        ['203.0.113.2', 1],
      ]),
    );
    expect(inKernel(b)).toEqual(inRedis(b));
    expect(redisServers(b)).toHaveLength(1);
    expect(statusOf(b).blocklist.held).toBe(0);
    appendFileSync(b.eve, alertLine('203.0.113.4'));
    await waitFor('Redis is written to again', () => inRedis(b).includes('203.0.113.4'), 5000);
  });

  it('loses nothing when the daemon is killed too while Redis is away', async () => {
    await running();
    appendFileSync(b.eve, alertLine('203.0.113.1'));
    await isBanned(b, '203.0.113.1');
    const [pid] = redisServers(b);
    unlinkSync(b.socket);
    mkdirSync(b.socket);
    process.kill(pid as number, 'SIGKILL');
    await waitFor('status says that Redis is down', () => !statusOf(b).redis.up, 5000);
    appendFileSync(b.eve, alertLine('203.0.113.2'));
    await isBanned(b, '203.0.113.2');
    await b.stop('SIGKILL');
    rmdirSync(b.socket);
    // A torn last line, as a kill may leave it, and so long that reading the journal takes its time: what the
    // kernel has must not be compared with Redis before the journal is known.
    const journal = join(b.folder, 'state/offline.journal');
    truncateSync(journal, statSync(journal).size + (128 << 20));
    appendFileSync(b.eve, alertLine('203.0.113.3'));
    await b.start();
    await isBanned(b, '203.0.113.3');
    await waitFor('all is in Redis', () => inRedis(b).length === 3, 5000);
    expect(inKernel(b)).toEqual(['203.0.113.1', '203.0.113.2', '203.0.113.3']);
    expect([...journaled(b, 'ban').values()]).toEqual([1, 1, 1]);
    expect(journaled(b, 'unban').size).toBe(0);
  });

  it('starts without its external Redis, keeps the bans that the kernel has, and works when Redis appears', async () => {
    const redis = await new TestRedis().start();
    await running({ redis: { url: redis.url } });
    redis.cli('SET', 'barricata:ban:198.51.100.1', 'by hand', 'EX', '600');
    await isBanned(b, '198.51.100.1');
    await b.stop('SIGKILL');
    await redis.kill();

    await b.start({ wait: false, args: ['--on-stop', 'remove'] });
    const down = await waitFor('a status', () => b.cli('status'), 5000);
    await waitFor('the rules are in place', () => statusOf(b).kernel.rules === 'in place', 5000);
    expect(down.code).toBe(4);
    const status = statusOf(b);
    expect(b.cli('status', '-q').code).toBe(4);
    expect(status).toMatchObject({ ready: false, redis: { up: false }, kernel: { complete: false } });
    expect(status.problems[0]).toContain(`Redis is away: connect to ${redis.url}`);
    expect(inKernel(b)).toEqual(['198.51.100.1']);
    appendFileSync(b.eve, alertLine('203.0.113.1'));
    expect(b.running).toBe(true);

    await redis.start();
    await waitFor('status is complete', () => b.cli('status', '-q').code === 0, 10_000);
    await isBanned(b, '203.0.113.1');
    expect(redis.cli('EXISTS', 'barricata:ban:203.0.113.1')).toBe('1');
    redis.cli('SET', 'barricata:ban:198.51.100.2', 'by hand', 'EX', '600');
    await isBanned(b, '198.51.100.2');
    expect(inKernel(b)).toEqual(['198.51.100.1', '198.51.100.2', '203.0.113.1']);
    await b.stop();
    await redis.stop();
  });

  async function withBans(n: number): Promise<string[]> {
    await running();
    const bans = numbered(n).sort();
    b.redis('MSET', ...bans.flatMap((address) => [`barricata:ban:${address}`, `reason ${address}`]));
    for (const address of bans) b.redis('EXPIRE', `barricata:ban:${address}`, '600');
    await waitFor('all are in the kernel, with their end', () => {
      return bans.every((address) => (kernelTimeout(b, address) ?? 0) > 0);
    });
    // The journal knows each, so that `ban --held` can give the reasons back.
    await waitFor('all are journaled', () => journaled(b, 'ban').size === n, 5000);
    return bans;
  }

  const isHeld = (n: number) => waitFor(`${n} are held`, () => statusOf(b).blocklist.held === n, 8000);

  it('holds fifty bans after FLUSHDB, obeys new keys meanwhile, and lets them go by unban --held', async () => {
    const bans = await withBans(50);
    b.redis('FLUSHDB');
    await isHeld(50);
    expect(inKernel(b)).toEqual(bans);
    const doctor = b.cli('doctor');
    expect(doctor.code).toBe(1);
    expect(doctor.out).toContain('barricata unban --held');
    expect(doctor.out).toContain('barricata ban --held');
    b.redis('SET', 'barricata:ban:203.0.113.1', 'new', 'EX', '600');
    await isBanned(b, '203.0.113.1');
    b.redis('DEL', 'barricata:ban:203.0.113.1');
    await waitFor('a key written since then obeys its removal', () => !inKernel(b).includes('203.0.113.1'), 5000);
    expect(inKernel(b)).toEqual(bans);
    // One of the held written again is held no longer, and lasts as the new key says.
    b.redis('SET', 'barricata:ban:198.51.100.7', 'again', 'EX', '1200');
    await waitFor('the new end', () => (kernelTimeout(b, '198.51.100.7') ?? 0) > 1100, 5000);
    expect(statusOf(b).blocklist.held).toBe(49);
    for (const address of bans) expect(b.redis('EXISTS', `barricata:pardon:${address}`)).toBe('0');

    expect(b.cli('unban', '--held', '--reason', 'meant').code).toBe(0);
    await waitFor('they leave the kernel', () => inKernel(b).length === 1, 5000);
    expect(inKernel(b)).toEqual(['198.51.100.7']);
    expect(statusOf(b).blocklist.held).toBe(0);
    expect(b.cli('unban', '--held').code).toBe(1);
    expect(b.redis('KEYS', 'barricata:pardon:198.51.100.*')).toBe('');
  });

  it('writes the keys back by ban --held, with the end that they had', async () => {
    const bans = await withBans(50);
    b.redis('FLUSHDB');
    await isHeld(50);
    const answer = b.cli('ban', '--held');
    expect(answer.code).toBe(0);
    expect(answer.out).toContain('50 keys written back');
    await waitFor('nothing is held', () => statusOf(b).blocklist.held === 0, 5000);
    expect(inRedis(b)).toEqual(bans);
    expect(inKernel(b)).toEqual(bans);
    const ttl = Number(b.redis('TTL', `barricata:ban:${bans[0]}`));
    expect(ttl).toBeGreaterThan(500);
    expect(ttl).toBeLessThanOrEqual(600);
    expect(b.redis('KEYS', 'barricata:pardon:*')).toBe('');
    expect(b.cli('doctor').code).toBe(0);
    // From here on a removal is a person's again.
    b.redis('DEL', `barricata:ban:${bans[0]}`);
    await waitFor('it leaves the kernel', () => !inKernel(b).includes(bans[0] as string), 5000);
  });

  it('holds what the kernel has when Redis is found empty at start', async () => {
    b = new Barricata();
    const bans = numbered(50).sort();
    writeFileSync(b.eve, '');
    await b.start({ args: ['--on-stop', 'keep'] });
    for (const address of bans) b.redis('SET', `barricata:ban:${address}`, 'x', 'EX', '600');
    await waitFor('all are in the kernel', () => inKernel(b).length === 50);
    await b.stop();
    expect(redisServers(b)).toEqual([]);
    rmSync(join(b.folder, 'state/redis'), { recursive: true });
    expect(inKernel(b)).toEqual(bans);
    await b.start();
    await isHeld(50);
    expect(inRedis(b)).toEqual([]);
    expect(inKernel(b)).toEqual(bans);
    expect(b.cli('doctor').code).toBe(1);
    expect(b.redis('KEYS', 'barricata:pardon:*')).toBe('');
    run('ipset', 'flush', 'barricata4');
    await waitFor('held bans are healed like others', () => inKernel(b).length === 50, 5000);
    expect(b.cli('ban', '--held').code).toBe(0);
    await waitFor('the keys are back', () => inRedis(b).length === 50, 5000);
    await waitFor('nothing is held', () => statusOf(b).blocklist.held === 0, 5000);
    expect(inKernel(b)).toEqual(bans);
  });
});
