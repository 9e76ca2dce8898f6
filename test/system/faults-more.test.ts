/** Redis that hangs, allows that are lost together with bans, and a daemon that is asked to end while it starts. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { alertLine, Barricata } from '../support/daemon.js';
import { inKernel, inRedis, isBanned, journaled, redisServers, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run, waitFor } from '../support/netns.js';

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('the daemon', () => {
  let b: Barricata;

  beforeAll(() => enterPrivateNetns());
  afterEach(async () => {
    await b.stop().catch(() => undefined);
    b.cli('cleanup');
    await b.remove();
  });

  async function running(): Promise<void> {
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start();
  }

  it('bans on while Redis hangs, and each once when it goes on', async () => {
    await running();
    const [redis] = redisServers(b) as [number];
    process.kill(redis, 'SIGSTOP');
    try {
      appendFileSync(b.eve, alertLine('203.0.113.1'));
      await isBanned(b, '203.0.113.1', 6000);
      await waitFor('status says that Redis is down', () => !statusOf(b).redis.up, 10_000);
      appendFileSync(b.eve, alertLine('203.0.113.2'));
      await isBanned(b, '203.0.113.2', 6000);
    } finally {
      process.kill(redis, 'SIGCONT');
    }
    await waitFor('Redis answers', () => statusOf(b).redis.up, 10_000);
    await waitFor('nothing waits for Redis', () => statusOf(b).blocklist.offline === 0, 10_000);
    await waitFor('both are in Redis', () => inRedis(b).length === 2, 5000);
    expect(inKernel(b)).toEqual(['203.0.113.1', '203.0.113.2']);
    expect([...journaled(b, 'ban').values()]).toEqual([1, 1]);
    expect(redisServers(b)).toEqual([redis]);
  });

  it('holds the few allows that go together with many bans, so that no allowed address becomes banned', async () => {
    await running();
    for (let i = 1; i <= 50; i++) b.redis('SET', `barricata:ban:198.51.100.${i}`, 'x', 'EX', '600');
    b.redis('SET', 'barricata:ban:203.0.113.0/24', 'x', 'EX', '600');
    expect(b.cli('allow', '203.0.113.7', '--for', '1h', '--reason', 'partner').code).toBe(0);
    b.redis('SET', 'barricata:ban:203.0.113.7', 'x', 'EX', '600');
    await waitFor('all are in the kernel', () => inKernel(b).length >= 50, 5000);
    await waitFor('the allow is in the kernel', () => b.elements('barricata-allow4').has('203.0.113.7'), 5000);
    b.redis('FLUSHDB');
    await waitFor('all is held', () => statusOf(b).blocklist.held > 50, 8000);
    expect(b.elements('barricata-allow4').has('203.0.113.7')).toBe(true);
    expect(inKernel(b)).not.toContain('203.0.113.7');
    expect(b.cli('ban', '--held').code).toBe(0);
    await waitFor('nothing is held', () => statusOf(b).blocklist.held === 0, 5000);
    expect(b.redis('EXISTS', 'barricata:allow:203.0.113.7')).toBe('1');
    expect(b.elements('barricata-allow4').has('203.0.113.7')).toBe(true);
    expect(inKernel(b)).not.toContain('203.0.113.7');
  });

  it('leaves nothing behind when it is asked to end at any moment of its start', async () => {
    b = new Barricata();
    writeFileSync(b.eve, '');
    for (const delay of [150, 250, 350, 450, 550, 700]) {
      await b.start({ wait: false });
      await pause(delay);
      await b.stop('SIGTERM');
      expect({ delay, sets: run('ipset', 'list', '-n'), redis: redisServers(b) }).toEqual({
        delay,
        sets: '',
        redis: [],
      });
      for (const table of ['raw', 'mangle']) expect(run('iptables-save', '-t', table)).not.toContain('BARRICATA');
    }
    await b.start();
    expect(statusOf(b).ready).toBe(true);
  });
});
