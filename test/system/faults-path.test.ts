/** The packet path under load and over changes: a kill, a full queue, a missing right, another version. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { queueStatuses } from '../../src/netlink/nfqueue-status.js';
import type { Barricata } from '../support/daemon.js';
import { inRedis, isBanned, journaled, redisServers, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { inHost, Lab, type Peer, Rush, SERVER } from '../support/lab.js';
import { type Host, run, waitFor } from '../support/netns.js';

const PORT = 8080;
/** A connection that takes this long lost a packet: the kernel sends the first one again after a second. */
const LOST_MS = 800;
const keep = { args: ['--on-stop', 'keep'] };

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue', 'hping3', 'nmap'))('the packet path', () => {
  let lab: Lab;
  let b: Barricata;
  let attacker: Peer;
  let rushes: Rush[] = [];

  const served = (host: Host) => host.succeeds('curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${SERVER}/`);
  const isAlive = () => waitFor('the worker is alive', () => b.elements('barricata-alive4').size === 2, 6000);
  const ban = async () => {
    b.redis('SET', `barricata:ban:${attacker.address}`, 'x', 'EX', '3600');
    await isBanned(b, attacker.address);
  };
  const ended = async () => {
    await waitFor('it ends', () => !b.running, 15_000);
    return b.log;
  };

  beforeAll(async () => {
    lab = await Lab.open({}, 3);
    attacker = lab.peers[0] as Peer;
  });
  afterEach(async () => {
    for (const rush of rushes) rush.stop();
    rushes = [];
    await lab.renew();
  });
  afterAll(() => lab?.close());

  it('loses no connection that begins 100 ms or more after a kill -9 under all the connections that the machine gives', async () => {
    b = await lab.renew({ filter: { syn: 'off', flood: 'off' } });
    await b.start(keep);
    await isAlive();
    await ban();
    // 20,000 first packets a second, and connections that are watched beside them.
    const flooder = lab.peers[2] as Peer;
    const floods = ['81', '82'].map((port) => flooder.spawn('hping3', ['-q', '-S', '-p', port, '-i', 'u10', SERVER]));
    rushes = [lab.client, lab.peers[1] as Peer].map((host) => new Rush(host, 'x48', PORT, LOST_MS));
    const all = (what: (rush: Rush) => number) => rushes.reduce((sum, rush) => sum + what(rush), 0);
    await waitFor('load', () => all((rush) => rush.done(0)) > 2000, 20_000);
    const [began, arrived] = [Date.now(), received(flooder.near)];
    await waitFor('two seconds of it', () => Date.now() - began > 2000);
    const rate = Math.round(
      ((received(flooder.near) - arrived + all((rush) => rush.done(began))) * 1000) / (Date.now() - began),
    );
    await b.stop('SIGKILL');
    const killed = Date.now();
    await waitFor('three seconds and more', () => Date.now() - killed > 3500);
    for (const flood of floods) flood.kill('SIGKILL');
    const after = all((rush) => rush.done(killed + 100));
    const lost = rushes.flatMap((rush) => rush.odd(killed + 100));
    const atKill = rushes.flatMap((rush) => rush.odd(killed - 100, killed + 100));
    console.log(
      `kill -9 under ${rate} first packets a second: ${lost.length} of ${after} later connections lost a packet, ` +
        `${atKill.length} of those begun around it`,
    );
    expect(rate).toBeGreaterThan(2000);
    expect(after).toBeGreaterThan(1000);
    expect(lost).toEqual([]);
    expect(rushes.flatMap((rush) => rush.odd(began).filter(({ ok }) => !ok))).toEqual([]);
    expect(served(attacker)).toBe(false);
  });

  it.each([
    ['accept', true],
    ['drop', false],
  ] as const)(
    'does with what its full queue does not take as when_overloaded says: %s',
    async (whenOverloaded, passes) => {
      b = await lab.renew({
        queue: { when_overloaded: whenOverloaded },
        filter: { syn: 'off', flood: 'off', scan: 'off' },
      });
      await b.start();
      await isAlive();
      const before = statusOf(b).queue.unfiltered;
      const waiting = () => queueStatuses()[0]?.waiting ?? 0;
      process.kill(b.pid, 'SIGSTOP');
      const flood = attacker.spawn('hping3', ['-q', '-S', '-p', '443', '-i', 'u20', '--rand-source', SERVER]);
      try {
        let longest = 0;
        await waitFor(
          'its queue is full',
          () => {
            // It is overloaded, not gone.
            for (const half of ['0.0.0.0/1', '128.0.0.0/1'])
              run('ipset', 'add', 'barricata-alive4', half, 'timeout', '30', '-exist');
            const full = longest > 4000 && waiting() === longest;
            longest = waiting();
            return full;
          },
          20_000,
          100,
        );
        const { output } = await inHost(lab.client, 'ping', '-c', '3', '-i', '0.05', '-W', '1', SERVER);
        expect(output).toContain(passes ? '3 received' : '0 received');
      } finally {
        flood.kill('SIGKILL');
        process.kill(b.pid, 'SIGCONT');
      }
      await waitFor('it goes on', () => served(lab.client), 10_000, 200);
      await waitFor('a count', () => !passes || statusOf(b).queue.unfiltered - before > 1000, 10_000, 100);
    },
  );

  it('fails closed with when_overloaded: drop: killed, first packets are dropped until it is back or stopped in order', async () => {
    b = await lab.renew({ queue: { when_overloaded: 'drop' } });
    await b.start(keep);
    await isAlive();
    expect(served(lab.client)).toBe(true);
    await b.stop('SIGKILL');
    const killed = Date.now();
    // Longer than the worker counts as alive where overload accepts.
    await waitFor('five seconds', () => Date.now() - killed > 5000);
    expect(served(lab.client)).toBe(false);
    await b.start(keep);
    await waitFor('it is served again', () => served(lab.client), 10_000, 200);
    await b.stop();
    expect(served(lab.client)).toBe(true);
  });

  it('ends with the fix named when it lacks CAP_NET_ADMIN', async () => {
    b = await lab.renew();
    await b.start({ wait: false, through: ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'] });
    const said = await ended();
    expect(said).toMatch(/CAP_NET_ADMIN|run as root|sudo/);
    expect(said).not.toMatch(/^\s+at /m);
    expect(run('ipset', 'list', '-n')).toBe('');
    expect(redisServers(b)).toEqual([]);
  });

  it('is left out, and named, where the kernel has no NFQUEUE; bans hold', async () => {
    b = await lab.renew();
    // The words of iptables on such a kernel.
    const bin = `${b.folder}/bin`;
    mkdirSync(bin);
    for (const name of ['iptables-restore', 'ip6tables-restore', 'iptables-nft-restore', 'ip6tables-nft-restore']) {
      const real = run('sh', '-c', `command -v ${name}`).trim();
      const script = [
        '#!/bin/sh',
        'rules=$(cat)',
        'case "$rules" in *NFQUEUE*)',
        '  echo "Warning: Extension NFQUEUE revision 0 not supported, missing kernel module?" >&2',
        `  echo "${name}: line 3 failed: No such file or directory." >&2`,
        '  exit 4',
        'esac',
        `printf '%s\\n' "$rules" | exec ${real} "$@"`,
      ];
      writeFileSync(`${bin}/${name}`, script.join('\n'));
      chmodSync(`${bin}/${name}`, 0o755);
    }
    await b.start({ wait: false, through: ['env', `PATH=${bin}:${process.env['PATH']}`] });
    await waitFor('the comparison is complete', () => statusOf(b).kernel.complete, 15_000).catch((error) => {
      throw new Error(`${error}\n${b.log}`);
    });
    await ban();
    expect(served(attacker)).toBe(false);
    expect(served(lab.client)).toBe(true);
    expect(run('iptables-save', '-t', 'mangle')).not.toContain('NFQUEUE');
    const { queue, problems } = statusOf(b);
    expect([queue.problem, ...problems].join('\n')).toMatch(/xt_NFQUEUE|NFQUEUE/);
    expect(b.cli('doctor').out).toContain('NFQUEUE');
  });

  it('bans while Redis hangs, and Redis hears of it once when it goes on', async () => {
    b = await lab.renew();
    await b.start();
    await isAlive();
    const [redis] = redisServers(b) as [number];
    const scanner = lab.peers[2] as Peer;
    process.kill(redis, 'SIGSTOP');
    try {
      await inHost(scanner, 'nmap', '-n', '-Pn', '-sS', '--max-retries', '0', '-p', '1-200', SERVER);
      await isBanned(b, scanner.address, 15_000);
      expect(served(scanner)).toBe(false);
      expect(served(lab.client)).toBe(true);
    } finally {
      process.kill(redis, 'SIGCONT');
    }
    await waitFor('Redis has it', () => inRedis(b).includes(scanner.address), 15_000, 100);
    expect(journaled(b, 'ban').get(scanner.address)).toBe(1);
  });

  it('lets no packet of a banned source through while it stops, starts, and starts as another version', async () => {
    b = await lab.renew();
    await b.start(keep);
    await isAlive();
    await ban();
    const mark = ['-s', attacker.address, '-m', 'comment', '--comment', 'leak'];
    run('iptables', '-I', 'INPUT', ...mark);
    const counters = () =>
      run('iptables-save', '-c')
        .split('\n')
        .find((line) => line.includes('leak')) ?? '';
    const arrived = () => received(attacker.near);
    const flood = attacker.spawn('hping3', ['-q', '-1', '-i', 'u500', SERVER]);
    try {
      const first = arrived();
      await b.stop();
      await waitFor('packets without a daemon', () => arrived() - first > 500);
      await b.start(keep);
      await b.stop();
      // What an older version left: smaller sets, and other rules of its own.
      run('ipset', 'create', 'older', 'hash:net', 'family', 'inet', 'timeout', '0', 'maxelem', '65536');
      run('ipset', 'add', 'older', attacker.address, 'timeout', '3000');
      run('ipset', 'swap', 'older', 'barricata4');
      run('ipset', 'destroy', 'older');
      for (const rule of run('iptables-save', '-t', 'mangle')
        .split('\n')
        .filter((line) => line.startsWith('-A BARRICATA')))
        run('iptables', '-t', 'mangle', '-D', ...rule.split(' ').slice(1));
      run('iptables', '-t', 'raw', '-A', 'BARRICATA', '-p', 'udp', '--dport', '9', '-j', 'RETURN');
      await b.start(keep);
      expect(run('ipset', 'list', '-t', 'barricata4')).not.toContain('maxelem 65536');
      expect(run('iptables-save', '-t', 'raw')).not.toContain('--dport 9');
      expect(run('iptables-save', '-t', 'mangle')).toContain('NFQUEUE');
      expect(arrived() - first).toBeGreaterThan(1000);
      expect(counters()).toMatch(/^\[0:0\]/);
      expect(served(lab.client)).toBe(true);
    } finally {
      flood.kill('SIGKILL');
      run('iptables', '-D', 'INPUT', ...mark);
    }
  });
});

/** Packets that an interface of this namespace has received. */
function received(device: string): number {
  const line = run('cat', '/proc/net/dev')
    .split('\n')
    .find((text) => text.trim().startsWith(`${device}:`));
  return Number(line?.split(':')[1]?.trim().split(/\s+/)[1]);
}
