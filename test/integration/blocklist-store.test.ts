import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FOREVER, systemClock } from '../../src/base/clock.js';
import { createLog } from '../../src/base/log.js';
import { RedisConnection } from '../../src/blocklist/connection.js';
import { writeHeartbeat } from '../../src/blocklist/heartbeat.js';
import { Journal } from '../../src/blocklist/journal.js';
import { Keys } from '../../src/blocklist/keys.js';
import { type ActResult, ManualActs } from '../../src/blocklist/manual.js';
import { Mirror } from '../../src/blocklist/mirror.js';
import { OfflineJournal } from '../../src/blocklist/offline-journal.js';
import { RawEdits } from '../../src/blocklist/raw-edits.js';
import { decodeValue, manualRecord } from '../../src/blocklist/record.js';
import { Store } from '../../src/blocklist/store.js';
import type { Ban, BanRecord, Decision } from '../../src/policy/ban.js';
import { hasFeatures } from '../support/feature.js';
import { waitFor } from '../support/netns.js';
import { TestRedis } from '../support/redis.js';

const log = createLog('silent');
/** What every decision carries besides. */
const plain = { candidate: null, steps: [] };
const actor = { by: 'kim', from: 'cli', host: 'h1' } as const;

function ban(prefix: string, seconds: number, of: Partial<BanRecord> = {}, more: Partial<Ban> = {}): Decision {
  const at = new Date().toISOString();
  const base: BanRecord = manualRecord({ reason: 'ET WEB "attack"', from: 'daemon', at });
  const record: BanRecord = {
    ...base,
    source: 'suricata',
    sid: 2019232,
    gid: 1,
    flow_id: 2_250_000_000_000_001,
    ...of,
  };
  return {
    ...plain,
    kind: 'ban',
    ban: { prefix, until: Date.now() + seconds * 1000, record, flowStart: Date.now(), proven: true, ...more },
  };
}

/** One daemon's share of the blocklist. */
class Host {
  readonly connection: RedisConnection;
  readonly mirror: Mirror;
  readonly edits: RawEdits;
  readonly offline: OfflineJournal;
  readonly store: Store;
  readonly keys: Keys;
  constructor(redis: TestRedis, name: string, prefix = 'barricata') {
    this.keys = new Keys(prefix, name);
    this.connection = new RedisConnection(redis.url);
    const shared = { connection: this.connection, keys: this.keys, clock: systemClock, log };
    this.edits = new RawEdits(shared);
    this.mirror = new Mirror({ ...shared, url: redis.url, onChange: () => {}, edits: this.edits });
    this.offline = new OfflineJournal(join(redis.dir, `${name}.journal`));
    this.store = new Store({ ...shared, mirror: this.mirror, offline: this.offline });
  }
  async start(): Promise<this> {
    await this.connection.start();
    await this.edits.start();
    await this.mirror.start();
    await this.store.start();
    return this;
  }
  armed(): Promise<boolean> {
    return waitFor('the first comparison', () => this.mirror.complete && this.mirror.status().tracking);
  }
  async stop(): Promise<void> {
    await this.store.stop();
    await this.mirror.stop();
    await this.edits.stop();
    await this.connection.stop();
  }
  commit(...decisions: Decision[]) {
    return this.store.commit({ decisions, position: null });
  }
}

