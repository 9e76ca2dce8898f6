/** What people do to keys with redis-cli, right and wrong, and what the kernel makes of it. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Barricata } from '../support/daemon.js';
import { inKernel, isBanned, isNotBanned, kernelTimeout, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, waitFor } from '../support/netns.js';

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('keys edited by hand', () => {
  let b: Barricata;

  beforeAll(async () => {
    enterPrivateNetns();
    b = new Barricata();
    writeFileSync(b.eve, '');
    await b.start();
  });
  afterAll(() => b?.remove());

  /** Waits until the kernel's timeout of the address is within a few seconds of `seconds`. */
  const lasts = (address: string, seconds: number) =>
    waitFor(
      `${address} lasts ${seconds} s in the kernel`,
      () => {
        const left = kernelTimeout(b, address);
        if (left === undefined) throw new Error('not in the kernel');
        if (Math.abs(left - seconds) <= 4) return true;
        throw new Error(`${left} s`);
      },
      5000,
      20,
    );

  it('refuses a key that names no prefix, says why, and obeys the next one', async () => {
    const long = `203.0.113.7${'x'.repeat(289)}`;
    const wrong = [
      ['foo', /not an IPv4/],
      ['203.0.113.9/24', /203\.0\.113\.0\/24/],
      ['203.0.113.9/33', /33|length/],
      ['1.2.3.4; rm -rf /', /not an IPv4/],
      [long, /not an IPv4/],
    ] as const;
    wrong.forEach(([suffix, why], i) => {
      void why;
      b.redis('SET', `barricata:ban:${suffix}`, 'typed', 'EX', '600');
      b.redis('SET', `barricata:ban:198.51.100.${i + 1}`, 'good', 'EX', '600');
    });
    for (const [i, [suffix, why]] of wrong.entries()) {
      const key = `barricata:refused:${suffix.slice(0, 200)}`;
      expect(await waitFor(key, () => b.redis('GET', key), 3000)).toMatch(why);
      expect(Number(b.redis('TTL', key))).toBeGreaterThan(3000);
      await isBanned(b, `198.51.100.${i + 1}`);
    }
    expect(inKernel(b)).toEqual(wrong.map((_, i) => `198.51.100.${i + 1}`));
    expect(statusOf(b).blocklist.refused).toBe(wrong.length);
    for (const [suffix] of wrong) b.redis('DEL', `barricata:ban:${suffix}`);
    await waitFor('the explanations go with the keys', () => b.redis('KEYS', 'barricata:refused:*') === '', 5000);
  });

  it('refuses a list, a hash, a set and a stream, and obeys a string in their place', async () => {
    b.redis('RPUSH', 'barricata:ban:198.51.100.21', 'x');
    b.redis('HSET', 'barricata:ban:198.51.100.22', 'x', 'y');
    b.redis('SADD', 'barricata:allow:198.51.100.23', 'x');
    b.redis('XADD', 'barricata:local:testhost:198.51.100.24', '*', 'x', 'y');
    for (const [address, type] of [
      ['198.51.100.21', 'list'],
      ['198.51.100.22', 'hash'],
      ['198.51.100.23', 'set'],
      ['198.51.100.24', 'stream'],
    ] as const) {
      const key = `barricata:refused:${address}`;
      expect(await waitFor(key, () => b.redis('GET', key), 3000)).toContain(`holds a ${type}`);
      expect(inKernel(b)).not.toContain(address);
    }
    // The allow key of the wrong type allows nothing.
    b.redis('SET', 'barricata:ban:198.51.100.23', 'x', 'EX', '600');
    await isBanned(b, '198.51.100.23');
    b.redis('SET', 'barricata:ban:198.51.100.21', 'a string now', 'EX', '600');
    await isBanned(b, '198.51.100.21');
    await waitFor('no explanation is left', () => b.redis('EXISTS', 'barricata:refused:198.51.100.21') === '0', 3000);
    // A string that becomes a list is a ban no longer.
    b.redis('DEL', 'barricata:ban:198.51.100.21');
    b.redis('RPUSH', 'barricata:ban:198.51.100.21', 'x');
    await isNotBanned(b, '198.51.100.21');
    expect(statusOf(b).problems).toEqual([]);
  });

  it('follows the lifetime of a key through every command that changes it', async () => {
    const key = 'barricata:ban:198.51.100.40';
    const address = '198.51.100.40';
    b.redis('SET', key, 'first', 'EX', '600');
    await lasts(address, 600);
    b.redis('SET', key, 'another reason', 'KEEPTTL');
    await lasts(address, 600);
    b.redis('EXPIRE', key, '7200');
    await lasts(address, 7200);
    b.redis('EXPIRE', key, '120');
    await lasts(address, 120);
    b.redis('PEXPIRE', key, '900000');
    await lasts(address, 900);
    b.redis('EXPIREAT', key, String(Math.floor(Date.now() / 1000) + 300));
    await lasts(address, 300);
    b.redis('PERSIST', key);
    await waitFor('it stays for good', () => kernelTimeout(b, address) === 0, 5000);
    b.redis('SET', key, 'with an end again', 'EX', '100');
    await lasts(address, 100);
    b.redis('SET', key, 'for good by a plain SET');
    await waitFor('it stays for good', () => kernelTimeout(b, address) === 0, 5000);
    b.redis('EXPIRE', key, '40000000');
    // The kernel takes at most 2,147,483 s; the key lasts longer than that.
    await lasts(address, 2_147_483);
    expect(Number(b.redis('TTL', key))).toBeGreaterThan(39_999_000);
    b.redis('EXPIREAT', key, '1000000000');
    await isNotBanned(b, address);
  });

  it('lifts a ban by DEL, UNLINK and the running out of two seconds, and moves it by RENAME', async () => {
    b.redis('SET', 'barricata:ban:198.51.100.50', 'x', 'EX', '600');
    b.redis('SET', 'barricata:ban:198.51.100.51', 'x', 'EX', '600');
    b.redis('SET', 'barricata:ban:198.51.100.52', 'x', 'EX', '600');
    for (const address of ['198.51.100.50', '198.51.100.51', '198.51.100.52']) await isBanned(b, address);
    b.redis('DEL', 'barricata:ban:198.51.100.50');
    await isNotBanned(b, '198.51.100.50');
    b.redis('UNLINK', 'barricata:ban:198.51.100.51');
    await isNotBanned(b, '198.51.100.51');
    b.redis('RENAME', 'barricata:ban:198.51.100.52', 'barricata:ban:198.51.100.53');
    await isBanned(b, '198.51.100.53');
    await isNotBanned(b, '198.51.100.52');
    await lasts('198.51.100.53', 600);
    // Removed by a person: pardoned. Run out: not.
    await waitFor('a pardon', () => b.redis('EXISTS', 'barricata:pardon:198.51.100.50') === '1', 3000);
    b.redis('SET', 'barricata:ban:198.51.100.54', 'x', 'EX', '2');
    await isBanned(b, '198.51.100.54');
    await isNotBanned(b, '198.51.100.54', 4500);
    b.redis('SET', 'barricata:ban:198.51.100.55', 'x', 'EX', '600');
    await isBanned(b, '198.51.100.55');
    expect(b.redis('EXISTS', 'barricata:pardon:198.51.100.54')).toBe('0');
  });

  it('keeps a prefix banned until its last spelling goes', async () => {
    for (const suffix of ['198.51.100.60', '198.51.100.60/32', '::ffff:198.51.100.60'])
      b.redis('SET', `barricata:ban:${suffix}`, 'x', 'EX', '600');
    b.redis('EXPIRE', 'barricata:ban:198.51.100.60/32', '3000');
    await lasts('198.51.100.60', 3000);
    b.redis('DEL', 'barricata:ban:198.51.100.60/32');
    await lasts('198.51.100.60', 600);
    b.redis('DEL', 'barricata:ban:198.51.100.60');
    b.redis('SET', 'barricata:ban:198.51.100.61', 'x', 'EX', '600');
    await isBanned(b, '198.51.100.61');
    expect(inKernel(b)).toContain('198.51.100.60');
    b.redis('DEL', 'barricata:ban:::ffff:198.51.100.60');
    await isNotBanned(b, '198.51.100.60');
  });
});
