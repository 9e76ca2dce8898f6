/** The main job on the real thing: Suricata, Redis, the kernel, attackers and innocents. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { alertLine, Barricata } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';
import { Suricata } from '../support/suricata.js';

const ATTACKER = '203.0.113.66';
const CLIENT = '198.51.100.7';
const SERVER = '192.168.50.10';

interface Entry {
  readonly at: string;
  readonly act: string;
  readonly address: string;
  readonly by: string;
  readonly from: string;
  readonly host: string;
  readonly why: string;
  readonly before: string;
  readonly after: string;
}

/** The whole stream, oldest first; redis-cli gives the pairs of names and values in order. */
function journalOf(barricata: Barricata): Entry[] {
  const stream = JSON.parse(barricata.redis('--json', 'XRANGE', 'barricata:journal', '-', '+')) as [string, string[]][];
  return stream.map(([, fields]) => {
    const pairs = Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i], fields[2 * i + 1]]);
    return Object.fromEntries(pairs) as Entry;
  });
}

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('the main job', () => {
  let barricata: Barricata;
  let attacker: Host;
  let client: Host;
  let web: ReturnType<Host['spawn']> | undefined;

  const served = (host: Host, path = '/') =>
    host.succeeds('curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${SERVER}${path}`);

  beforeAll(async () => {
    enterPrivateNetns();
    run('ip', 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
    run('ip', 'address', 'add', '2001:db8:50::10/128', 'dev', 'lo');
    attacker = new Host(
      'attacker',
      [`${ATTACKER}/24`, '203.0.113.77/24', '203.0.113.88/24', '2001:db8:66::66/64'],
      ['203.0.113.1/24', '2001:db8:66::1/64'],
    );
    client = new Host('client', [`${CLIENT}/24`], ['198.51.100.1/24']);
    attacker.run('ip', 'route', 'add', 'default', 'via', '203.0.113.1');
    attacker.run('ip', '-6', 'route', 'add', 'default', 'via', '2001:db8:66::1');
    client.run('ip', 'route', 'add', 'default', 'via', '198.51.100.1');
    const { spawn } = await import('node:child_process');
    web = spawn(process.execPath, ['-e', 'require("http").createServer((q, r) => r.end("hi")).listen(80, "::")'], {
      stdio: 'ignore',
    });
    await waitFor('the web server answers', () => served(client));
    barricata = new Barricata();
    process.env['SUDO_USER'] = 'tester';
    writeFileSync(barricata.eve, '');
    await barricata.start();
  });

  afterAll(async () => {
    web?.kill('SIGKILL');
    await barricata?.remove();
    attacker?.remove();
    client?.remove();
  });

  it('drops the packets of an address for which an alert line arrives, and serves the innocent', async () => {
    expect(served(attacker)).toBe(true);
    appendFileSync(barricata.eve, alertLine(ATTACKER));
    await waitFor('the element is in the kernel', () => barricata.elements().has(ATTACKER), 2000);
    expect(served(attacker)).toBe(false);
    expect(served(client)).toBe(true);
    const value = JSON.parse(barricata.redis('GET', `barricata:ban:${ATTACKER}`));
    expect(value).toMatchObject({ source: 'suricata', sid: 9000001, proof: 'app', role: 'inbound', scope: 'fleet' });
    expect(Number(barricata.redis('TTL', `barricata:ban:${ATTACKER}`))).toBeGreaterThan(3500);
  });

  it('lists the ban with its counter, says why, and lifts it', async () => {
    const [entry] = barricata.cli('list', '-o', 'json').json<Record<string, unknown>[]>();
    expect(entry).toMatchObject({ address: ATTACKER, source: 'suricata', sid: 9000001, scope: 'fleet', kernel: true });
    expect(entry?.['packets']).toBeGreaterThan(0);
    const why = barricata.cli('why', ATTACKER, '-o', 'json');
    expect(why.code).toBe(0);
    expect(why.json<{ steps: { check: string }[] }>().steps.map((s) => s.check)).toContain('attribution');
    expect(barricata.cli('unban', ATTACKER, '--reason', 'test').code).toBe(0);
    await waitFor('the attacker is served', () => served(attacker), 3000);
    expect(barricata.cli('why', ATTACKER).code).toBe(1);
    expect(barricata.redis('EXISTS', `barricata:pardon:${ATTACKER}`)).toBe('1');
  });

  it('drops what redis-cli bans: an address, a network, IPv6', async () => {
    barricata.redis('SET', 'barricata:ban:203.0.113.64/26', 'INC-1 scanning', 'EX', '600');
    await waitFor('the network is blocked', () => !served(attacker), 2000);
    barricata.redis('DEL', 'barricata:ban:203.0.113.64/26');
    await waitFor('the network is served', () => served(attacker), 3000);
    const ping6 = () => attacker.succeeds('ping', '-6', '-c', '1', '-W', '1', '2001:db8:50::10');
    expect(ping6()).toBe(true);
    barricata.redis('SET', 'barricata:ban:2001:0DB8:0066:0000:0000:0000:0000:0066', 'INC-2', 'EX', '600');
    await waitFor('the IPv6 address is blocked', () => !ping6(), 3000);
    barricata.redis('DEL', 'barricata:ban:2001:0DB8:0066:0000:0000:0000:0000:0066');
    await waitFor('the IPv6 address is served', ping6, 4000);
  });

  it('refuses to ban its own address, home and special addresses, whoever asks, and says why', async () => {
    for (const [address, why] of [
      [SERVER, /home|own address|this machine/],
      ['203.0.113.1', /own address/],
      ['192.168.50.0/24', /home/],
      ['203.0.113.0/24', /contains own address 203\.0\.113\.1/],
      ['127.0.0.1', /loopback|127\.0\.0\.0\/8/],
      ['0.0.0.0/1', /wide|special|contains/],
      ['8.8.8.8', /infrastructure|resolver/],
      ['foo', /not an IPv4/],
      ['203.0.113.9/24', /203\.0\.113\.0\/24/],
    ] as const) {
      barricata.redis('SET', `barricata:ban:${address}`, 'by hand', 'EX', '60');
      const detail = await waitFor(
        `a refusal of ${address}`,
        () => barricata.redis('GET', `barricata:refused:${address}`),
        3000,
      );
      expect(detail).toMatch(why);
      barricata.redis('DEL', `barricata:ban:${address}`);
    }
    expect([...barricata.elements().keys()]).toEqual([]);
    expect(barricata.cli('ban', SERVER, '--for', '1h', '--reason', 'test').code).toBe(3);
  });

  it('allow beats ban at once', async () => {
    barricata.redis('SET', `barricata:ban:${ATTACKER}`, 'x', 'EX', '600');
    await waitFor('the attacker is blocked', () => !served(attacker), 2000);
    expect(barricata.cli('allow', ATTACKER, '--for', '1h', '--reason', 'test').code).toBe(0);
    await waitFor('the attacker is served', () => served(attacker), 2000);
    expect(barricata.cli('allow', 'remove', ATTACKER).code).toBe(0);
    await waitFor('the attacker is blocked again', () => !served(attacker), 3000);
    barricata.redis('DEL', `barricata:ban:${ATTACKER}`);
    await waitFor('the attacker is served', () => served(attacker), 3000);
  });

  it('heals a flushed set, a deleted element and removed rules', async () => {
    barricata.redis('SET', `barricata:ban:${ATTACKER}`, 'x', 'EX', '600');
    await waitFor('the attacker is blocked', () => !served(attacker), 2000);
    run('ipset', 'flush', 'barricata4');
    await waitFor('the set is healed', () => barricata.elements().has(ATTACKER), 4000);
    run('iptables', '-t', 'raw', '-F');
    expect(served(attacker)).toBe(true);
    await waitFor('the rules are healed', () => !served(attacker), 6000);
    run('iptables', '-t', 'raw', '-I', 'PREROUTING', '-j', 'ACCEPT');
    await waitFor('the jump is first again', () => !served(attacker), 6000);
    run('iptables', '-t', 'raw', '-D', 'PREROUTING', '-j', 'ACCEPT');
    barricata.redis('DEL', `barricata:ban:${ATTACKER}`);
    await waitFor('the attacker is served', () => served(attacker), 3000);
    expect(barricata.cli('status', '-o', 'json').json<{ kernel: { drift: number } }>().kernel.drift).toBe(0);
  });

  it('bans a port scanner on this host only, for ten minutes at most', async () => {
    attacker.run(
      'nmap',
      '-n',
      '-Pn',
      '-sS',
      '-S',
      '203.0.113.88',
      '-e',
      'eth0',
      '-p',
      '1-200',
      '--max-retries',
      '0',
      SERVER,
    );
    await waitFor('the scanner is in the kernel', () => barricata.elements().has('203.0.113.88'), 3000);
    const ttl = Number(barricata.redis('TTL', 'barricata:local:testhost:203.0.113.88'));
    expect(ttl).toBeGreaterThan(500);
    expect(ttl).toBeLessThanOrEqual(600);
    expect(barricata.redis('EXISTS', 'barricata:ban:203.0.113.88')).toBe('0');
  });

  it('obeys the modes: observe writes would, off lifts every drop, enforce brings them back', async () => {
    expect(barricata.cli('mode', 'observe', '--reason', 'test').code).toBe(0);
    appendFileSync(barricata.eve, alertLine('203.0.113.77'));
    await waitFor('a would key', () => barricata.redis('EXISTS', 'barricata:would:203.0.113.77') === '1', 3000);
    expect(barricata.elements().has('203.0.113.77')).toBe(false);
    barricata.redis('SET', `barricata:ban:${ATTACKER}`, 'by hand', 'EX', '600');
    await waitFor('a manual ban is enforced', () => !served(attacker), 2000);
    expect(barricata.cli('mode', 'off', '--reason', 'test').code).toBe(0);
    await waitFor('every drop is lifted', () => served(attacker), 2000);
    expect(barricata.redis('EXISTS', `barricata:ban:${ATTACKER}`)).toBe('1');
    expect(barricata.cli('mode', 'enforce', '--reason', 'test').code).toBe(0);
    await waitFor('the ban is back', () => !served(attacker), 2000);
    barricata.redis('DEL', `barricata:ban:${ATTACKER}`);
    await waitFor('the attacker is served', () => served(attacker), 3000);
  });

  it('journals what was done, by whom, from where, with the whole value before and after', () => {
    const journal = journalOf(barricata);
    const about = (act: string, address: string) => journal.filter((e) => e.act === act && e.address === address);
    for (const entry of journal) {
      expect(Number.isNaN(Date.parse(entry.at)), JSON.stringify(entry)).toBe(false);
      expect(['cli', 'redis', 'daemon']).toContain(entry.from);
    }
    const [automatic] = about('ban', ATTACKER);
    expect(automatic).toMatchObject({ by: '', from: 'daemon', host: 'testhost', before: '' });
    expect(JSON.parse(automatic?.after ?? '')).toMatchObject({ source: 'suricata', sid: 9000001, proof: 'app' });
    const [lifted] = about('unban', ATTACKER);
    expect(lifted).toMatchObject({ by: 'tester', from: 'cli', host: 'testhost', why: 'test', after: '' });
    expect(JSON.parse(lifted?.before ?? '')).toMatchObject({ source: 'suricata', sid: 9000001 });
    const [typed] = about('ban', '203.0.113.64/26');
    expect(typed).toMatchObject({ by: '', from: 'redis', before: '' });
    expect(typed?.after).toContain('INC-1 scanning');
    const [deleted] = about('unban', '203.0.113.64/26');
    expect(deleted).toMatchObject({ by: '', from: 'redis', after: '' });
    expect(deleted?.before).toContain('INC-1 scanning');
    const [allowed] = about('allow', ATTACKER);
    expect(allowed).toMatchObject({ by: 'tester', from: 'cli', why: 'test', before: '' });
    const [disallowed] = about('disallow', ATTACKER);
    expect(disallowed).toMatchObject({ by: 'tester', from: 'cli', before: allowed?.after, after: '' });
    const [scanner] = about('ban', '203.0.113.88');
    expect(scanner).toMatchObject({ by: '', from: 'daemon', before: '' });
    expect(JSON.parse(scanner?.after ?? '')).toMatchObject({ source: 'filter', scope: 'host' });
    expect(about('mode', 'fleet').map(({ by, from, before, after }) => [by, from, before, after])).toEqual([
      ['tester', 'cli', '', 'observe'],
      ['tester', 'cli', 'observe', 'off'],
      ['tester', 'cli', 'off', 'enforce'],
    ]);
  });

  describe.skipIf(!hasFeatures('suricata'))('with a real Suricata', () => {
    it('blocks the attacker whose request Suricata alerts on', async () => {
      const suricata = new Suricata(
        barricata.folder,
        [attacker.near, client.near],
        'alert http any any -> any any (msg:"TEST /etc/passwd"; flow:established,to_server; http.uri; content:"/etc/passwd"; classtype:web-application-attack; sid:9000002; rev:1;)\n',
      );
      await suricata.start();
      barricata.redis('DEL', `barricata:pardon:${ATTACKER}`);
      try {
        served(client, '/innocent');
        served(attacker, '/cgi?f=/etc/passwd');
        await waitFor('the attacker is in the kernel', () => barricata.elements().has(ATTACKER), 10_000);
        expect(served(attacker)).toBe(false);
        expect(served(client)).toBe(true);
      } finally {
        await suricata.stop();
      }
      const status = barricata.cli('status', '-o', 'json').json<{ eve: { alerts: number }[] }>();
      expect(status.eve[0]?.alerts).toBeGreaterThan(0);
    });
  });
});
