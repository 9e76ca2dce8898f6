/** The policy with its memory on the real daemon: from eve line to the kernel's set. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DaemonStatus } from '../../src/daemon/status.js';
import { alertLine, Barricata } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, waitFor } from '../support/netns.js';

const NET = '2001:db8:66:1::/64';
const POLICY = [
  {
    name: 'three different attacks',
    when: { category: 'Misc Attack', from: 'outside', proven: true, distinct_sids: 3, within: '10m' },
    then: 'ban 1h',
  },
  {
    name: 'web exploitation',
    when: { category: 'Web Application Attack', from: 'outside', proven: true },
    then: 'ban 1h',
  },
];

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('the policy of a running Barricata', () => {
  let b: Barricata;

  beforeAll(async () => {
    enterPrivateNetns();
    b = new Barricata();
    b.configure({
      suricata: { eve: [b.eve], metadata_actions: true },
      policy: POLICY,
      limits: { new_bans_per_minute: 20 },
    });
    writeFileSync(b.eve, '');
    await b.start();
  });
  afterAll(() => b?.remove());

  const alert = (sid: number, more: Record<string, unknown> = {}) => ({
    alert: {
      action: 'allowed',
      gid: 1,
      signature_id: sid,
      rev: 1,
      signature: 'T',
      category: 'Misc Attack',
      severity: 2,
      ...more,
    },
  });
  const status = () => b.cli('status', '-o', 'json').json<DaemonStatus>();
  const write = (...lines: string[]) => appendFileSync(b.eve, lines.join(''));
  const banned = (address: string, set?: string) =>
    waitFor(`${address} in the kernel`, () => b.elements(set).has(address), 3000);

  it('bans at the third different signature and not before', async () => {
    write(alertLine('203.0.113.9', alert(1)), alertLine('203.0.113.9', alert(2)), alertLine('203.0.113.9', alert(2)));
    await waitFor('the alerts to be decided', () => (status().decisions['note'] ?? 0) >= 3);
    expect(b.elements().size).toBe(0);
    expect(status().windows).toEqual({ initiators: 1, forgotten: 0 });
    write(alertLine('203.0.113.9', alert(3)));
    await banned('203.0.113.9');
  });

  it('does what the metadata of a rule says, where it is switched on', async () => {
    const tagged = { metadata: { barricata: ['ban'], barricata_for: ['2h'] } };
    write(alertLine('203.0.113.10', alert(50, { ...tagged, category: 'Other' })));
    await banned('203.0.113.10');
    expect(Number(b.redis('TTL', 'barricata:ban:203.0.113.10'))).toBeGreaterThan(3600);
  });

  it('bans the /64 at the third address in it, and why says so', async () => {
    for (const n of [1, 2, 3]) {
      write(alertLine(`2001:db8:66:1::${n}`));
      await banned(n < 3 ? `2001:db8:66:1::${n}` : NET, 'barricata6');
    }
    const why = b.cli('why', '2001:db8:66:1::3');
    expect({ code: why.code, out: why.out }).toEqual({ code: 0, out: expect.stringContaining(NET) });
    expect(why.out).toContain('3 addresses of it attacked');
  });

  it('bans for longer at the second time', async () => {
    write(alertLine('203.0.113.11'));
    await banned('203.0.113.11');
    // As if its time were over.
    expect(b.redis('PEXPIRE', 'barricata:ban:203.0.113.11', '1500')).toBe('1');
    await waitFor('the ban to end', () => !b.elements().has('203.0.113.11'), 5000);
    write(alertLine('203.0.113.11'));
    await banned('203.0.113.11');
    const left = Number(b.redis('TTL', 'barricata:ban:203.0.113.11'));
    expect(left).toBeGreaterThan(4 * 3600 - 20);
    expect(left).toBeLessThanOrEqual(4 * 3600);
  });

  it('stops a wave of bans at the limit, raises one alarm, and bans by hand all the same', async () => {
    const wave = Array.from({ length: 2000 }, (_, i) =>
      alertLine(`198.51.${100 + Math.floor(i / 250)}.${(i % 250) + 1}`),
    );
    write(...wave);
    await waitFor('the wave to be decided', () => (status().decisions['would_ban'] ?? 0) > 1900, 20_000);
    expect(b.elements().size).toBeLessThanOrEqual(25);
    const { alarms, limits } = status();
    expect(alarms).toMatchObject([
      { name: 'limit_reached', detail: expect.stringContaining('new_bans_per_minute 20') },
    ]);
    expect(limits.knownGoodShare).toBe(0);
    expect(b.log.match(/"alarm":"limit_reached"/g)).toHaveLength(1);
    expect(b.cli('ban', '192.0.2.9', '--for', '1h', '--reason', 'by hand', '--yes').code).toBe(0);
    expect(b.elements().has('192.0.2.9')).toBe(true);
    expect(b.cli('mode', 'enforce', '--reason', 'looked at it').code).toBe(0);
    await waitFor('the alarm to be over', () => status().alarms.length === 0);
  });
});
