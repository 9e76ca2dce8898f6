/** Eve records from a list and from a stream of a real Redis. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RedisConnection } from '../../src/blocklist/connection.js';
import type { EveSourceOptions } from '../../src/suricata/eve-source.js';
import { alertLine, flowLine, numbers, Reading, removeTemporaryDirectories } from '../support/eve.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, waitFor } from '../support/netns.js';
import { TestRedis } from '../support/redis.js';

const redis = new TestRedis('--port', '6379');
const readings: Reading[] = [];
const ready = hasFeatures('root', 'redis-server');

beforeAll(async () => {
  if (!ready) return;
  enterPrivateNetns();
  await redis.start();
});

afterEach(async () => {
  for (const r of readings.splice(0)) await r.source.stop();
  if (ready) redis.cli('FLUSHALL');
  removeTemporaryDirectories();
});

afterAll(() => redis.stop());

function reading(kind: 'list' | 'stream', options: Partial<EveSourceOptions> = {}): Reading {
  const r = new Reading([], {
    entries: [`${redis.url}?${kind}=suricata`],
    connect: (url) => new RedisConnection(url, 'eve'),
    host: 'sensor1',
    ...options,
  });
  readings.push(r);
  return r;
}

/** One whose alerts are stored only when `release` is called. */
function storingSlowly(kind: 'list' | 'stream'): { readonly r: Reading; readonly release: () => void } {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const r: Reading = reading(kind, {
    onBatch: async (batch) => {
      await held;
      r.take(batch);
    },
  });
  return { r, release };
}

const status = (r: Reading) => {
  const [first] = r.source.status().paths;
  if (first === undefined) throw new Error('no source');
  return first;
};

const line = (n: number, more: Record<string, unknown> = {}) => alertLine(n, more).trimEnd();

/** As Suricata writes: LPUSH for `mode: list`, one field `eve` for `mode: stream`. */
const write = {
  list: (...lines: string[]) => redis.cli('LPUSH', 'suricata', ...lines),
  stream: (...lines: string[]) => lines.map((text) => redis.cli('XADD', 'suricata', '*', 'eve', text)),
};

/** How many lines are taken and not forgotten. */
const kept = {
  list: () => Number(redis.cli('LLEN', 'suricata:barricata:sensor1')),
  stream: () => Number(redis.cli('XPENDING', 'suricata', 'barricata').split('\n')[0]),
};

