/** Eve files with every kind of line that must not hurt, and evidence that is read twice. */
import { appendFileSync, closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { alertLine, Barricata } from '../support/daemon.js';
import { inKernel, inRedis, isBanned, isNotBanned, journaled, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, run, waitFor } from '../support/netns.js';

const OWN = '198.51.100.10';

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('what is read from eve files', () => {
  let b: Barricata;

  beforeAll(() => {
    enterPrivateNetns();
    run('ip', 'address', 'add', `${OWN}/32`, 'dev', 'lo');
  });
  beforeEach(() => {
    b = new Barricata();
    writeFileSync(b.eve, '');
  });
  afterEach(() => b.remove());
  afterAll(() => run('ip', 'address', 'delete', `${OWN}/32`, 'dev', 'lo'));

  const without = (key: string, address = '203.0.113.99') => {
    const { [key]: _, ...rest } = JSON.parse(alertLine(address));
    return `${JSON.stringify(rest)}\n`;
  };

  it('counts bad lines by cause, acts on none of them, and uses the next good one', async () => {
    await b.start();
    const good = alertLine('203.0.113.99');
    const bad: readonly (readonly [cause: string, line: string | Buffer])[] = [
      ['truncated', `${good.slice(0, good.length / 2)}\n`],
      ['not_an_object', 'null\n'],
      ['not_an_object', '[]\n'],
      ['not_an_object', `[${good.trim()}]\n`],
      ['not_an_object', '"an alert"\n'],
      ['not_json', Buffer.from([0xff, 0xfe, 0xc3, 0x28, 0x0a])],
      ['not_json', '{"event_type":"alert","src_ip":}\n'],
      ['not_an_alert', '{"event_type":"alert","src_ip":"203.0.113.99"}\n'],
      ['no_addresses', without('src_ip')],
      ['no_addresses', alertLine('203.0.113.99', { src_ip: null })],
      ['no_timestamp', without('timestamp')],
      ['no_timestamp', alertLine('203.0.113.99', { timestamp: '2026-11-22T16:25:51' })],
      [
        'no_sid',
        alertLine('203.0.113.99', { alert: { signature: 'x', category: 'Web Application Attack', severity: 1 } }),
      ],
      ['bad_address', alertLine('203.0.113.99', { src_ip: '1.2.3.4; rm -rf /' })],
      ['bad_address', alertLine('203.0.113.99', { src_ip: '42.0.0.0/8' })],
      ['bad_address', alertLine('203.0.113.99', { src_ip: ['203.0.113.99'] })],
      ['bad_address', alertLine('203.0.113.99', { src_ip: 3405804643 })],
    ];
    const expected: Record<string, number> = {};
    for (const [cause, line] of bad) {
      expected[cause] = (expected[cause] ?? 0) + 1;
      appendFileSync(b.eve, line);
    }
    // Usable lines that must ban nobody: no ports, no proof, own and special addresses.
    appendFileSync(b.eve, alertLine(OWN));
    appendFileSync(b.eve, alertLine('127.0.0.1'));
    appendFileSync(b.eve, alertLine('8.8.8.8'));
    appendFileSync(b.eve, alertLine('::ffff:198.51.100.10'));
    appendFileSync(b.eve, alertLine('203.0.113.98', { src_port: undefined, dest_port: undefined, flow: undefined }));
    appendFileSync(b.eve, '\n   \r\n');
    await isNotBanned(b, '203.0.113.99');
    appendFileSync(b.eve, alertLine('203.0.113.1'));
    await isBanned(b, '203.0.113.1');
    expect(inKernel(b)).toEqual(['203.0.113.1']);
    expect(inRedis(b)).toEqual(['203.0.113.1']);
    expect(statusOf(b).eve[0]?.unusable).toEqual(expected);
    // Own addresses as source are our own hosts, to be looked at (flag); without a flow nothing is proven (note).
    expect(statusOf(b).decisions).toEqual({ ban: 1, flag: 2, note: 1, refused: 2 });
    const doctor = b.cli('doctor');
    expect(doctor.out).toContain(`${expected['bad_address']} bad_address`);
  });

  it('passes over a line of 20 MB and one in a foreign encoding, and reads on', async () => {
    await b.start();
    const fd = openSync(b.eve, 'a');
    const start = alertLine('203.0.113.99').trimEnd().slice(0, -1);
    writeSync(fd, `${start},"payload":"`);
    for (let i = 0; i < 20; i++) writeSync(fd, 'A'.repeat(1 << 20));
    writeSync(fd, '"}\n');
    closeSync(fd);
    // Latin-1 in a text of no importance: the line is used all the same.
    const line = Buffer.from(alertLine('203.0.113.2', { note: 'caf\u00e9' }), 'latin1');
    expect(line.includes(0xe9)).toBe(true);
    appendFileSync(b.eve, line);
    appendFileSync(b.eve, alertLine('203.0.113.3'));
    await isBanned(b, '203.0.113.3');
    expect(inKernel(b)).toEqual(['203.0.113.2', '203.0.113.3']);
    expect(statusOf(b).eve[0]?.unusable).toEqual({ too_long: 1 });
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${b.pid}/status`, 'utf8'))?.[1]);
    expect(peak).toBeLessThan(200_000);
  });

  it('takes an IPv4-mapped address for the IPv4 address that it is', async () => {
    await b.start();
    appendFileSync(
      b.eve,
      alertLine('203.0.113.4', {
        src_ip: '0000:0000:0000:0000:0000:ffff:cb00:7104',
        flow: { ...JSON.parse(alertLine('::ffff:203.0.113.4')).flow, dest_ip: '::ffff:192.168.50.10' },
        dest_ip: '::ffff:192.168.50.10',
      }),
    );
    await isBanned(b, '203.0.113.4');
    expect(b.redis('EXISTS', 'barricata:ban:203.0.113.4')).toBe('1');
    expect(b.elements('barricata6').size).toBe(0);
  });

  it('does not ban again for what it has read before an unban, and does for a new proven flow', async () => {
    await b.start({ args: ['--on-stop', 'keep'] });
    const address = '203.0.113.5';
    const evidence = alertLine(address);
    appendFileSync(b.eve, evidence);
    await isBanned(b, address);
    expect(b.cli('unban', address, '--reason', 'customer called').code).toBe(0);
    expect(inKernel(b)).toEqual([]);

    // The same content once more, with no position to tell that it was read.
    await b.stop('SIGKILL');
    b.redis('DEL', 'barricata:pos:testhost');
    await b.start({ args: ['--on-stop', 'keep'] });
    await waitFor('the file is read again', () => statusOf(b).eve[0]?.alerts === 1, 5000);
    // A late alert of the old flow, and one of a new flow without proof.
    const { flow } = JSON.parse(evidence);
    appendFileSync(b.eve, alertLine(address, { flow }));
    const now = new Date(Date.now() + 1).toISOString().replace('Z', '000+0000');
    appendFileSync(b.eve, alertLine(address, { flow: { ...flow, start: now, pkts_toclient: 0 } }));
    appendFileSync(b.eve, alertLine('203.0.113.6'));
    await isBanned(b, '203.0.113.6');
    expect(inKernel(b)).toEqual(['203.0.113.6']);
    expect(inRedis(b)).toEqual(['203.0.113.6']);

    appendFileSync(b.eve, alertLine(address));
    await isBanned(b, address);
    expect(journaled(b, 'ban').get(address)).toBe(2);
  });
});
