/** What the changing commands say is what the kernel does: covering networks, pauses, limits, forms. */
import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { alertLine, Barricata } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run, waitFor } from '../support/netns.js';

const NETWORK = '203.0.113.0/24';
const ADDRESS = '203.0.113.77';

interface Change {
  readonly address: string | null;
  readonly outcome: string;
  readonly expiresAt: string | null;
  readonly kernel: boolean | null;
  readonly milliseconds: number | null;
}

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('a change by the command line', () => {
  let b: Barricata;
  let refuse: string;
  const ban = (address: string, ...more: string[]) => b.cli('ban', address, '--for', '1h', '--reason', 'test', ...more);

  beforeAll(async () => {
    enterPrivateNetns();
    b = new Barricata({ limits: { new_bans_per_minute: 3 } });
    writeFileSync(b.eve, '');
    refuse = join(b.folder, 'refuse');
    refusing(b.folder, refuse);
    await b.start();
  });
  afterEach(() => {
    for (const kind of ['ban', 'allow']) {
      const keys = b.redis('--scan', '--pattern', `barricata:${kind}:*`).split('\n').filter(Boolean);
      for (const key of keys) b.redis('DEL', key);
    }
    for (const key of ['pardon', 'suppress'])
      for (const found of b.redis('--scan', '--pattern', `barricata:${key}:*`).split('\n').filter(Boolean))
        b.redis('DEL', found);
    return waitFor('the sets are empty', () => b.elements().size + b.elements('barricata-allow4').size === 0, 4000);
  });
  afterAll(() => b?.remove());

  it('is explained for an address inside a banned network', () => {
    expect(ban(NETWORK).code).toBe(0);
    const why = b.cli('why', ADDRESS);
    expect(why.out).toMatch(/^BANNED until .*, as part of 203\.0\.113\.0\/24\n/);
    expect(why.out).toContain('undo: barricata unban 203.0.113.0/24');
    expect(why.code).toBe(0);
    expect(b.cli('why', ADDRESS, '-o', 'json').json()).toMatchObject({ address: ADDRESS, banned: true });
  });

  it('is explained also where the network was typed in an unusual spelling', async () => {
    b.redis('SET', 'barricata:ban:2001:0DB8:00AA:0000::/48', 'by hand', 'EX', '600');
    await waitFor('the network is in the kernel', () => b.elements('barricata6').has('2001:db8:aa::/48'), 4000);
    expect(b.cli('why', '2001:db8:aa::7').out).toMatch(/^BANNED until .*, as part of 2001:db8:aa::\/48\n/);
    expect(b.cli('unban', '2001:db8:aa::7').out).toContain('still banned as part of 2001:db8:aa::/48');
    expect(b.cli('unban', '2001:db8:aa::/48').code).toBe(0);
    expect(b.cli('why', '2001:db8:aa::7').code).toBe(1);
  });

  it('tells of the network that still bans what is unbanned', () => {
    expect(ban(NETWORK).code).toBe(0);
    const inside = b.cli('unban', ADDRESS, '--reason', 'x');
    expect(inside.out).toContain(`${ADDRESS} is not banned by itself`);
    expect(inside.out).toContain(`still banned as part of ${NETWORK}: barricata unban ${NETWORK}`);
    expect(inside.code).toBe(1);
    expect(ban(ADDRESS).code).toBe(0);
    const both = b.cli('unban', ADDRESS, '--reason', 'x');
    expect(both.out).toMatch(/^unbanned 203\.0\.113\.77 /);
    expect(both.out).toContain(`still banned as part of ${NETWORK}: barricata unban ${NETWORK}`);
    expect(both.code).toBe(0);
    expect(b.cli('why', ADDRESS).code).toBe(0);
  });

  it('that lengthens or allows waits for the kernel, and fails when it does not follow', async () => {
    expect(ban(ADDRESS).code).toBe(0);
    expect(b.cli('extend', ADDRESS, '--to', '9d').code).toBe(0);
    expect(Number(/timeout (\d+)/.exec(b.elements().get(ADDRESS) ?? '')?.[1])).toBeGreaterThan(8 * 86_400);
    expect(b.cli('allow', ADDRESS, '--for', '1h', '--reason', 'x').code).toBe(0);
    expect(b.elements('barricata-allow4').has(ADDRESS)).toBe(true);
    expect(b.elements().has(ADDRESS)).toBe(false);
    expect(b.cli('extend', ADDRESS, '--to', '20d')).toMatchObject({
      code: 5,
      err: expect.stringContaining('is allow entry'),
    });
    expect(b.cli('allow', 'remove', ADDRESS).code).toBe(0);
    expect(b.elements('barricata-allow4').has(ADDRESS)).toBe(false);
    process.kill(b.pid, 'SIGSTOP');
    try {
      for (const args of [
        ['extend', ADDRESS, '--to', '23d'],
        ['allow', ADDRESS, '--for', '2h', '--reason', 'x'],
        ['allow', 'remove', ADDRESS],
      ])
        expect({ args, ...b.cli(...args) }).toMatchObject({ args, code: 5 });
    } finally {
      process.kill(b.pid, 'SIGCONT');
    }
    await waitFor('the ban is back', () => b.elements().has(ADDRESS), 4000);
  });

  it('that pauses twice comes back to the mode before the first pause', async () => {
    expect(b.cli('mode', 'observe', '--reason', 'x').code).toBe(0);
    expect(b.cli('mode', 'pause', '10m', '--reason', 'x').code).toBe(0);
    const second = b.cli('mode', 'pause', '2s', '--reason', 'x');
    expect(second.out).toContain('undo: barricata mode observe --reason');
    expect(b.cli('mode').out).toMatch(/^pause until /);
    await waitFor('the pause is over', () => b.cli('mode').out.trim() === 'observe', 6000);
    expect(b.cli('mode', 'enforce', '--reason', 'x').code).toBe(0);
  });

  it('of the mode is what the daemon has, not what a key asks for', async () => {
    b.redis('SET', 'barricata:mode:testhost', 'observe');
    await waitFor('the host key holds', () => b.cli('mode').out.trim() === 'observe', 4000);
    const overruled = b.cli('mode', 'enforce', '--reason', 'x', '-o', 'json');
    expect(overruled.code).toBe(5);
    expect(overruled.json()).toMatchObject({ mode: 'enforce', kernel: false });
    b.redis('DEL', 'barricata:mode:testhost');
    await waitFor('enforce holds', () => b.cli('mode').out.trim() === 'enforce', 4000);
  });

  it('to enforce lifts a limit that was reached, also when the mode is enforce already', async () => {
    const reached = () => b.cli('status', '-o', 'json').json<{ limits: { reached: string | null } }>().limits.reached;
    for (let i = 1; i <= 5; i++) appendFileSync(b.eve, alertLine(`198.51.100.${i}`));
    await waitFor('the limit is reached', () => reached() !== null, 4000);
    expect(b.elements().has('198.51.100.5')).toBe(false);
    const answer = b.cli('mode', 'enforce', '--reason', 'looked at');
    expect(answer.out).toContain('automatic bans go on: limits.new_bans_per_minute had been reached');
    expect(reached()).toBeNull();
    appendFileSync(b.eve, alertLine('198.51.100.6'));
    await waitFor('bans go on', () => b.elements().has('198.51.100.6'), 4000);
  });

  it('prints one JSON object on request', () => {
    const json = (...args: string[]) => b.cli(...args, '-o', 'json').json<Change>();
    const done = { kernel: true, milliseconds: expect.any(Number) };
    const end = expect.stringMatching(/^\d{4}-.*Z$/);
    const at = { address: ADDRESS };
    expect(json('ban', ADDRESS, '--for', '1h', '--reason', 'x')).toEqual({
      ...at,
      ...done,
      outcome: 'stored',
      expiresAt: end,
    });
    expect(json('ban', ADDRESS, '--for', '1m', '--reason', 'x')).toEqual({
      ...at,
      outcome: 'unchanged',
      expiresAt: end,
      kernel: null,
      milliseconds: null,
    });
    expect(json('extend', ADDRESS, '--to', 'forever')).toEqual({
      ...at,
      ...done,
      outcome: 'extended',
      expiresAt: null,
    });
    expect(json('note', ADDRESS, 'called')).toMatchObject({ ...at, outcome: 'stored', expiresAt: null, kernel: null });
    expect(json('unban', ADDRESS)).toMatchObject({ ...at, ...done, outcome: 'removed', stillBannedBy: [] });
    expect(json('unban', ADDRESS)).toMatchObject({ ...at, outcome: 'absent', kernel: null });
    expect(json('allow', ADDRESS, '--for', '1h', '--reason', 'x')).toMatchObject({ ...at, ...done, outcome: 'stored' });
    expect(json('allow', 'remove', ADDRESS)).toMatchObject({ ...at, ...done, outcome: 'removed' });
    expect(json('ban', '127.0.0.1', '--for', '1h', '--reason', 'x')).toMatchObject({ outcome: 'refused' });
    expect(json('mode', 'enforce', '--reason', 'x')).toMatchObject({ ...done, mode: 'enforce', outcome: 'stored' });
    expect(b.cli('ban', ADDRESS, '--for', '1h', '--reason', 'x', '-o', 'xml').code).toBe(2);
    expect(b.redis('EXISTS', `barricata:ban:${ADDRESS}`)).toBe('0');
  });

  it('lifts what one signature banned, after a preview and a yes', async () => {
    b.cli('mode', 'enforce', '--reason', 'x');
    for (const n of [61, 62]) appendFileSync(b.eve, alertLine(`198.51.100.${n}`));
    await waitFor('two bans', () => b.elements().size === 2, 4000);
    expect(ban('198.51.100.63').code).toBe(0);
    const unasked = b.cli('unban', '--sid', '9000001', '--since', '1h');
    expect(unasked.code).toBe(2);
    expect(unasked.err).toContain('2 bans by sid 9000001');
    expect(unasked.err).toContain('198.51.100.61');
    expect(unasked.err).toContain('--yes');
    expect(b.cli('unban', '--sid', '9000001', '--dry-run').code).toBe(0);
    expect(b.elements().size).toBe(3);
    expect(b.cli('unban', '--sid', '9000002', '--yes').code).toBe(1);
    expect(b.cli('unban', '--sid', '9000001', '--since', '1h', '--yes').code).toBe(0);
    expect([...b.elements().keys()]).toEqual(['198.51.100.63']);
    expect(b.redis('EXISTS', 'barricata:suppress:1:9000001:198.51.100.61')).toBe('0');
  });

  it('that names a false positive keeps its signature from banning again, with siblings everywhere', async () => {
    b.cli('mode', 'enforce', '--reason', 'x');
    for (const n of [71, 72, 73]) appendFileSync(b.eve, alertLine(`198.51.100.${n}`));
    await waitFor('three bans', () => b.elements().size === 3, 4000);
    expect(b.cli('unban', '198.51.100.71', '--false-positive').code).toBe(0);
    expect(b.redis('EXISTS', 'barricata:pardon:198.51.100.71')).toBe('1');
    expect(b.redis('EXISTS', 'barricata:suppress:1:9000001:198.51.100.71')).toBe('1');
    expect(b.elements().size).toBe(2);
    expect(b.cli('unban', '198.51.100.72', '--siblings', '--yes').code).toBe(2);
    expect(b.cli('unban', '198.51.100.72', '--false-positive', '--siblings').code).toBe(2);
    expect(b.elements().size).toBe(2);
    expect(b.cli('unban', '198.51.100.72', '--false-positive', '--siblings', '--yes').code).toBe(0);
    expect(b.elements().size).toBe(0);
    expect(b.redis('EXISTS', 'barricata:suppress:1:9000001:198.51.100.73')).toBe('1');
  });

  it('that accepts a held loss waits until the entries are out of the kernel', async () => {
    const addresses = Array.from({ length: 40 }, (_, i) => `198.51.100.${i + 100}`);
    for (const address of addresses) b.redis('SET', `barricata:ban:${address}`, 'x', 'EX', '600');
    await waitFor('forty bans', () => b.elements().size === 40, 4000);
    b.redis('DEL', ...addresses.map((address) => `barricata:ban:${address}`));
    const held = () => b.cli('status', '-o', 'json').json<{ blocklist: { held: number } }>().blocklist.held;
    await waitFor('the loss is held', () => held() > 0, 4000);
    expect(b.cli('why', addresses[0] as string)).toMatchObject({
      code: 0,
      out: expect.stringContaining('no key asks for it any more'),
    });
    expect(b.cli('unban', '--held', '-o', 'json').json()).toMatchObject({ outcome: 'removed', kernel: true });
    expect(b.elements().size).toBe(0);
    expect(b.cli('unban', '--held').code).toBe(1);
  });

  it('is not called done while the rules are gone', async () => {
    expect(ban(ADDRESS).code).toBe(0);
    const listed = () => b.cli('list', '-o', 'json').json<{ kernel: boolean }[]>()[0]?.kernel;
    expect(listed()).toBe(true);
    writeFileSync(refuse, '');
    try {
      run('iptables', '-t', 'raw', '-F');
      await waitFor('the daemon has noticed', () => listed() === false, 6000);
      expect(b.elements().has(ADDRESS)).toBe(true);
      const other = ban('203.0.113.78');
      expect(other).toMatchObject({ code: 5, out: '' });
      expect(other.err).toContain('the rules are failed: nothing is dropped');
      expect(ban('203.0.113.79', '-o', 'json').json()).toMatchObject({ outcome: 'stored', kernel: false });
    } finally {
      rmSync(refuse);
    }
    await waitFor('the rules are back', () => listed() === true, 6000);
    expect(run('iptables', '-t', 'raw', '-S')).toContain('BARRICATA');
  });
});

/** The programs that put rules in place, first in the PATH, which fail as long as the file exists. */
function refusing(folder: string, file: string): void {
  for (const name of ['iptables-restore', 'ip6tables-restore']) {
    const real = run('sh', '-c', `command -v ${name}`).trim();
    writeFileSync(
      join(folder, name),
      `#!/bin/sh\n[ -e ${file} ] && { echo refused by the test >&2; exit 1; }\nexec ${real} "$@"\n`,
      { mode: 0o755 },
    );
  }
  process.env['PATH'] = `${folder}:${process.env['PATH']}`;
}