describe.skipIf(!ready).each(['list', 'stream'] as const)('a Redis %s', (kind) => {
  it('gives its alerts in order, those that were there and those that come, and forgets all lines', async () => {
    write[kind](...numbers(100).flatMap((n) => [line(n), flowLine(n).trimEnd()]));
    const r = reading(kind);
    await r.source.start();
    await r.got(100);
    expect(r.seen).toEqual(numbers(100));
    write[kind](line(100));
    await r.got(101);
    await waitFor('all is forgotten', () => kept[kind]() === 0);
    expect(status(r)).toMatchObject({
      opened: true,
      problem: null,
      lines: 201,
      alerts: 101,
      lagSeconds: 0,
      unusable: {},
    });
    expect(r.batches.every(({ position }) => position === null)).toBe(true);
  });

  it('reads what is not an alert, counts what is unusable, and takes long lines', async () => {
    const r = reading(kind, { longestLine: 3_000_000 });
    await r.source.start();
    write[kind]('null', '{"event_type":"alert"', 'x', '');
    const long = new RedisConnection(redis.url);
    await long.start();
    await long.ready();
    const push = kind === 'list' ? ['LPUSH', 'suricata'] : ['XADD', 'suricata', '*', 'eve'];
    await long.call(push[0] as string, ...push.slice(1), line(0, { dnp3: 'x'.repeat(2_400_000) }));
    await long.call(push[0] as string, ...push.slice(1), line(7, { dnp3: 'x'.repeat(3_400_000) }));
    await long.stop();
    write[kind](line(1));
    expect(await r.got(2)).toEqual([0, 1]);
    expect(status(r).unusable).toEqual({ not_an_object: 1, truncated: 1, not_json: 1, too_long: 1 });
  });

  it('gives again, first, what was taken and not stored when its reader ended', async () => {
    write[kind](...numbers(6).map((n) => line(n)));
    const failing = reading(kind, {
      onBatch: async () => {
        throw new Error('store is away');
      },
    });
    await failing.source.start();
    await waitFor('it has taken', () => kept[kind]() >= 6);
    await failing.source.stop();
    write[kind](line(6));
    const r = reading(kind);
    await r.source.start();
    await r.got(7);
    expect(r.seen).toEqual(numbers(7));
    await waitFor('all is forgotten', () => kept[kind]() === 0);
    expect(status(r).events).toMatchObject({ taken_again: 6 });
  });

  it('says that there is no Redis, and reads when it comes', async () => {
    await redis.kill();
    const r = reading(kind);
    await r.source.start();
    await waitFor('it says so', () => status(r).problem?.includes('is redis-server running?'));
    expect(status(r).opened).toBe(false);
    await redis.start();
    write[kind](line(0));
    expect(await r.got(1)).toEqual([0]);
    expect(status(r)).toMatchObject({ opened: true, problem: null });
  });

  it('that cannot even be connected to is named, and leaves the other sources alone', async () => {
    const r = new Reading('eve.json', {
      entries: [`rediss://127.0.0.1/0?${kind}=suricata&ca=/nowhere/ca.pem`],
      connect: (url) => new RedisConnection(url, 'eve'),
      host: 'sensor1',
    });
    readings.push(r);
    writeFileSync(r.path('eve.json'), alertLine(0));
    await r.source.start();
    expect(await r.got(1)).toEqual([0]);
    await waitFor('it is named', () => r.source.status().paths[1]?.problem?.includes('/nowhere/ca.pem'));
  });

  it('goes on when Redis is killed and started again', async () => {
    const r = reading(kind);
    await r.source.start();
    write[kind](...numbers(5).map((n) => line(n)));
    await r.got(5);
    await redis.kill();
    await waitFor('it is noticed', () => !status(r).opened);
    await waitFor('the lag grows', () => status(r).lagSeconds > 0.2);
    await redis.start();
    write[kind](line(5));
    // What Redis had not yet forgotten when it was killed may come once more.
    await waitFor('the sixth', () => r.seen.includes(5));
    expect(new Set(r.seen)).toEqual(new Set(numbers(6)));
  });

  it('goes on when Redis hung, with nothing lost', async () => {
    const r = reading(kind);
    await r.source.start();
    write[kind](line(0));
    await r.got(1);
    process.kill(redis.pid, 'SIGSTOP');
    await waitFor('it is noticed', () => !status(r).opened);
    process.kill(redis.pid, 'SIGCONT');
    write[kind](...[1, 2, 3].map((n) => line(n)));
    await waitFor('all came', () => new Set(r.seen).size === 4);
    await waitFor('all is forgotten', () => kept[kind]() === 0);
  });

  it('names the right word when the key is of the other kind, and reads once that is put right', async () => {
    const other = kind === 'list' ? 'stream' : 'list';
    write[other](line(7));
    const r = reading(kind);
    await r.source.start();
    await waitFor('it says so', () => status(r).problem?.includes(`write ?${other}=suricata`));
    redis.cli('DEL', 'suricata');
    write[kind](line(0));
    expect(await r.got(1)).toEqual([0]);
    redis.cli('DEL', 'suricata');
    redis.cli('SADD', 'suricata', 'x');
    await waitFor('it says so', () => status(r).problem?.includes('is a set'));
    expect(status(r).opened).toBe(false);
  });

  it('reads nothing more while alerts are being stored, and says how far behind it is', async () => {
    const { r, release } = storingSlowly(kind);
    await r.source.start();
    await waitFor('it is open', () => status(r).opened);
    write[kind](...numbers(100).map((n) => line(n)));
    await waitFor('the lag grows', () => status(r).lagSeconds > 0.2);
    expect(kept[kind]()).toBeLessThanOrEqual(64);
    release();
    await r.got(100);
    expect(r.seen).toEqual(numbers(100));
  });

  it('needs no more rights than the document says', async () => {
    const text = readFileSync(new URL('../../docs/eve-sources.md', import.meta.url), 'utf8');
    const section = text.slice(text.indexOf(`## Redis ${kind}`));
    const [, own, common] =
      /Its user needs `([^`]*)` and what every connection needs \(`([^`]*)`\)/.exec(section) ?? [];
    const rights = `${own} ${common}`.replaceAll('suricata8', 'suricata').split(' ');
    redis.cli('ACL', 'SETUSER', 'eve', 'reset', 'on', '>p@ss', ...rights);
    write[kind](line(0));
    const r = reading(kind, {
      connect: () => new RedisConnection(`redis://eve:p%40ss@127.0.0.1/0?${kind}=suricata`, 'eve'),
    });
    await r.source.start();
    await r.got(1);
    write[kind](line(1));
    await r.got(2);
    await waitFor('all is forgotten', () => kept[kind]() === 0);
    expect(status(r)).toMatchObject({ opened: true, problem: null });
    redis.cli('ACL', 'SETUSER', 'eve', '-@connection', kind === 'list' ? '-lmove' : '-xreadgroup');
    write[kind](line(2));
    await waitFor('the missing right is named', () => status(r).problem?.includes('ACL'));
  });

  it('gives nothing again after an ordinary stop, which waits for what is being stored', async () => {
    const { r, release } = storingSlowly(kind);
    await r.source.start();
    write[kind](line(0));
    await waitFor('it is taken', () => kept[kind]() === 1);
    const stopped = r.source.stop();
    release();
    await stopped;
    expect(r.seen).toEqual([0]);
    expect(kept[kind]()).toBe(0);
  });

  it('takes lines that are not UTF-8, and forgets them', async () => {
    const r = reading(kind);
    await r.source.start();
    const text = alertLine(0, { note: 'XX' }).trimEnd();
    const odd = Buffer.from(text);
    odd[odd.indexOf('XX')] = 0xff;
    const writer = new RedisConnection(redis.url);
    await writer.start();
    await writer.ready();
    if (kind === 'list') await writer.callBuffer('LPUSH', 'suricata', odd, odd);
    else for (const _ of [0, 1]) await writer.callBuffer('XADD', 'suricata', '*', 'eve', odd);
    await writer.stop();
    expect(await r.got(2)).toEqual([0, 0]);
    await waitFor('all is forgotten', () => kept[kind]() === 0);
  });

  it('ends at once while it waits for lines', async () => {
    const r = reading(kind);
    await r.source.start();
    await waitFor('it is open', () => status(r).opened);
    const begin = performance.now();
    await r.source.stop();
    expect(performance.now() - begin).toBeLessThan(500);
  });
});

