/** What the policy remembers in Redis: repeated alerts, repeat offenders, the /64 of IPv6 attackers, pardons. From alert to key. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { createLog, type Log } from '../../src/base/log.js';
import { RedisConnection } from '../../src/blocklist/connection.js';
import { Flags } from '../../src/blocklist/flags.js';
import { Journal } from '../../src/blocklist/journal.js';
import { Keys } from '../../src/blocklist/keys.js';
import { ManualActs } from '../../src/blocklist/manual.js';
import { Mirror } from '../../src/blocklist/mirror.js';
import { Offences } from '../../src/blocklist/offences.js';
import { OfflineJournal } from '../../src/blocklist/offline-journal.js';
import { RawEdits } from '../../src/blocklist/raw-edits.js';
import { decodeValue } from '../../src/blocklist/record.js';
import { Store } from '../../src/blocklist/store.js';
import { Decisions } from '../../src/daemon/decisions.js';
import { RecentDecisions } from '../../src/daemon/recent-decisions.js';
import { BanLimits } from '../../src/policy/limits.js';
import type { EveAlert } from '../../src/suricata/eve-alert.js';
import { hasFeatures } from '../support/feature.js';
import { waitFor } from '../support/netns.js';
import { TestRedis } from '../support/redis.js';
import { type AlertShape, alertFrom, BAN_ALL, contextFor } from '../unit/policy/support.js';

const silent = createLog('silent');
const actor = { by: 'kim', from: 'cli', host: 'h1' } as const;
const HOUR = 3600;

describe.skipIf(!hasFeatures('redis-server'))('the state of the policy', () => {
  let redis: TestRedis;
  let host: Host;

  /** A daemon without packets: alerts in, keys out. */
  class Host {
    readonly keys: Keys;
    readonly connection = new RedisConnection(redis.url);
    readonly decisions: Decisions;
    readonly mirror: Mirror;
    readonly store: Store;
    readonly edits: RawEdits;
    readonly acts: ManualActs;
    readonly flags: Flags;
    readonly told: string[] = [];
    now = Date.now();
    /** What the only policy line bans for, s. */
    lasts = HOUR;

    constructor(name: string) {
      this.keys = new Keys('barricata', name);
      const shared = { connection: this.connection, keys: this.keys, clock: systemClock, log: silent };
      this.edits = new RawEdits(shared);
      this.mirror = new Mirror({ ...shared, url: redis.url, onChange: () => {}, edits: this.edits });
      const offline = new OfflineJournal(join(redis.dir, `${name}.journal`));
      this.store = new Store({ ...shared, mirror: this.mirror, offline });
      this.flags = new Flags(this.connection, this.keys, systemClock);
      this.acts = new ManualActs(this.connection, this.keys, systemClock);
      const log = { ...silent, info: (_: object, message: string) => this.told.push(message), warn: () => {} };
      this.decisions = new Decisions({
        context: () => this.context(),
        quarantine: { admit: (decision) => decision },
        history: { add() {} },
        limits: new BanLimits({
          newBansPerMinute: 1000,
          totalBans: 1_000_000,
          knownGoodShare: null,
          whenReached: 'stop_and_alert',
          isKnownGood: null,
          clock: systemClock,
          isBanned: (text) => this.mirror.get('ban', text) !== undefined,
          total: () => this.mirror.status().entries,
        }),
        store: this.store,
        isBanned: (text) => this.mirror.get('ban', text) !== undefined,
        offences: new Offences({ ...shared, skew: () => this.mirror.skew }),
        recent: new RecentDecisions(),
        waitsFor: () => null,
        clock: { ...systemClock, now: () => this.now },
        log: log as unknown as Log,
      });
    }
    context() {
      return {
        ...contextFor({
          now: this.now,
          policy: [{ ...BAN_ALL, then: { kind: 'ban', duration: this.lasts } }],
          home: ['192.168.0.0/16', '2001:db8:50::/48'],
        }),
        exceptionInside: (network: Parameters<Mirror['facts']['exceptionInside']>[0]) =>
          this.mirror.facts.exceptionInside(network),
      };
    }
    async start(): Promise<this> {
      for (const part of [this.connection, this.edits, this.mirror, this.store]) await part.start();
      await waitFor('the first comparison', () => this.mirror.complete && this.mirror.status().tracking);
      return this;
    }
    async stop(): Promise<void> {
      for (const part of [this.store, this.mirror, this.edits, this.connection]) await part.stop();
    }
    /** Alerts of one batch, as the eve reader hands them on. */
    alerts(...shapes: (AlertShape & { readonly over?: Partial<EveAlert> })[]): Promise<void> {
      const alerts = shapes.map(({ over, ...shape }) => {
        const dest = shape.src?.includes(':') ? '2001:db8:50::10' : '192.168.50.10';
        return alertFrom({ dest, at: this.now, flowStart: this.now - 500, ...shape }, over);
      });
      return this.decisions.onBatch({ source: '/eve.json', alerts, lines: alerts.length, position: String(this.now) });
    }
    async attack(src: string, over: AlertShape = {}): Promise<void> {
      this.now = Math.max(Date.now(), this.now + 1);
      await this.alerts({ src, ...over });
    }
  }

  beforeAll(async () => {
    redis = await new TestRedis('--appendfsync', 'no').start();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    redis.cli('FLUSHALL');
    for (const name of ['h1', 'h2']) rmSync(join(redis.dir, `${name}.journal`), { force: true });
    host = await new Host('h1').start();
  });
  afterEach(() => host.stop());

  const banKey = (text: string) => `barricata:ban:${text}`;
  const ttl = (text: string) => Number(redis.cli('TTL', banKey(text)));
  const record = (text: string) => decodeValue(redis.cli('GET', banKey(text)))?.record;
  const banned = () => redis.cli('--scan', '--pattern', 'barricata:ban:*').split('\n').filter(Boolean).sort();
  const offences = (text: string) => Number(redis.cli('ZCARD', `barricata:offence:${text}`));
  const sets = () => Number(/cmdstat_set:calls=(\d+)/.exec(redis.cli('INFO', 'commandstats'))?.[1] ?? 0);
  const over = (text: string) => waitFor(`the end of ${text}`, () => redis.cli('EXISTS', banKey(text)) === '0');
  const acts = async () => (await new Journal(host.connection, host.keys).read(1000)).map(({ act }) => act);

  it('is one ban for 10,000 alerts of one address: one create, a write a minute, one line told', async () => {
    redis.cli('CONFIG', 'RESETSTAT');
    const minutes = 10;
    const began = host.now;
    for (let batch = 0; batch < 100; batch++) {
      host.now = began + Math.round((batch * minutes * 60_000) / 100);
      await host.alerts(...Array.from({ length: 100 }, (_, i) => ({ src: '203.0.113.9', flowId: batch * 100 + i })));
    }
    expect(sets()).toBeGreaterThan(5);
    expect(sets()).toBeLessThanOrEqual(1 + minutes);
    expect(await acts()).toEqual(['ban']);
    expect(host.told).toEqual(['ban stored']);
    expect(offences('203.0.113.9')).toBe(1);
    expect(ttl('203.0.113.9')).toBeGreaterThan(HOUR + (minutes - 2) * 60);
    host.now = began + 11 * 60_000;
    await host.alerts({ src: '203.0.113.9', flowId: 77_777 });
    expect(record('203.0.113.9')?.count).toBe(10_001);
  });

  it('writes an entry once for all signatures of a batch, and keeps each for a pardon', async () => {
    redis.cli('CONFIG', 'RESETSTAT');
    await host.alerts(...[1, 2, 3, 4].map((sid) => ({ src: '203.0.113.9', sid })));
    expect(sets()).toBe(1);
    expect(record('203.0.113.9')).toMatchObject({ sids: [1, 2, 3, 4], sid: 1 });
    expect(await acts()).toEqual(['ban']);
    await host.alerts(...[2, 3, 5].map((sid) => ({ src: '203.0.113.9', sid })));
    expect(sets()).toBe(2);
    expect(record('203.0.113.9')?.sids).toEqual([1, 2, 3, 4, 5]);
  });

  it('bans longer each time, from another host and after a restart too', async () => {
    host.lasts = 1;
    await host.attack('203.0.113.9');
    await over('203.0.113.9');
    host.lasts = HOUR;
    const other = await new Host('h2').start();
    try {
      other.lasts = HOUR;
      await other.attack('203.0.113.9');
      expect(ttl('203.0.113.9')).toBeGreaterThan(4 * HOUR - 5);
      expect(record('203.0.113.9')).toMatchObject({ earlier_bans: 1 });
      await other.attack('203.0.113.9');
      expect(ttl('203.0.113.9')).toBeLessThanOrEqual(4 * HOUR);
    } finally {
      await other.stop();
    }
    expect(offences('203.0.113.9')).toBe(2);
    expect(Number(redis.cli('TTL', 'barricata:offence:203.0.113.9'))).toBeGreaterThan(30 * 86_400 - 10);
    redis.cli('DEL', banKey('203.0.113.9'));
    await waitFor('the unban to be journaled', () => offences('203.0.113.9') === 1);
    await host.attack('203.0.113.9', { sid: 5 });
    expect(ttl('203.0.113.9')).toBeGreaterThan(4 * HOUR - 5);
    expect(ttl('203.0.113.9')).toBeLessThanOrEqual(4 * HOUR);
  });

  it('counts detections of the packet filter that are proven, and bans them for the fleet; others stay here', async () => {
    const detect = (source: string, proof: 'conntrack' | null, ban: number) => {
      host.now = Math.max(Date.now(), host.now + 1);
      host.decisions.onDetection({
        ...{ detector: 'port_scan', source, target: '192.168.50.10', count: 31, window: 60, at: host.now },
        ...{ ban, proof, knownGood: proof === null ? null : false },
      });
    };
    await host.decisions.start();
    try {
      detect('203.0.113.9', 'conntrack', 1);
      await waitFor('the first ban', () => offences('203.0.113.9') === 1);
      await over('203.0.113.9');
      detect('203.0.113.9', 'conntrack', HOUR);
      await waitFor('the second ban', () => ttl('203.0.113.9') > 0);
      expect(ttl('203.0.113.9')).toBeGreaterThan(4 * HOUR - 5);
      expect(record('203.0.113.9')).toMatchObject({ source: 'filter', proof: 'conntrack', earlier_bans: 1 });
      detect('203.0.113.10', null, HOUR);
      const local = 'barricata:local:h1:203.0.113.10';
      await waitFor('the ban on this host', () => Number(redis.cli('TTL', local)) > 0);
      expect(Number(redis.cli('TTL', local))).toBeLessThanOrEqual(600);
      expect(banned()).toEqual([banKey('203.0.113.9')]);
      expect(offences('203.0.113.10')).toBe(0);
    } finally {
      await host.decisions.stop();
    }
  });

  it('takes a ban that a person lifted back as an offence, and keeps the ones before', async () => {
    host.lasts = 1;
    await host.attack('203.0.113.9');
    await over('203.0.113.9');
    host.lasts = HOUR;
    await host.attack('203.0.113.9');
    expect(offences('203.0.113.9')).toBe(2);
    await host.acts.unban(['203.0.113.9'], { reason: 'mistake' }, actor);
    expect(offences('203.0.113.9')).toBe(1);
    await host.acts.ban({ address: '203.0.113.9', until: Date.now() + 60_000, reason: 'by hand' }, actor);
    await host.acts.unban(['203.0.113.9'], { reason: 'by hand' }, actor);
    expect(offences('203.0.113.9')).toBe(1);
  });

  it('does not take an edited reason for the end of a ban', async () => {
    await host.attack('203.0.113.9');
    redis.cli('SET', banKey('203.0.113.9'), 'INC-1 mine', 'KEEPTTL');
    await host.attack('203.0.113.9', { sid: 9 });
    expect(ttl('203.0.113.9')).toBeLessThanOrEqual(HOUR);
  });

  it('counts nothing without proof', async () => {
    await host.attack('203.0.113.9', { proven: false });
    expect(redis.cli('EXISTS', 'barricata:local:h1:203.0.113.9')).toBe('1');
    expect(offences('203.0.113.9')).toBe(0);
  });

  const at = (n: number) => `2001:db8:1:2::${n}`;
  const NET = '2001:db8:1:2::/64';

  it('bans the /64 at its third proven address, whoever saw the others', async () => {
    await host.attack(at(1));
    const other = await new Host('h2').start();
    await other.attack(at(2));
    await other.stop();
    expect(banned()).toEqual([banKey(at(1)), banKey(at(2))].sort());
    await host.attack(at(3));
    expect(record(NET)).toMatchObject({ widened_from: at(3), earlier_bans: 2 });
    const keys = banned();
    await host.attack(at(4));
    expect(banned()).toEqual(keys);
    expect(offences(NET)).toBe(3);
  });

  it('bans the /64 at the third address within one batch', async () => {
    await host.alerts(...[1, 2, 3, 4].map((n) => ({ src: at(n), at: host.now + n })));
    expect(banned()).toEqual([at(1), at(2), NET].map(banKey).sort());
  });

  it('begins anew after a person unbanned the /64, whose pardon holds for each address of it', async () => {
    for (const n of [1, 2, 3]) await host.attack(at(n));
    const before = host.now;
    await host.acts.unban([NET], { reason: 'a school' }, actor);
    expect(offences(NET)).toBe(0);
    await waitFor('the pardon', () => host.mirror.facts.pardon(NET) !== null);
    await host.attack(at(7), { flowStart: before - 1000 });
    expect(redis.cli('EXISTS', banKey(at(7)))).toBe('0');
    for (const n of [8, 9, 10]) await host.attack(at(n), { flowStart: Date.now() + 10_000 });
    expect(redis.cli('EXISTS', banKey(at(10)))).toBe('1');
    expect(redis.cli('EXISTS', banKey(NET))).toBe('0');
  });

  it('leaves the /64 alone where a person pardoned one address of it, or suppressed a signature for it', async () => {
    for (const n of [1, 2]) await host.attack(at(n));
    redis.cli('SET', 'barricata:suppress:1:77:2001:db8:1:2::ff', 'false positive', 'EX', '600');
    await waitFor('the suppression', () => host.mirror.facts.suppressed(1, 77, `${at(1).slice(0, -1)}ff`) !== null);
    await host.attack(at(3));
    expect(banned()).toEqual([at(1), at(2), at(3)].map(banKey).sort());
  });

  it('bans as the first time while Redis is away, and counts that when it is back', async () => {
    host.lasts = 1;
    await host.attack('203.0.113.9');
    await over('203.0.113.9');
    host.lasts = HOUR;
    await redis.kill();
    await waitFor('the loss to be noticed', () => !host.connection.up);
    await host.attack('203.0.113.9');
    expect((host.mirror.level.get('ban', '203.0.113.9') ?? 0) - host.now).toBeLessThanOrEqual(HOUR * 1000);
    await redis.start();
    await waitFor('the offline journal to be applied', () => host.store.waiting === 0);
    expect(offences('203.0.113.9')).toBe(2);
  });

  describe('flags', () => {
    const called = (src: string, sid: number, dest = '203.0.113.9') => host.attack(src, { dest, sid });
    const key = 'barricata:flag:192.168.50.7:5';

    it('are kept for 30 days and listed, the latest first, and ban nobody', async () => {
      await called('192.168.50.7', 5);
      const first = Date.now();
      await waitFor('the next millisecond, which tells which is later', () => Date.now() > first);
      await called('2001:db8:50::7', 6, '2001:db8:9::1');
      const flags = await host.flags.list();
      expect(flags).toMatchObject([
        { inside: '2001:db8:50::7', sid: 6, outside: '2001:db8:9::1', count: 1, state: 'open', owner: null },
        { inside: '192.168.50.7', sid: 5, outside: '203.0.113.9', count: 1, state: 'open', owner: null },
      ]);
      expect(Number(redis.cli('TTL', key))).toBeGreaterThan(30 * 86_400 - 10);
      expect(banned()).toEqual([]);
    });

    it('are acknowledged by a person, in the journal, and stay so while the host goes on', async () => {
      await called('192.168.50.7', 5);
      const of = { state: 'acknowledged', owner: 'net team', reason: 'reinstalled' } as const;
      expect(await host.flags.mark('192.168.50.7', 5, of, actor)).toMatchObject({
        state: 'acknowledged',
        owner: 'net team',
      });
      const [line] = await new Journal(host.connection, host.keys).read(1);
      expect(line).toMatchObject({ act: 'acknowledge', address: '192.168.50.7', by: 'kim', why: 'reinstalled' });
      expect(line?.before).toContain('"open"');
      redis.cli(
        'SET',
        key,
        redis.cli('GET', key).replace(/"last":"[^"]*"/, '"last":"2020-01-01T00:00:00.000Z"'),
        'KEEPTTL',
      );
      await called('192.168.50.7', 5, '203.0.113.77');
      expect(await host.flags.list('open')).toEqual([]);
      expect(await host.flags.list('acknowledged')).toMatchObject([
        { outside: '203.0.113.77', count: 2, owner: 'net team' },
      ]);
      expect(await host.flags.mark('192.168.50.7', 5, { state: 'open' }, actor)).toMatchObject({
        state: 'open',
        owner: 'net team',
      });
    });

    it('are written once a minute, however many hosts the own one calls, and count every alert', async () => {
      redis.cli('CONFIG', 'RESETSTAT');
      for (let n = 1; n <= 50; n++) await called('192.168.50.7', 5, `203.0.113.${n}`);
      expect(sets()).toBe(1);
      host.now += 61_000;
      await host.alerts({ src: '192.168.50.7', dest: '203.0.113.99', sid: 5, at: host.now });
      // The time of a flag is the time of its writing.
      redis.cli(
        'SET',
        key,
        redis.cli('GET', key).replace(/"last":"[^"]*"/, '"last":"2020-01-01T00:00:00.000Z"'),
        'KEEPTTL',
      );
      await called('192.168.50.7', 5);
      expect((await host.flags.list())[0]?.count).toBe(52);
    });

    it('that are none are left out, and nobody is made up', async () => {
      redis.cli('SET', key, 'mine');
      redis.cli('SET', 'barricata:flag:nobody:5', '{}');
      redis.cli('LPUSH', 'barricata:flag:192.168.50.8:5', 'x');
      expect(await host.flags.list()).toEqual([]);
      for (const inside of ['192.168.50.7', '192.168.50.8', '192.168.50.9']) {
        expect(await host.flags.mark(inside, 5, { state: 'acknowledged' }, actor)).toBeNull();
      }
    });
  });

  it('survives an offence key that somebody made something else', async () => {
    redis.cli('SET', 'barricata:offence:203.0.113.9', 'x');
    await host.attack('203.0.113.9');
    expect(record('203.0.113.9')).toMatchObject({ sid: 2_019_232 });
    redis.cli('DEL', 'barricata:offence:203.0.113.10');
    redis.cli('ZADD', 'barricata:offence:203.0.113.10', '1', 'nonsense', '2', 'a b c');
    await host.attack('203.0.113.10');
    expect(ttl('203.0.113.10')).toBeLessThanOrEqual(HOUR);
  });
});
