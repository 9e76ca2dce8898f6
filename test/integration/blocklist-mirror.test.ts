import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type EpochMs, FOREVER, systemClock } from '../../src/base/clock.js';
import { createLog } from '../../src/base/log.js';
import { RedisConnection } from '../../src/blocklist/connection.js';
import type { EditSink } from '../../src/blocklist/intake.js';
import type { KernelEntry } from '../../src/blocklist/kernel-memory.js';
import { Keys } from '../../src/blocklist/keys.js';
import { Mirror } from '../../src/blocklist/mirror.js';
import type { EffectiveMode } from '../../src/blocklist/mode.js';
import type { ListName } from '../../src/enforcement/set-backend.js';
import { hasFeatures } from '../support/feature.js';
import { waitFor } from '../support/netns.js';
import { TestRedis } from '../support/redis.js';

const HOUR = 3_600_000;

describe.skipIf(!hasFeatures('redis-server'))('the mirror', () => {
  let redis: TestRedis;
  let connection: RedisConnection;
  let mirror: Mirror;
  let changes: string[];
  let modes: EffectiveMode[];
  let unbanned: string[];
  let kernel: KernelEntry[];
  let onChange: () => void;

  async function startMirror(): Promise<void> {
    connection = new RedisConnection(redis.url);
    const edits: EditSink = {
      written() {},
      unbanned: (losses) => unbanned.push(...losses.map(({ id }) => id)),
      held() {},
    };
    mirror = new Mirror({
      connection,
      url: redis.url,
      keys: new Keys('barricata', 'h1'),
      clock: systemClock,
      log: createLog('silent'),
      onChange: (changed) => {
        changes.push(...(changed === 'all' ? ['all'] : [...changed.texts].map((t) => `${changed.list} ${t}`)));
        onChange();
      },
      onMode: (mode) => modes.push(mode),
      edits,
      modeFile: join(redis.dir, 'mode.json'),
      kernelAtStart: () => kernel,
    });
    await connection.start();
    await mirror.start();
  }
  /** Writes by a connection of its own. */
  async function fill(lines: (string | number)[][]): Promise<void> {
    const own = new RedisConnection(redis.url);
    await own.start();
    await own.ready();
    await own.pipeline(lines);
    await own.stop();
  }
  async function stopMirror(): Promise<void> {
    await mirror.stop();
    await connection.stop();
  }
  const armed = () => waitFor('the first comparison', () => mirror.complete && mirror.status().tracking);

  beforeAll(async () => {
    redis = await new TestRedis().start();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    redis.cli('FLUSHALL');
    [changes, modes, unbanned, kernel] = [[], [], [], []];
    onChange = () => {};
    rmSync(join(redis.dir, 'mode.json'), { force: true });
    await startMirror();
    await armed();
  });
  afterEach(stopMirror);

  it('says of a key of another type that was there before the start why it is not enforced', async () => {
    await stopMirror();
    await fill([
      ['LPUSH', 'barricata:ban:203.0.113.7', 'not an entry'],
      ['SET', 'barricata:ban:203.0.113.8', 'an entry'],
    ]);
    await startMirror();
    await armed();
    expect([...mirror.entries('ban')].map(([text]) => text)).toEqual(['203.0.113.8']);
    await waitFor('the refusal', () => redis.cli('GET', 'barricata:refused:203.0.113.7').includes('list'), 15_000);
  });

  const left = (text: string, list: ListName = 'ban') => {
    const until = mirror.get(list, text);
    return until === undefined ? -2 : until === FOREVER ? -1 : Math.round((until - Date.now()) / 1000);
  };
  const becomes = (text: string, seconds: number, list: ListName = 'ban') =>
    waitFor(
      `${list} ${text} to last ${seconds} s`,
      () => Math.abs(left(text, list) - seconds) <= 1 && (seconds > 0 || left(text, list) === seconds),
      3000,
      2,
    );

  it('follows every command that a person may type', async () => {
    const key = 'barricata:ban:203.0.113.9';
    redis.cli('SET', key, 'x');
    await becomes('203.0.113.9', -1);
    redis.cli('SET', key, 'x', 'EX', '600');
    await becomes('203.0.113.9', 600);
    redis.cli('SET', key, 'y', 'KEEPTTL');
    redis.cli('EXPIRE', key, '7200');
    await becomes('203.0.113.9', 7200);
    redis.cli('EXPIREAT', key, String(Math.round(Date.now() / 1000) + 300));
    await becomes('203.0.113.9', 300);
    redis.cli('PERSIST', key);
    await becomes('203.0.113.9', -1);
    redis.cli('RENAME', key, 'barricata:ban:203.0.113.10');
    await becomes('203.0.113.9', -2);
    await becomes('203.0.113.10', -1);
    redis.cli('UNLINK', 'barricata:ban:203.0.113.10');
    await becomes('203.0.113.10', -2);
    redis.cli(
      'MSET',
      'barricata:ban:198.51.100.0/24',
      'a',
      'barricata:ban:2001:db8:bad::/48',
      'b',
      'barricata:allow:192.0.2.1',
      'c',
    );
    await becomes('198.51.100.0/24', -1);
    await becomes('2001:db8:bad::/48', -1);
    await becomes('192.0.2.1', -1, 'allow');
    redis.cli('EXPIREAT', 'barricata:ban:198.51.100.0/24', '1');
    await becomes('198.51.100.0/24', -2);
    redis.cli('SET', 'barricata:ban:198.51.100.7', 'short', 'PX', '1500');
    await becomes('198.51.100.7', 2);
    await becomes('198.51.100.7', -2);
    expect(unbanned).toEqual(['b203.0.113.9', 'b203.0.113.10', 'b198.51.100.0/24']);
  });

  it('takes the later end of all spellings, and DEL of one does not unban the other', async () => {
    redis.cli('SET', 'barricata:ban:2001:db8::1', 'x', 'EX', '100');
    redis.cli('SET', 'barricata:ban:2001:0DB8:0000::0001', 'x', 'EX', '900');
    redis.cli('SET', 'barricata:ban:::ffff:192.0.2.7', 'x', 'EX', '50');
    redis.cli('SET', 'barricata:ban:192.0.2.7/32', 'x', 'EX', '70');
    redis.cli('SET', 'barricata:local:h1:192.0.2.7', 'x', 'EX', '80');
    redis.cli('SET', 'barricata:local:h2:192.0.2.7', 'x', 'EX', '5000');
    await becomes('2001:db8::1', 900);
    await becomes('192.0.2.7', 80);
    redis.cli('DEL', 'barricata:ban:2001:0DB8:0000::0001', 'barricata:local:h1:192.0.2.7');
    await becomes('2001:db8::1', 100);
    await becomes('192.0.2.7', 70);
    expect([...mirror.entries('ban')].map(([text]) => text).sort()).toEqual(['192.0.2.7', '2001:db8::1']);
  });

  it('says why a key is not enforced, once, and takes it back when the key is fine or gone', async () => {
    redis.cli('SET', 'barricata:ban:foo', 'x');
    redis.cli('SET', 'barricata:ban:203.0.113.9/24', 'x');
    redis.cli('RPUSH', 'barricata:ban:203.0.113.8', 'x');
    redis.cli('SET', 'barricata:allow:0.0.0.0/7', 'x');
    redis.cli('SET', `barricata:ban:${'é'.repeat(150)}`, 'x');
    const said = (suffix: string) => redis.cli('GET', `barricata:refused:${suffix}`);
    await waitFor('all refusals', () => mirror.status().refused === 5);
    await waitFor('host bits', () => said('203.0.113.9/24').includes('203.0.113.0/24'));
    expect(said('foo')).toMatch(/not an IPv4 or IPv6 address/);
    expect(said('203.0.113.8')).toMatch(/list/);
    expect(said('0.0.0.0/7')).toMatch(/wider than \/8/);
    expect(said('é'.repeat(100))).toMatch(/not an IPv4/);
    expect(Number(redis.cli('TTL', 'barricata:refused:foo'))).toBeGreaterThan(3500);
    redis.cli('EXPIRE', 'barricata:refused:foo', '100');
    mirror.walk();
    const { walks } = mirror.status();
    await waitFor('a walk', () => mirror.status().walks > walks);
    expect(Number(redis.cli('TTL', 'barricata:refused:foo'))).toBeLessThanOrEqual(100);
    redis.cli('DEL', 'barricata:ban:foo', 'barricata:ban:203.0.113.8');
    redis.cli('SET', 'barricata:ban:203.0.113.8', 'now right');
    await waitFor('it to be taken back', () => said('foo') === '' && said('203.0.113.8') === '');
    await becomes('203.0.113.8', -1);
    expect([...mirror.entries('ban')]).toHaveLength(1);
  });

  it('reports a protection refusal for the spellings that are in Redis, and only for those', async () => {
    redis.cli('SET', 'barricata:ban:010.0.0.1', 'x');
    redis.cli('SET', 'barricata:ban:10.0.0.1/32', 'x');
    await becomes('10.0.0.1', -1);
    mirror.reportRefused('10.0.0.1', { cause: 'home', detail: 'lies inside home network 10.0.0.0/8' });
    mirror.reportRefused('10.0.0.2', { cause: 'home', detail: 'lies inside home network 10.0.0.0/8' });
    await waitFor('the reason', () => redis.cli('GET', 'barricata:refused:10.0.0.1/32').includes('home network'));
    expect(redis.cli('EXISTS', 'barricata:refused:10.0.0.2', 'barricata:refused:10.0.0.1')).toBe('0');
    mirror.reportRefused('10.0.0.1', null);
    await waitFor('it to go', () => redis.cli('EXISTS', 'barricata:refused:10.0.0.1/32') === '0');
  });

  it('takes in 5,000 keys written at once', async () => {
    const lines = Array.from({ length: 5000 }, (_, i) => [
      'SET',
      `barricata:ban:11.0.${i >> 8}.${i & 255}`,
      'x',
      'EX',
      '3600',
    ]);
    await connection.pipeline(lines);
    await waitFor('all of them', () => mirror.status().entries === 5000);
    for (let i = 0; i < 10; i++) redis.cli('DEL', `barricata:ban:11.0.0.${i}`);
    await waitFor('the unbans', () => mirror.status().entries === 4990);
  });

  it('finds by the walk alone what SWAPDB exchanged', async () => {
    redis.cli('SET', 'barricata:ban:203.0.113.1', 'x');
    await becomes('203.0.113.1', -1);
    redis.cli('-n', '1', 'SET', 'barricata:ban:198.51.100.1', 'x');
    redis.cli('-n', '1', 'SET', 'barricata:allow:192.0.2.1', 'x');
    redis.cli('SWAPDB', '0', '1');
    mirror.walk();
    await becomes('198.51.100.1', -1);
    await becomes('192.0.2.1', -1, 'allow');
    await becomes('203.0.113.1', -2);
  });

  it('wants no ban before the first walk has read every allow entry', async () => {
    await stopMirror();
    const numbers = Array.from({ length: 20_000 }, (_, i) => `11.0.${i >> 8}.${i & 255}`);
    for (let at = 0; at < numbers.length; at += 5000) {
      await fill(numbers.slice(at, at + 5000).map((text) => ['SET', `barricata:ban:${text}`, 'x']));
    }
    const allowed = numbers.filter((_, i) => i % 333 === 0);
    await fill(allowed.map((text) => ['SET', `barricata:allow:${text}`, 'x']));
    changes = [];
    const early: string[] = [];
    onChange = () => {
      const allows = new Set([...mirror.entries('allow')].map(([text]) => text));
      for (const [text] of mirror.entries('ban')) {
        if (allowed.includes(text) && !allows.has(text)) early.push(text);
        if (allows.size < allowed.length) early.push(text);
      }
    };
    await startMirror();
    await armed();
    expect(early).toEqual([]);
    expect(changes.filter((change) => change.startsWith('ban')).length).toBe(0);
    expect(changes.at(-1)).toBe('all');
    expect([...mirror.entries('ban')]).toHaveLength(20_000);
    expect([...mirror.entries('allow')]).toHaveLength(allowed.length);
  });

  it('tells of the allow entries that a walk found before it tells of its bans', async () => {
    await connection.call('CLIENT', 'TRACKING', 'OFF');
    changes = [];
    await fill(Array.from({ length: 5000 }, (_, i) => ['SET', `barricata:ban:11.0.${i >> 8}.${i & 255}`, 'x']));
    await fill(Array.from({ length: 50 }, (_, i) => ['SET', `barricata:allow:11.0.0.${i}`, 'x']));
    mirror.walk();
    await waitFor('all', () => mirror.status().entries === 5000 && changes.length >= 5050, 8000);
    const lastAllow = changes.findLastIndex((change) => change.startsWith('allow'));
    expect(changes.findIndex((change) => change.startsWith('ban'))).toBeGreaterThan(lastAllow);
  });

  it('holds a flush, lets keys written meanwhile work, and obeys when told', async () => {
    await connection.pipeline(
      Array.from({ length: 50 }, (_, i) => ['SET', `barricata:ban:203.0.113.${i}`, 'x', 'EX', '3600']),
    );
    await connection.pipeline(Array.from({ length: 30 }, (_, i) => ['SET', `barricata:allow:192.0.2.${i}`, 'x']));
    await waitFor('80 entries', () => mirror.status().entries === 50 && mirror.status().allowed === 30);
    changes = [];
    redis.cli('FLUSHALL');
    await waitFor('the hold', () => mirror.held() === 80);
    expect(left('203.0.113.7')).toBeGreaterThan(3590);
    expect(left('192.0.2.7', 'allow')).toBe(-1);
    expect([...mirror.entries('ban')]).toHaveLength(50);
    expect(unbanned).toEqual([]);
    redis.cli('SET', 'barricata:ban:203.0.113.7', 'again', 'EX', '60');
    redis.cli('SET', 'barricata:ban:198.51.100.1', 'new');
    await becomes('203.0.113.7', 60);
    await becomes('198.51.100.1', -1);
    redis.cli('DEL', 'barricata:ban:203.0.113.7');
    await becomes('203.0.113.7', -2);
    await mirror.dropHeld();
    expect([...mirror.entries('ban')].map(([text]) => text)).toEqual(['198.51.100.1']);
    expect(mirror.held()).toBe(0);
  });

  it('obeys the whole loss when told while it is still entered', async () => {
    await fill(Array.from({ length: 6000 }, (_, i) => ['SET', `barricata:ban:11.0.${i >> 8}.${i & 255}`, 'x']));
    await waitFor('6000 entries', () => mirror.status().entries === 6000, 20_000);
    // At the first piece that is told, when most of the loss is not entered yet.
    let dropped: Promise<void> | null = null;
    onChange = () => {
      if (mirror.held() > 0) dropped ??= mirror.dropHeld();
    };
    redis.cli('FLUSHALL');
    await waitFor('the hold', () => dropped !== null);
    await dropped;
    await waitFor('all keys to be judged', () => mirror.status().entries === 0);
    expect(mirror.held()).toBe(0);
    expect([...mirror.entries('ban')]).toEqual([]);
  });

  it('holds a loss that comes key by key, and brings back what it had let go', async () => {
    await connection.pipeline(
      Array.from({ length: 60 }, (_, i) => ['SET', `barricata:ban:203.0.113.${i}`, 'x', 'EX', '3600']),
    );
    await waitFor('60 entries', () => mirror.status().entries === 60);
    for (let i = 0; i < 60; i++) await connection.call('DEL', `barricata:ban:203.0.113.${i}`);
    await waitFor('the hold', () => mirror.held() === 60);
    expect(left('203.0.113.0')).toBeGreaterThan(3590);
  });

  it('obeys the removal of twenty of forty keys', async () => {
    await connection.pipeline(
      Array.from({ length: 40 }, (_, i) => ['SET', `barricata:ban:203.0.113.${i}`, 'x', 'EX', '3600']),
    );
    await waitFor('40 entries', () => mirror.status().entries === 40);
    for (let i = 0; i < 20; i++) await connection.call('DEL', `barricata:ban:203.0.113.${i}`);
    await waitFor('20 entries', () => mirror.status().entries === 20);
    expect(mirror.held()).toBe(0);
    expect(unbanned).toHaveLength(20);
  });

  it('obeys a mass removal by a journaled command', async () => {
    await connection.pipeline(
      Array.from({ length: 60 }, (_, i) => ['SET', `barricata:ban:203.0.113.${i}`, 'x', 'EX', '3600']),
    );
    await waitFor('60 entries', () => mirror.status().entries === 60);
    await connection.pipeline(
      Array.from({ length: 60 }, (_, i) => `barricata:ban:203.0.113.${i}`).map((key) => [
        'ZADD',
        'barricata:told',
        Date.now(),
        `c ${key}`,
      ]),
    );
    await connection.pipeline(Array.from({ length: 60 }, (_, i) => ['DEL', `barricata:ban:203.0.113.${i}`]));
    await waitFor('none', () => mirror.status().entries === 0);
    expect(mirror.held()).toBe(0);
  });

  it('holds what the kernel has when it starts over an empty Redis', async () => {
    await stopMirror();
    kernel = Array.from({ length: 30 }, (_, i) => ['ban', `203.0.113.${i}`, Date.now() + HOUR] as const);
    await startMirror();
    await armed();
    expect(mirror.held()).toBe(30);
    expect(left('203.0.113.5')).toBeGreaterThan(3590);
    // A key that comes back replaces the held entry, whatever its kind was.
    redis.cli('SET', 'barricata:ban:203.0.113.5', 'x', 'EX', '60');
    await becomes('203.0.113.5', 60);
    expect(mirror.held()).toBe(29);
  });

  it('takes a few elements that Redis lacks at start for unbans', async () => {
    await stopMirror();
    redis.cli('SET', 'barricata:ban:203.0.113.1', 'x');
    kernel = ['203.0.113.1', '203.0.113.2'].map((text) => ['ban', text, (Date.now() + HOUR) as EpochMs] as const);
    await startMirror();
    await armed();
    expect(unbanned).toEqual(['l203.0.113.2']);
    expect(left('203.0.113.2')).toBe(-2);
  });

  it('keeps what it knows while Redis is away, and catches up when it is back', async () => {
    redis.cli('SET', 'barricata:ban:203.0.113.9', 'x', 'EX', '3600');
    await becomes('203.0.113.9', 3600);
    await redis.kill();
    await waitFor('the loss to be seen', () => !mirror.status().up);
    expect(mirror.complete).toBe(true);
    expect(left('203.0.113.9')).toBeGreaterThan(3590);
    await redis.start();
    redis.cli('DEL', 'barricata:ban:203.0.113.9');
    redis.cli('SET', 'barricata:ban:203.0.113.10', 'x');
    await becomes('203.0.113.10', -1);
    await becomes('203.0.113.9', -2);
    await armed();
    redis.cli('SET', 'barricata:ban:203.0.113.11', 'x');
    await becomes('203.0.113.11', -1);
  });

  it('notices that tracking ended without a word, by the canary', async () => {
    const clients = redis.cli('CLIENT', 'LIST');
    const reader = /id=(\d+) .*name=barricata .*flags=[^ ]*t/.exec(clients)?.[1];
    expect(reader).toBeDefined();
    await connection.call('CLIENT', 'TRACKING', 'OFF');
    redis.cli('SET', 'barricata:ban:203.0.113.9', 'x');
    await becomes('203.0.113.9', -1).catch(() => {});
    await waitFor('it to be found', () => left('203.0.113.9') === -1, 6000);
    redis.cli('SET', 'barricata:ban:203.0.113.10', 'x');
    await becomes('203.0.113.10', -1);
  });

  it('follows the mode keys, and keeps the mode when one is mistyped', async () => {
    expect(mirror.mode).toEqual({ mode: 'enforce', until: null, from: 'file' });
    redis.cli('SET', 'barricata:mode', 'observe');
    await waitFor('observe', () => modes.at(-1)?.mode === 'observe', 1000);
    redis.cli('SET', 'barricata:mode', 'obsreve');
    redis.cli('SET', 'barricata:mode:h1', 'enforce');
    await waitFor('enforce', () => modes.at(-1)?.mode === 'enforce', 1000);
    redis.cli('SET', 'barricata:mode', 'off');
    await waitFor('off to win', () => modes.at(-1)?.mode === 'off', 1000);
    redis.cli('DEL', 'barricata:mode:h1');
    redis.cli('SET', 'barricata:mode', `pause ${new Date(Date.now() + 2000).toISOString()} observe`);
    await waitFor('pause', () => modes.at(-1)?.mode === 'pause', 1000);
    await waitFor('the end of the pause', () => modes.at(-1)?.mode === 'observe', 5000);
  });

  it('keeps the mode when its key is lost with the store, until one is set', async () => {
    const edits = connection;
    await edits.call('XADD', 'barricata:journal', '*', 'act', 'mode');
    redis.cli('SET', 'barricata:mode', 'off');
    await waitFor('off', () => modes.at(-1)?.mode === 'off', 1000);
    modes = [];
    const { walks } = mirror.status();
    redis.cli('FLUSHDB');
    await waitFor('two walks', () => {
      mirror.walk();
      return mirror.status().walks > walks + 2;
    });
    expect(mirror.mode.mode).toBe('off');
    expect(modes).toEqual([]);
    await stopMirror();
    redis.cli('XADD', 'barricata:journal', '*', 'act', 'loss_held');
    await startMirror();
    await armed();
    expect(mirror.mode.mode).toBe('off');
    redis.cli('SET', 'barricata:mode', 'observe');
    await waitFor('observe', () => mirror.mode.mode === 'observe', 1000);
    redis.cli('DEL', 'barricata:mode');
    await waitFor('the mode of the file', () => mirror.mode.mode === 'enforce', 1000);
  });

  it('lets the last known mode rule while Redis is away at start, and knows no mode before it was read', async () => {
    redis.cli('SET', 'barricata:mode', 'off');
    await waitFor('off', () => modes.at(-1)?.mode === 'off', 1000);
    await stopMirror();
    await redis.kill();
    modes = [];
    await startMirror();
    expect(modes).toEqual([]);
    expect(mirror.mode.mode).toBe('off');
    await redis.start();
    redis.cli('SET', 'barricata:mode', 'observe');
    await waitFor('observe', () => modes.at(-1)?.mode === 'observe');
    expect(modes.map(({ mode }) => mode)).not.toContain('enforce');
  });

  it('knows pardons and suppressions', async () => {
    redis.cli('SET', 'barricata:pardon:203.0.113.9', '{"at":5,"sids":[7]}', 'EX', '100');
    redis.cli('SET', 'barricata:suppress:1:2019232:203.0.113.0/24', 'x', 'EX', '100');
    redis.cli('SET', 'barricata:suppress:1:5:*', 'x');
    const { facts } = mirror;
    await waitFor('both', () => facts.pardon('203.0.113.9')?.at === 5 && facts.suppressed(1, 5, '192.0.2.1') !== null);
    expect(facts.suppressed(1, 2019232, '203.0.113.77')).toBe('barricata:suppress:1:2019232:203.0.113.0/24');
    expect(facts.suppressed(1, 2019232, '203.0.112.77')).toBeNull();
    redis.cli('DEL', 'barricata:pardon:203.0.113.9', 'barricata:suppress:1:5:*');
    await waitFor(
      'neither',
      () => facts.pardon('203.0.113.9') === null && facts.suppressed(1, 5, '192.0.2.1') === null,
    );
  });
});