describe.skipIf(!ready)('a Redis list', () => {
  it('is read from its older end, whichever Suricata pushes to', async () => {
    const at = (n: number) => `2026-11-22T16:25:${String(10 + n)}.000000+0000`;
    redis.cli('RPUSH', 'suricata', ...numbers(40).map((n) => line(n, { timestamp: at(n) })));
    const r = reading('list');
    await r.source.start();
    await r.got(40);
    expect(r.seen).toEqual(numbers(40));
  });

  it('loses nothing when what was to be forgotten is forgotten late, by a connection that was given up', async () => {
    // Two pages of lines that were taken before; the first is forgotten again while it is being handled.
    const lines = numbers(16).map((n) => line(n));
    redis.cli('LPUSH', 'suricata:barricata:sensor1', ...lines);
    let fail = true;
    const r: Reading = reading('list', {
      onBatch: async (batch) => {
        if (fail) {
          fail = false;
          for (const text of lines.slice(0, 8)) redis.cli('LREM', 'suricata:barricata:sensor1', '-1', text);
        }
        r.take(batch);
      },
    });
    await r.source.start();
    await r.got(16);
    expect(r.seen).toEqual(numbers(16));
  });

  it('is shared by hosts, each with a list of its own for what it handles', async () => {
    const [one, two] = [reading('list'), reading('list', { host: 'sensor2' })];
    await one.source.start();
    await two.source.start();
    write.list(...numbers(200).map((n) => line(n)));
    await waitFor('all came', () => one.seen.length + two.seen.length === 200);
    expect([...one.seen, ...two.seen].sort((a, b) => a - b)).toEqual(numbers(200));
  });
});

