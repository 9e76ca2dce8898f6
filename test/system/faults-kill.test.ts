/** A daemon that is killed: no alert is lost or acted on twice, and no ban is lifted while nobody runs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { alertLine, Barricata } from '../support/daemon.js';
import { inKernel, inRedis, isBanned, journaled, redisServers, statusOf } from '../support/faults.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, Host, run, waitFor } from '../support/netns.js';

const ATTACKER = '203.0.113.66';
const SERVER = '192.168.50.10';
const ALERTS = 1500;
const KILLS = 8;
/** Never to be banned: own, home, loopback, resolver, never_ban. */
const PROTECTED = [SERVER, '192.168.50.77', '127.0.0.1', '8.8.8.8', '198.51.100.200'];
const sensor = fileURLToPath(new URL('../support/attackers.mjs', import.meta.url));

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('a daemon that is killed', () => {
  let b: Barricata;

  beforeAll(() => {
    enterPrivateNetns();
    run('ip', 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
  });
  beforeEach(() => {
    b = new Barricata({
      limits: { new_bans_per_minute: 100_000 },
      never_ban: ['home', 'this_machine', 'infrastructure', { address: '198.51.100.200', reason: 'partner' }],
    });
    writeFileSync(b.eve, '');
  });
  afterEach(async () => {
    await b.stop().catch(() => undefined);
    b.cli('cleanup');
    await b.remove();
  });

  const keep = { args: ['--on-stop', 'keep'] };

  it('bans every alerted address once and no protected one, through kills and rotations', async () => {
    const seed = Number(process.env['BARRICATA_SEED'] ?? Date.now() % 1_000_000);
    console.log(`BARRICATA_SEED=${seed}`);
    const random = randomFrom(seed);
    // What was rotated away before the very first start is not read; everything after that is.
    await b.start(keep);
    await waitFor('it has stored its place', () => b.redis('HGET', 'barricata:pos:testhost', b.eve) !== '', 3000);
    const writer = spawn(process.execPath, [sensor, b.eve, String(ALERTS), String(seed), ...PROTECTED], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    writer.stdin?.end(alertLine('0.0.0.0'));
    let rotations = '';
    writer.stdout?.on('data', (text: Buffer) => {
      rotations += text.toString();
    });
    let sampled = 0;
    const sample = () => {
      if (!run('ipset', 'list', '-n').includes('barricata4')) return;
      const held = inKernel(b);
      for (const address of PROTECTED) expect(held).not.toContain(address);
      sampled += 1;
    };
    const lifted = new Set<string>();
    const sequences: number[] = [];
    const position = () => Number(/^(\d+) /.exec(b.redis('HGET', 'barricata:pos:testhost', b.eve))?.[1] ?? 0);
    for (let kill = 0; kill < KILLS; kill++) {
      if (kill > 0) await b.start({ wait: false, ...keep });
      // Every other kill comes at any moment of the start, the rest when alerts have been stored again.
      if (kill % 2 === 1) await waitFor('alerts are stored', () => position() > (sequences.at(-1) ?? 0), 15_000, 30);
      const until = performance.now() + random() * (kill % 2 === 1 ? 400 : 1600);
      while (performance.now() < until) {
        sample();
        await pause(30);
      }
      await b.stop('SIGKILL');
      sample();
      sequences.push(position());
      expect(redisServers(b)).toHaveLength(1);
      if (kill % 2 === 0) {
        // Every trace of the bans so far is taken away, so that a line that is read twice bans a second time.
        for (const address of inRedis(b)) {
          lifted.add(address);
          b.redis('DEL', `barricata:ban:${address}`);
        }
        run('ipset', 'flush', 'barricata4');
      }
      await pause(random() * 400);
    }
    await b.start(keep);
    await waitFor('the sensor has written all', () => rotations !== '', 30_000, 100);
    const expected = Array.from({ length: ALERTS }, (_, n) => `198.18.${n >> 8}.${n & 255}`).sort();
    const left = expected.filter((address) => !lifted.has(address));
    await waitFor('every address is banned', () => inRedis(b).length >= left.length, 15_000, 100).catch(
      () => undefined,
    );
    sample();
    expect(inRedis(b)).toEqual(left);
    expect(inKernel(b)).toEqual(left);
    const bans = journaled(b, 'ban');
    expect([...bans.keys()].sort()).toEqual(expected);
    expect([...bans].filter(([, times]) => times !== 1)).toEqual([]);
    expect(sequences).toEqual([...sequences].sort((x, y) => x - y));
    expect(new Set(sequences).size).toBeGreaterThan(1);
    expect(lifted.size).toBeGreaterThan(0);
    expect(Number(rotations)).toBeGreaterThan(4);
    expect(sampled).toBeGreaterThan(KILLS * 3);
    expect(statusOf(b).blocklist).toMatchObject({ held: 0, offline: 0, entries: left.length });
    expect(b.redis('KEYS', 'barricata:pardon:*')).toBe('');
  });

  it('leaves bans enforced and new connections free, and the next daemon takes over without a gap', async () => {
    const attacker = new Host('attacker', [`${ATTACKER}/24`], ['203.0.113.1/24']);
    const client = new Host('client', ['198.51.100.7/24'], ['198.51.100.1/24']);
    attacker.run('ip', 'route', 'add', 'default', 'via', '203.0.113.1');
    client.run('ip', 'route', 'add', 'default', 'via', '198.51.100.1');
    let web: ChildProcess | undefined;
    const served = (host: Host) =>
      host.succeeds('curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${SERVER}/`);
    try {
      const script = 'require("http").createServer((q, r) => r.end("hi")).listen(80, "::")';
      web = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
      await b.start(keep);
      await waitFor('the web server answers', () => served(client));
      expect(served(attacker)).toBe(true);
      expect(b.cli('ban', ATTACKER, '--for', '1h', '--reason', 'x').code).toBe(0);
      const [redis] = redisServers(b);
      const created = () => run('ipset', 'list', '-t', 'barricata4');

      // One packet in 20 ms from here to the end: the kill, the time without a daemon, the next start.
      const echoes = attacker.spawn('ping', ['-n', '-i', '0.02', SERVER], { stdio: ['ignore', 'pipe', 'ignore'] });
      let answered = '';
      echoes.stdout?.on('data', (text: Buffer) => {
        answered += text.toString();
      });
      await waitFor('the worker is alive', () => b.elements('barricata-alive4').size === 2, 5000);
      const killed = performance.now();
      await b.stop('SIGKILL');
      await waitFor('a new connection passes', () => served(client), 4000);
      await waitFor('the queue rules match no more', () => b.elements('barricata-alive4').size === 0, 4000);
      expect(performance.now() - killed).toBeLessThan(4500);
      expect(b.elements('barricata-alive6').size).toBe(0);
      expect(served(client)).toBe(true);
      expect(served(attacker)).toBe(false);
      expect(inKernel(b)).toContain(ATTACKER);
      expect(created()).toContain('References: 2');

      await b.start(keep);
      expect(redisServers(b)).toEqual([redis]);
      await waitFor('it says so', () => b.log.includes('adopted the redis-server'), 2000);
      expect(served(attacker)).toBe(false);
      expect(served(client)).toBe(true);
      echoes.kill('SIGINT');
      await waitFor('ping ends', () => answered.includes('packets transmitted'), 3000);
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(answered) ?? [];
      expect(Number(sent)).toBeGreaterThan(100);
      expect(received).toBe('0');
      await isBanned(b, ATTACKER);
      await b.stop();
      expect(redisServers(b)).toEqual([]);
      expect(served(attacker)).toBe(false);
      expect(served(client)).toBe(true);
    } finally {
      web?.kill('SIGKILL');
      attacker.remove();
      client.remove();
    }
  });
});

/** Mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