describe.skipIf(!hasFeatures('redis-server'))('the store', () => {
  let redis: TestRedis;
  let host: Host;
  let manual: ManualActs;
  let journal: Journal;

  beforeAll(async () => {
    redis = await new TestRedis().start();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    redis.cli('FLUSHALL');
    rmSync(join(redis.dir, 'h1.journal'), { force: true });
    await restart();
    await host.armed();
  });
  afterEach(() => host.stop());

  async function restart(): Promise<void> {
    host = await new Host(redis, 'h1').start();
    manual = new ManualActs(host.connection, host.keys, systemClock);
    journal = new Journal(host.connection, host.keys);
  }

  const key = 'barricata:ban:203.0.113.9';
  const ttl = (name = key) => Number(redis.cli('TTL', name));
  const record = (name = key) => decodeValue(redis.cli('GET', name))?.record;
  const acts = async () => (await journal.read(1000)).map(({ act }) => act).reverse();
  const outcome = ({ outcome }: ActResult) => outcome;

  it('stores nothing of a batch made for new attackers when one of them was banned before', async () => {
    const offence = { offender: '203.0.113.9', keepFor: 86_400 };
    const decisions = [ban('203.0.113.10', 3600), ban('203.0.113.9', 3600, {}, { offence })];
    const batch = { decisions, position: { source: '/e.json', value: 1 } };
    redis.cli('ZADD', 'barricata:offence:203.0.113.9', '1', 'then 203.0.113.9');
    expect(await host.store.commitIfNew(batch)).toBeNull();
    expect(redis.cli('EXISTS', key, 'barricata:ban:203.0.113.10')).toBe('0');
    expect((await host.store.positions()).has('/e.json')).toBe(false);
    expect(await host.store.commit(batch)).toEqual(['stored', 'stored']);
    expect((await host.store.positions()).get('/e.json')).toBe(1);
    // Known from the commit itself, whatever events of Redis are still to come.
    expect(host.mirror.get('ban', '203.0.113.9')).toBeDefined();
    const others = [ban('203.0.113.11', 3600, {}, { offence: { ...offence, offender: '203.0.113.11' } })];
    expect(await host.store.commitIfNew({ decisions: others, position: null })).toEqual(['stored']);
  });

  it('stores a ban with its whole record, exactly, and its journal line', async () => {
    expect(await host.commit(ban('203.0.113.9', 3600))).toEqual(['stored']);
    expect(ttl()).toBeGreaterThan(3595);
    expect(record()).toMatchObject({
      reason: 'ET WEB "attack"',
      sid: 2019232,
      sids: [2019232],
      flow_id: 2_250_000_000_000_001,
      count: 1,
    });
    const [line] = await journal.read(1);
    expect(line).toMatchObject({
      act: 'ban',
      address: '203.0.113.9',
      from: 'daemon',
      host: 'h1',
      before: null,
      after: redis.cli('GET', key),
    });
    expect(await host.commit(ban('203.0.113.10', 60, { scope: 'host' }, { proven: false }))).toEqual(['stored']);
    expect(ttl('barricata:local:h1:203.0.113.10')).toBeGreaterThan(55);
    await waitFor('the mirror', () => host.mirror.get('ban', '203.0.113.10') !== undefined);
    await waitFor('nothing to be taken for a raw edit', () => host.edits.waiting === 0);
    expect(await acts()).toEqual(['ban', 'ban']);
  });

  it('extends and never shortens, with one write for a burst of the same alert', async () => {
    await host.commit(ban('203.0.113.9', 3600));
    const value = redis.cli('GET', key);
    for (let i = 0; i < 50; i++) expect(await host.commit(ban('203.0.113.9', 3601))).toEqual(['unchanged']);
    expect(await host.commit(ban('203.0.113.9', 60))).toEqual(['unchanged']);
    expect(redis.cli('GET', key)).toBe(value);
    expect(await host.commit(ban('203.0.113.9', 86_400))).toEqual(['extended']);
    expect(ttl()).toBeGreaterThan(86_390);
    expect(record()?.count).toBe(53);
    expect(await host.commit(ban('203.0.113.9', 90_000, { sid: 7 }))).toEqual(['extended']);
    expect(record()).toMatchObject({ sid: 2019232, sids: [2019232, 7] });
    expect(await host.commit(ban('203.0.113.9', 60, { scope: 'host' }))).toEqual(['unchanged']);
  });

  it('keeps a manual record, and a reason typed by hand, when an alert asks for longer', async () => {
    expect(
      outcome(
        await manual.ban(
          { address: '203.0.113.9', until: Date.now() + 600_000, reason: 'by hand', ticket: 'INC-1' },
          actor,
        ),
      ),
    ).toBe('stored');
    expect(await host.commit(ban('203.0.113.9', 60))).toEqual(['unchanged']);
    expect(await host.commit(ban('203.0.113.9', 3600))).toEqual(['extended']);
    expect(record()).toMatchObject({ source: 'manual', reason: 'by hand', ticket: 'INC-1', by: 'kim' });
    expect(ttl()).toBeGreaterThan(3590);
    redis.cli('SET', 'barricata:ban:203.0.113.10', 'typed', 'EX', '600');
    await waitFor('the raw edit', async () => (await acts()).length === 3);
    expect(await host.commit(ban('203.0.113.10', 3600))).toEqual(['extended']);
    expect(redis.cli('GET', 'barricata:ban:203.0.113.10')).toBe('typed');
    redis.cli('SET', 'barricata:ban:203.0.113.11', 'for ever');
    expect(await host.commit(ban('203.0.113.11', 3600))).toEqual(['unchanged']);
    expect(ttl('barricata:ban:203.0.113.11')).toBe(-1);
    await waitFor('the second raw edit', async () => (await acts()).length === 5);
    expect(await acts()).toEqual(['ban', 'extend', 'ban', 'extend', 'ban']);
  });

  it('obeys a raw DEL, journals it with the record, and bans again only on newer proof', async () => {
    await host.commit(ban('203.0.113.9', 3600));
    await waitFor('the mirror', () => host.mirror.get('ban', '203.0.113.9') !== undefined);
    const value = redis.cli('GET', key);
    const before = Date.now() - 1000;
    redis.cli('DEL', key);
    await waitFor('the pardon', () => redis.cli('EXISTS', 'barricata:pardon:203.0.113.9') === '1');
    expect(JSON.parse(redis.cli('GET', 'barricata:pardon:203.0.113.9'))).toMatchObject({
      sids: [2019232],
      from: 'redis',
    });
    expect(ttl('barricata:pardon:203.0.113.9')).toBeGreaterThan(86_390);
    const [line] = await journal.read(1);
    expect(line).toMatchObject({ act: 'unban', address: '203.0.113.9', from: 'redis', after: null });
    expect(decodeValue(line?.before ?? '')?.record).toEqual(decodeValue(value)?.record);
    expect(await host.commit(ban('203.0.113.9', 3600, {}, { flowStart: before }))).toEqual(['pardoned']);
    expect(await host.commit(ban('203.0.113.9', 3600, {}, { proven: false }))).toEqual(['pardoned']);
    expect(await host.commit(ban('203.0.113.9', 3600, { sid: 8 }, { flowStart: before }))).toEqual(['stored']);
    await manual.unban(['203.0.113.9'], { reason: 'again' }, actor);
    expect(await host.commit(ban('203.0.113.9', 3600, { sid: 8 }, { flowStart: Date.now() + 1000 }))).toEqual([
      'stored',
    ]);
  });

  it('journals a raw edit once for two daemons, with before and after, keeping the record under a new reason', async () => {
    const second = await new Host(redis, 'h2').start();
    try {
      await second.armed();
      await host.commit(ban('203.0.113.9', 3600));
      redis.cli('EXPIRE', key, '7200');
      const quiet = () => waitFor('both daemons to be done', () => host.edits.waiting + second.edits.waiting === 0);
      await waitFor('the edit', async () => (await acts()).length === 2);
      await quiet();
      const [line] = await journal.read(1);
      expect(line).toMatchObject({ act: 'edit', from: 'redis', address: '203.0.113.9' });
      const [until, wanted] = [line?.before, line?.after].map((value) => decodeValue(value ?? '')?.until ?? 0) as [
        number,
        number,
      ];
      expect(Math.round((wanted - until) / 1000)).toBe(3600);
      redis.cli('SET', key, 'INC-7 customer', 'EX', '100');
      await waitFor('the next', async () => (await acts()).length === 3);
      await quiet();
      const [entry] = await manual.find('ban', '203.0.113.9');
      expect(entry?.record).toMatchObject({
        reason: 'INC-7 customer',
        ticket: 'INC-7',
        sid: 2019232,
        source: 'suricata',
      });
      redis.cli('RENAME', key, 'barricata:ban:203.0.113.10');
      await waitFor('both sides', async () => (await acts()).length === 5);
      await quiet();
      expect((await acts()).slice(3).sort()).toEqual(['ban', 'unban']);
      expect(redis.cli('EXISTS', 'barricata:pardon:203.0.113.9')).toBe('1');
      // Both look at the same keys at the same time: each key is journaled by one of them.
      for (let round = 0; round < 5; round++) {
        redis.cli('MSET', ...Array.from({ length: 30 }, (_, i) => [`barricata:ban:198.51.${round}.${i}`, 'x']).flat());
        await waitFor('both mirrors', () =>
          [host, second].every(({ mirror }) => mirror.status().entries === 1 + 30 * (round + 1)),
        );
        await quiet();
      }
      expect(await acts()).toHaveLength(5 + 150);
    } finally {
      await second.stop();
    }
  });

  it('pardons nobody after a mass loss, and writes the keys back with their records', async () => {
    await host.commit(...Array.from({ length: 40 }, (_, i) => ban(`203.0.113.${i}`, 3600)));
    await waitFor('the mirror', () => host.mirror.status().entries === 40);
    for (let i = 0; i < 40; i++) await host.connection.call('DEL', `barricata:ban:203.0.113.${i}`);
    await waitFor('the hold', () => host.mirror.held() === 40);
    await waitFor(
      'the pardons to be taken back',
      () => host.edits.waiting === 0 && redis.cli('KEYS', 'barricata:pardon:*') === '',
    );
    expect(await manual.writeBackHeld(host.mirror.level.held(), 'oops', actor)).toBe(40);
    await waitFor('all to be back', () => host.mirror.held() === 0 && host.mirror.status().entries === 40);
    expect(record('barricata:ban:203.0.113.7')).toMatchObject({ sid: 2019232, source: 'suricata' });
    expect(ttl('barricata:ban:203.0.113.7')).toBeGreaterThan(3580);
  });

  it('lets a person accept a loss for every host', async () => {
    await host.commit(...Array.from({ length: 30 }, (_, i) => ban(`203.0.113.${i}`, 3600)));
    await waitFor('the mirror', () => host.mirror.status().entries === 30);
    redis.cli('FLUSHALL');
    await waitFor('the hold', () => host.mirror.held() === 30);
    await manual.acceptHeld('meant', actor);
    await waitFor('the end of the hold', () => host.mirror.held() === 0);
    expect(host.mirror.get('ban', '203.0.113.7')).toBeUndefined();
  });

  it('bans, extends, notes, allows and unbans by hand, each in the journal', async () => {
    const until = Date.now() + 3_600_000;
    await manual.ban({ address: '2001:db8::9', until, reason: 'first' }, actor);
    expect(outcome(await manual.ban({ address: '2001:db8::9', until: until - 1000, reason: 'shorter' }, actor))).toBe(
      'unchanged',
    );
    expect(
      outcome(
        await manual.ban({ address: '2001:db8::9', until: until - 1000, reason: 'shorter', replace: true }, actor),
      ),
    ).toBe('replaced');
    expect(outcome(await manual.extend('2001:db8::9', until - 2000, null, actor))).toBe('unchanged');
    expect(outcome(await manual.extend('2001:db8::9', FOREVER, null, actor))).toBe('extended');
    expect(outcome(await manual.note('2001:db8::9', 'customer called', 'INC-9', actor))).toBe('stored');
    expect(outcome(await manual.note('2001:db8::10', 'customer called', null, actor))).toBe('absent');
    redis.cli('SET', 'barricata:ban:2001:0DB8::0009', 'another spelling');
    redis.cli('SET', 'barricata:local:h2:2001:db8::9', 'another host');
    const found = await manual.find('ban', '2001:db8::9');
    // A canonical key answers without a search; unban searches all the same.
    expect(found.map(({ key: name }) => name)).toEqual(['barricata:ban:2001:db8::9']);
    expect(found.find(({ key: name }) => name === 'barricata:ban:2001:db8::9')).toMatchObject({
      until: FOREVER,
      record: { reason: 'shorter', note: 'customer called', ticket: 'INC-9' },
    });
    expect(await manual.unban(['2001:db8::9'], { reason: 'done' }, actor)).toHaveLength(3);
    expect(redis.cli('KEYS', 'barricata:[bl]*:*2001*')).toBe('');
    expect(await manual.unban(['2001:db8::9'], { reason: 'done' }, actor)).toEqual([]);
    await expect(manual.allow({ address: '0.0.0.0/7', until, reason: 'x' }, actor)).rejects.toMatchObject({
      kind: 'refused',
    });
    await manual.allow({ address: '198.51.100.0/24', until, reason: 'pen test' }, actor);
    await waitFor('the allow', () => host.mirror.get('allow', '198.51.100.0/24') !== undefined);
    expect(await manual.allowRemove('198.51.100.0/24', 'over', actor)).toHaveLength(1);
    await waitFor('the edits', () => host.edits.waiting === 0);
    const lines = (await journal.read(100))
      .filter(({ from }) => from === 'cli')
      .map(({ act }) => act)
      .reverse();
    expect(lines).toEqual(['ban', 'ban', 'extend', 'note', 'unban', 'unban', 'unban', 'allow', 'disallow']);
  });

  it('suppresses a signature after a false positive', async () => {
    await host.commit(ban('203.0.113.9', 3600));
    await manual.unban(['203.0.113.9'], { reason: 'wrong', falsePositive: true }, actor);
    await waitFor('the suppression', () => host.mirror.facts.suppressed(1, 2019232, '203.0.113.9') !== null);
    expect(await host.commit(ban('203.0.113.9', 3600, {}, { flowStart: Date.now() + 5000 }))).toEqual(['suppressed']);
    expect(await host.commit(ban('203.0.113.10', 3600))).toEqual(['stored']);
  });

  it('writes would-bans and flags without flooding, and no key for notes', async () => {
    const would: Decision = {
      ...(ban('203.0.113.9', 600) as Extract<Decision, { kind: 'ban' }>),
      kind: 'would_ban',
      why: 'observe',
    };
    const flag: Decision = {
      ...plain,
      kind: 'flag',
      inside: '10.0.0.5',
      outside: '203.0.113.9',
      sid: 5,
      why: 'called out',
    };
    expect(await host.commit(would, flag, { ...plain, kind: 'note', why: 'x' })).toEqual(['stored', 'stored', 'none']);
    expect(await host.commit(would, flag)).toEqual(['unchanged', 'unchanged']);
    expect(ttl('barricata:would:203.0.113.9')).toBeGreaterThan(590);
    expect(JSON.parse(redis.cli('GET', 'barricata:flag:10.0.0.5:5'))).toMatchObject({
      outside: '203.0.113.9',
      count: 1,
      state: 'open',
    });
    expect(redis.cli('EXISTS', key)).toBe('0');
  });

  it('keeps a position with each batch', async () => {
    await host.store.commit({ decisions: [], position: { source: '/e.json', value: { offset: 5 } } });
    await host.store.commit({
      decisions: [ban('203.0.113.9', 60)],
      position: { source: '/e.json', value: { offset: 9 } },
    });
    expect(await host.store.positions()).toEqual(new Map([['/e.json', { offset: 9 }]]));
  });

  it('keeps deciding while Redis is away, and applies that once', async () => {
    await redis.kill();
    await waitFor('the loss', () => !host.connection.up);
    for (let i = 0; i < 5; i++) {
      const decisions = [ban(`203.0.113.${i}`, 3600)];
      expect(await host.store.commit({ decisions, position: { source: '/e.json', value: i } })).toEqual(['offline']);
    }
    expect(host.mirror.get('ban', '203.0.113.3')).toBeGreaterThan(Date.now());
    // The daemon is killed here, while it writes a further line.
    const path = join(redis.dir, 'h1.journal');
    const size = statSync(path).size;
    await host.stop();
    appendFileSync(path, readFileSync(path).subarray(0, 100));
    await restart();
    expect(statSync(path).size).toBe(size);
    expect(host.store.waiting).toBe(5);
    expect(host.mirror.get('ban', '203.0.113.3')).toBeGreaterThan(Date.now());
    const batches = readFileSync(path);
    await redis.start();
    await waitFor('the replay', () => host.store.waiting === 0 && statSync(path).size === 0);
    expect(redis.cli('KEYS', 'barricata:ban:203.0.113.*').split('\n')).toHaveLength(5);
    expect((await host.store.positions()).get('/e.json')).toBe(4);
    expect(await acts()).toEqual(['ban', 'ban', 'ban', 'ban', 'ban']);
    // The same journal again, as after a kill between the replay and the end of the file: nothing changes.
    await manual.unban(['203.0.113.3'], { reason: 'x' }, actor);
    redis.cli('DEL', 'barricata:pardon:203.0.113.3');
    await host.store.commit({ decisions: [], position: { source: '/e.json', value: 99 } });
    await host.stop();
    appendFileSync(path, batches);
    await restart();
    await waitFor('the replay', () => host.store.waiting === 0);
    expect(await acts()).toEqual(['ban', 'ban', 'ban', 'ban', 'ban', 'unban']);
    expect(redis.cli('EXISTS', 'barricata:ban:203.0.113.3')).toBe('0');
    expect((await host.store.positions()).get('/e.json')).toBe(99);
  });

  it('stores effects and position together or not at all when Redis is killed in between', async () => {
    let committed = 0;
    let running = true;
    const writer = (async () => {
      for (let i = 0; running; i++) {
        const decisions = [0, 1].map((half) => ban(`11.${half}.${i >> 8}.${i & 255}`, 3600));
        await host.store.commit({ decisions, position: { source: '/e.json', value: i } });
        committed = i + 1;
      }
    })();
    for (let round = 0; round < 2; round++) {
      const at = committed;
      await waitFor('some commits', () => committed > at + 50);
      await redis.kill();
      await redis.start();
    }
    running = false;
    await writer;
    await waitFor('the replay', () => host.connection.up && host.store.waiting === 0);
    expect((await host.store.positions()).get('/e.json')).toBe(committed - 1);
    expect(redis.cli('KEYS', 'barricata:ban:11.*').split('\n')).toHaveLength(2 * committed);
    expect(Number(redis.cli('XLEN', 'barricata:journal'))).toBe(2 * committed);
  });

  it('names what is wrong when Redis takes no writes, and keeps the bans', async () => {
    redis.cli('CONFIG', 'SET', 'maxmemory', '1');
    try {
      expect(await host.commit(ban('203.0.113.9', 60))).toEqual(['offline']);
      await expect(manual.ban({ address: '203.0.113.8', until: FOREVER, reason: 'x' }, actor)).rejects.toMatchObject({
        kind: 'out_of_memory',
      });
    } finally {
      redis.cli('CONFIG', 'SET', 'maxmemory', '0');
    }
    await waitFor('the replay', () => redis.cli('EXISTS', key) === '1', 10_000);
    await expect(host.connection.call('NOSUCH')).rejects.toMatchObject({ kind: 'refused' });
    await expect(new RedisConnection('unix:///nowhere.sock').ready(50)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  const set = (...settings: string[]) => redis.cli('CONFIG', 'SET', ...settings);
  const errors = (code: string) =>
    Number(new RegExp(`errorstat_${code}:count=(\\d+)`).exec(redis.cli('INFO', 'errorstats'))?.[1] ?? 0);
  const failingDisk = join('dump.rdb', 'in-the-way');

  it.each([
    ['OOM', () => set('maxmemory', '1'), () => set('maxmemory', '0')],
    ['READONLY', () => redis.cli('REPLICAOF', '127.0.0.1', '1'), () => redis.cli('REPLICAOF', 'NO', 'ONE')],
    ['NOREPLICAS', () => set('min-replicas-to-write', '1'), () => set('min-replicas-to-write', '0')],
    [
      'MISCONF',
      async () => {
        mkdirSync(join(redis.dir, failingDisk), { recursive: true });
        set('save', '3600 1');
        redis.cli('BGSAVE');
        await waitFor('a failed save', () => redis.cli('INFO', 'persistence').includes('rdb_last_bgsave_status:err'));
      },
      () => {
        set('save', '');
        rmSync(join(redis.dir, 'dump.rdb'), { recursive: true });
      },
    ],
  ])('keeps what waits while Redis says %s, however often it is asked', async (code, begin, end) => {
    await redis.kill();
    await waitFor('the loss', () => !host.connection.up);
    expect(await host.commit(ban('203.0.113.9', 3600))).toEqual(['offline']);
    await redis.start();
    const before = errors(code);
    await begin();
    try {
      expect(await host.commit(ban('203.0.113.10', 3600))).toEqual(['offline']);
      await waitFor('two refusals', () => errors(code) >= before + 2, 20_000);
      expect(host.store.waiting).toBeGreaterThan(0);
      expect(host.mirror.get('ban', '203.0.113.10')).toBeGreaterThan(Date.now());
    } finally {
      await end();
    }
    await waitFor('the replay', () => host.store.waiting === 0, 20_000);
    expect(redis.cli('EXISTS', key, 'barricata:ban:203.0.113.10')).toBe('2');
    expect(host.store.givenUp).toBe(0);
  });

  it('gives up only the entry of the offline journal that Redis refuses, and counts it', async () => {
    await redis.kill();
    await waitFor('the loss', () => !host.connection.up);
    const decisions = [8, 9, 10].map((n) => ban(`203.0.113.${n}`, 3600));
    await host.store.commit({ decisions, position: { source: '/e.json', value: 7 } });
    await host.commit(ban('203.0.113.11', 3600));
    await host.stop();
    // As another version might have written it.
    const path = join(redis.dir, 'h1.journal');
    const [first, ...rest] = readFileSync(path, 'utf8').split('\n');
    const spoilt = (first as string)
      .slice(9)
      .replace(
        '"{\\"t\\":\\"ban\\",\\"key\\":\\"barricata:ban:203.0.113.9',
        '"{\\"t\\":\\"block\\",\\"key\\":\\"barricata:ban:203.0.113.9',
      );
    expect(spoilt).toContain('block');
    writeFileSync(path, [`${crc32(spoilt).toString(16).padStart(8, '0')} ${spoilt}`, ...rest].join('\n'));
    await redis.start();
    await restart();
    await waitFor('the replay', () => host.connection.up && host.store.waiting === 0);
    expect(host.store.givenUp).toBe(1);
    expect(redis.cli('KEYS', 'barricata:ban:*').split('\n').sort()).toEqual(
      [10, 11, 8].map((n) => `barricata:ban:203.0.113.${n}`),
    );
    expect(await host.store.positions()).toEqual(new Map([['/e.json', 7]]));
  });

  it('waits for a person while the journal is a key of another type', async () => {
    await redis.kill();
    await waitFor('the loss', () => !host.connection.up);
    expect(await host.commit(ban('203.0.113.9', 3600))).toEqual(['offline']);
    await redis.start();
    redis.cli('SET', 'barricata:journal', 'by mistake');
    const typed = () => Number(/cmdstat_type:calls=(\d+)/.exec(redis.cli('INFO', 'commandstats'))?.[1] ?? 0);
    const before = typed();
    await waitFor('two looks', () => typed() > before + 8, 20_000);
    expect(host.store.waiting).toBe(1);
    expect(redis.cli('EXISTS', key)).toBe('0');
    redis.cli('DEL', 'barricata:journal');
    await waitFor('the replay', () => host.store.waiting === 0, 20_000);
    expect(await acts()).toEqual(['ban']);
  });

  it('takes a pardon key of another type for none', async () => {
    redis.cli('LPUSH', 'barricata:pardon:203.0.113.9', 'x');
    expect(await host.commit(ban('203.0.113.9', 60))).toEqual(['stored']);
  });

  it('refuses a host name that another machine uses', async () => {
    expect(await writeHeartbeat(host.connection, host.keys, 'm1', { mode: 'enforce' })).toBe(true);
    expect(await writeHeartbeat(host.connection, host.keys, 'm2', { mode: 'enforce' })).toBe(false);
    expect(await writeHeartbeat(host.connection, host.keys, 'm1', { mode: 'observe' })).toBe(true);
    expect(ttl('barricata:host:h1')).toBeGreaterThan(25);
  });

  it('journals a mode typed by hand once for two daemons, and one set by command only as such', async () => {
    const second = await new Host(redis, 'h2').start();
    try {
      await second.armed();
      redis.cli('SET', 'barricata:mode', 'observe');
      const modeLines = async () => (await journal.read(1000)).filter(({ act }) => act === 'mode');
      await waitFor(
        'both to see it',
        () => host.mirror.mode.mode === 'observe' && second.mirror.mode.mode === 'observe',
      );
      await waitFor('quiet', () => host.edits.waiting === 0 && second.edits.waiting === 0);
      expect(await modeLines()).toMatchObject([{ address: 'fleet', from: 'redis', after: 'observe' }]);
      await manual.setMode({ mode: 'off', until: FOREVER, after: null }, 'why', actor);
      await waitFor('off', () => host.mirror.mode.mode === 'off' && second.mirror.mode.mode === 'off');
      await manual.setMode(null, 'why', actor);
      await waitFor('the file', () => host.mirror.mode.mode === 'enforce' && second.mirror.mode.mode === 'enforce');
      await waitFor('quiet', () => host.edits.waiting === 0 && second.edits.waiting === 0);
      expect(await modeLines()).toMatchObject([
        { by: 'kim', before: 'off', after: null },
        { by: 'kim', before: 'observe', after: 'off' },
        { from: 'redis', after: 'observe' },
      ]);
    } finally {
      await second.stop();
    }
  });

  it('extends and notes bans of this host and in other spellings, and reads no other key for one that exists', async () => {
    redis.cli('SET', 'barricata:local:h1:203.0.113.9', 'x', 'EX', '60');
    redis.cli('SET', 'barricata:ban:203.0.113.10/32', 'x', 'EX', '60');
    redis.cli('SET', 'barricata:ban:2001:0db8:0000::0001', 'x', 'EX', '60');
    const scans = () => Number(/cmdstat_scan:calls=(\d+)/.exec(redis.cli('INFO', 'commandstats'))?.[1] ?? 0);
    const before = scans();
    const [local] = await manual.find('ban', '203.0.113.9');
    expect(local).toMatchObject({ kind: 'local', host: 'h1', key: 'barricata:local:h1:203.0.113.9' });
    expect(scans() - before).toBeLessThanOrEqual(host.mirror.status().walks);
    const until = Date.now() + 3_600_000;
    for (const text of ['203.0.113.9', '203.0.113.10', '2001:db8::1']) {
      expect(outcome(await manual.extend(text, until, 'longer', actor))).toBe('extended');
      expect(outcome(await manual.note(text, 'seen', null, actor))).toBe('stored');
    }
    expect(ttl('barricata:local:h1:203.0.113.9')).toBeGreaterThan(3500);
    expect(record('barricata:ban:203.0.113.10/32')).toMatchObject({ note: 'seen' });
    expect(ttl('barricata:ban:2001:0db8:0000::0001')).toBeGreaterThan(3500);
    expect(redis.cli('EXISTS', 'barricata:ban:203.0.113.9', 'barricata:ban:2001:db8::1')).toBe('0');
  });

  it.each([
    [
      '203.0.113.9',
      [
        'ban:203.0.113.9/32',
        'ban:::ffff:203.0.113.9',
        'ban:0000:0000::0000:FFFF:CB00:7109',
        'ban:::ffff:cb00:7109/128',
      ],
    ],
    ['203.0.113.0/24', ['ban:::ffff:203.0.113.0/120', 'local:h2:0:0:0:0:0:FFFF:cb00:7100/120']],
    [
      '2001:db8:0:50::a',
      [
        'ban:2001:0db8:0000:0050:0000:0000:0000:000a',
        'ban:2001:DB8:0:50::A/128',
        'local:h1:2001:db8:0:50::0.0.0.10',
        'local:another-host:2001:0DB8::50:0:0:0:A',
      ],
    ],
    ['2001:db8::/32', ['ban:2001:0DB8::/32', 'local:h3:2001:db8:0:0:0:0:0:0/32']],
  ])('lifts %s in every spelling and on every host', async (address, odd) => {
    const others = ['ban:203.0.113.90', 'ban:203.0.113.0/25', 'ban:2001:db8::/33', 'ban:2001:db8:0:50::b', 'ban:x'];
    for (const name of [...odd, `ban:${address}`, ...others]) redis.cli('SET', `barricata:${name}`, 'x');
    const lifted = await manual.unban([address], { reason: 'done' }, actor);
    expect(lifted.map(({ key }) => key).sort()).toEqual(
      [`barricata:ban:${address}`, ...odd.map((name) => `barricata:${name}`)].sort(),
    );
    expect(new Set(lifted.map((entry) => entry.address))).toEqual(new Set([address]));
    expect(redis.cli('KEYS', 'barricata:[bl]*:*').split('\n').sort()).toEqual(
      others.map((name) => `barricata:${name}`).sort(),
    );
    for (const name of [`allow:${address}`, 'allow:::ffff:198.51.100.7']) redis.cli('SET', `barricata:${name}`, 'x');
    expect(await manual.allowRemove(address, 'over', actor)).toHaveLength(1);
    expect(await manual.allowRemove('198.51.100.7', 'over', actor)).toHaveLength(1);
  });

  it('lifts several at once, in every spelling', async () => {
    for (const name of ['ban:203.0.113.9', 'ban:::ffff:203.0.113.10', 'local:h2:203.0.113.11', 'ban:203.0.113.12'])
      redis.cli('SET', `barricata:${name}`, 'x');
    const three = ['203.0.113.9', '203.0.113.10', '203.0.113.11'];
    expect(await manual.unban(three, { reason: 'done' }, actor)).toHaveLength(3);
    expect(redis.cli('KEYS', 'barricata:[bl]*:*')).toBe('barricata:ban:203.0.113.12');
  });

  it('finds every ban that covers an address, the narrowest first', async () => {
    for (const key of ['ban:203.0.113.9/32', 'local:h1:203.0.113.0/24', 'ban:203.0.0.0/16', 'ban:203.0.112.0/24']) {
      redis.cli('SET', `barricata:${key}`, 'x');
    }
    redis.cli('SET', 'barricata:ban:2001:db8::/32', 'x');
    const covering = async (text: string) => (await manual.covering(text)).map(({ address }) => address);
    expect(await covering('203.0.113.9')).toEqual(['203.0.113.9', '203.0.113.0/24', '203.0.0.0/16']);
    expect(await covering('203.0.113.0/24')).toEqual(['203.0.113.0/24', '203.0.0.0/16']);
    expect(await covering('2001:db8::7')).toEqual(['2001:db8::/32']);
    expect(await covering('192.0.2.1')).toEqual([]);
  });
});