describe.skipIf(!ready)('a Redis stream', () => {
  it('may have any name for its only field, and must have "eve" among several', async () => {
    redis.cli('XADD', 'suricata', '*', 'json', line(0));
    redis.cli('XADD', 'suricata', '*', 'host', 'a', 'eve', line(1));
    redis.cli('XADD', 'suricata', '*', 'host', 'a', 'json', line(2));
    redis.cli('XADD', 'suricata', '*', 'eve', line(3));
    const r = reading('stream');
    await r.source.start();
    expect(await r.got(3)).toEqual([0, 1, 3]);
    expect(status(r).events).toMatchObject({ no_line: 1 });
    await waitFor('all is forgotten', () => kept.stream() === 0);
  });

  it('counts what MAXLEN trimmed while nobody read, once', async () => {
    const first = reading('stream');
    await first.source.start();
    write.stream(...numbers(10).map((n) => line(n)));
    await first.got(10);
    await first.source.stop();
    write.stream(...numbers(50).map((n) => line(10 + n)));
    redis.cli('XTRIM', 'suricata', 'MAXLEN', '20');
    const second = reading('stream');
    await second.source.start();
    expect(await second.got(20)).toEqual(numbers(20).map((n) => 40 + n));
    expect(status(second).events['trimmed']).toBe(30);
    await second.source.stop();
    const third = reading('stream');
    await third.source.start();
    write.stream(line(60));
    expect(await third.got(1)).toEqual([60]);
    expect(status(third).events['trimmed']).toBeUndefined();
  });

  it('counts nothing as missed of what was trimmed before it was ever read', async () => {
    write.stream(...numbers(10).map((n) => line(n)));
    redis.cli('XTRIM', 'suricata', 'MAXLEN', '4');
    const r = reading('stream');
    await r.source.start();
    expect(await r.got(4)).toEqual([6, 7, 8, 9]);
    expect(status(r).events).toEqual({});
  });

  it('is made again when it is deleted, which counts as a gap', async () => {
    const r = reading('stream');
    await r.source.start();
    write.stream(line(0));
    await r.got(1);
    redis.cli('DEL', 'suricata');
    write.stream(line(1));
    expect(await r.got(2)).toEqual([0, 1]);
    expect(status(r).events).toMatchObject({ recreated: 1 });
  });

  it('is shared by hosts; what one took and left lying another takes over', async () => {
    write.stream(...numbers(6).map((n) => line(n)));
    redis.cli('XGROUP', 'CREATE', 'suricata', 'barricata', '0');
    redis.cli('XREADGROUP', 'GROUP', 'barricata', 'gone', 'COUNT', '4', 'STREAMS', 'suricata', '>');
    const ids = redis
      .cli('XPENDING', 'suricata', 'barricata', '-', '+', '10')
      .split('\n')
      .filter((word) => /^\d+-\d+$/.test(word));
    redis.cli('XCLAIM', 'suricata', 'barricata', 'gone', '0', ...ids.slice(0, 3), 'IDLE', '400000', 'JUSTID');
    const r = reading('stream');
    await r.source.start();
    expect(await r.got(5)).toEqual([0, 1, 2, 4, 5]);
    expect(status(r).events).toMatchObject({ claimed: 3 });
    expect(kept.stream()).toBeLessThanOrEqual(1);
  });
});
