import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { createLog } from '../../src/base/log.js';
import { RedisConnection } from '../../src/blocklist/connection.js';
import { Journal } from '../../src/blocklist/journal.js';
import { Keys } from '../../src/blocklist/keys.js';
import { Mirror } from '../../src/blocklist/mirror.js';
import { QuarantineState } from '../../src/blocklist/quarantine.js';
import { manualRecord } from '../../src/blocklist/record.js';
import { RuleQuarantine } from '../../src/daemon/rule-quarantine.js';
import type { Decision } from '../../src/policy/ban.js';
import { type Ruleset, RulesetLines } from '../../src/suricata/ruleset.js';
import { FakeClock } from '../support/clock.js';
import { hasFeatures } from '../support/feature.js';
import { waitFor } from '../support/netns.js';
import { TestRedis } from '../support/redis.js';

const HOUR = 3_600_000;
const log = createLog('silent');
const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

/** Rules given as sid or as [sid, rev]. */
function ruleset(...rules: (number | readonly [number, number])[]): Ruleset {
  const lines = new RulesetLines();
  for (const rule of rules) {
    const [sid, rev] = typeof rule === 'number' ? [rule, 1] : rule;
    lines.push(`alert tcp any any -> any any (msg:"r"; sid:${sid}; rev:${rev};)\n`);
  }
  return lines.end('/rules/suricata.rules');
}

function ban(sid: number, rev = 1): Decision {
  const record = { ...manualRecord({ reason: 'x', from: 'daemon', at: '' }), gid: 1, sid, rev };
  return {
    kind: 'ban',
    candidate: '203.0.113.9',
    steps: [],
    ban: { prefix: '203.0.113.9', until: 1e15, record, flowStart: null, proven: true },
  };
}

/** One daemon's share: what it knows of the rules file, of Redis and of what people said. */
class Host {
  readonly clock: FakeClock;
  readonly connection: RedisConnection;
  readonly source: { ruleset: Ruleset | null; settling: boolean } = { ruleset: null, settling: false };
  readonly pardoned = new Set<number>();
  readonly suppressed = new Set<number>();
  readonly quarantine: RuleQuarantine;
  factsKnown = true;
  marks: { age: number; hits: number } | null = { age: 3 * 86_400, hits: 5 };

  constructor(redis: TestRedis, name: string, clock: FakeClock) {
    this.clock = clock;
    this.connection = new RedisConnection(redis.url);
    this.quarantine = new RuleQuarantine({
      marks: () => this.marks,
      source: this.source,
      state: new QuarantineState(this.connection, new Keys('barricata', name), clock),
      facts: { pardonedSids: () => this.pardoned, isSuppressedSomewhere: (_gid, sid) => this.suppressed.has(sid) },
      factsKnown: () => this.factsKnown,
      connection: this.connection,
      clock,
      log,
    });
  }

  async start(rules: Ruleset | null): Promise<this> {
    this.source.ruleset = rules;
    await this.connection.start();
    await this.connection.ready();
    await this.quarantine.start();
    if (rules !== null) await this.known();
    return this;
  }

  /** Another rules file was read. */
  async read(rules: Ruleset): Promise<void> {
    this.source.ruleset = rules;
    this.quarantine.rulesRead();
    await this.known();
  }

  known(): Promise<unknown> {
    return this.until('Redis to say which rules are new', () => this.quarantine.status()?.waiting === null);
  }

  until(what: string, condition: () => unknown): Promise<unknown> {
    return waitFor(what, async () => {
      await this.clock.advance(500);
      return condition();
    });
  }

  get size(): number | undefined {
    return this.quarantine.status()?.rules;
  }

  /** What becomes of a ban by this rule. */
  kind(sid: number, rev = 1): string {
    return this.quarantine.admit(ban(sid, rev)).kind;
  }

  async stop(): Promise<void> {
    await this.quarantine.stop();
    await this.connection.stop();
  }
}

describe.skipIf(!hasFeatures('redis-server'))('rules that an update brought', () => {
  let redis: TestRedis;
  let clock: FakeClock;
  let hosts: Host[];

  beforeAll(async () => {
    redis = await new TestRedis().start();
  });
  afterAll(() => redis.stop());
  beforeEach(() => {
    redis.cli('FLUSHALL');
    clock = new FakeClock();
    hosts = [];
  });
  afterEach(async () => {
    for (const host of hosts) await host.stop();
  });

  async function start(rules: Ruleset | null, name = 'h1'): Promise<Host> {
    const host = await new Host(redis, name, clock).start(rules);
    hosts.push(host);
    return host;
  }

  async function journal(): Promise<string[]> {
    const connection = new RedisConnection(redis.url);
    await connection.start();
    await connection.ready();
    const lines = await new Journal(connection, new Keys()).read(100);
    await connection.stop();
    return lines.reverse().map(({ act, address, why }) => `${act} ${address}: ${why}`);
  }

  it('only would ban, while those of the first file ban at once', async () => {
    const host = await start(ruleset(...range(1, 2500)));
    expect(host.size).toBe(0);
    expect(range(1, 2500).every((sid) => host.kind(sid) === 'ban')).toBe(true);
    await host.read(ruleset(...range(1, 2550)));
    expect(host.size).toBe(50);
    expect(range(2501, 50).map((sid) => host.kind(sid))).toEqual(Array(50).fill('would_ban'));
    expect(host.kind(1)).toBe('ban');
    expect(host.kind(2500)).toBe('ban');
    expect(await journal()).toEqual([
      'baseline rules: 2500 rules of /rules/suricata.rules',
      expect.stringMatching(/^quarantine rules: 50 rules of .* only would ban: 1:2501:1 1:2502:1 .* 1:2520:1 \.\.\.$/),
    ]);
  });

  it('ban when they have the age and the hits, which the journal says once', async () => {
    const host = await start(ruleset(1));
    await host.read(ruleset(1, 2, 3));
    for (let i = 0; i < 5; i++) expect(host.kind(2)).toBe('would_ban');
    expect(host.kind(3)).toBe('would_ban');
    await host.until('the hits to be counted', () => redis.cli('HGET', 'barricata:quarantine', '1:2:1').endsWith(' 5'));
    await clock.advance(71 * HOUR);
    expect(host.kind(2)).toBe('would_ban');
    await clock.advance(HOUR);
    await host.until('the promotion', () => host.size === 1);
    expect(host.kind(2)).toBe('ban');
    expect(host.kind(3)).toBe('would_ban');
    const promotions = (await journal()).filter((line) => line.startsWith('promote'));
    expect(promotions).toEqual([expect.stringMatching(/^promote 1:2:1: [56] hits, and none called wrong$/)]);
  });

  it('count the would-be bans of observe mode too', async () => {
    const host = await start(ruleset(1));
    await host.read(ruleset(1, 2));
    const seen = { ...ban(2), kind: 'would_ban', why: 'observe mode' } as Decision;
    expect(host.quarantine.admit(seen)).toBe(seen);
    await host.until('the hit', () => redis.cli('HGET', 'barricata:quarantine', '1:2:1').endsWith(' 1'));
  });

  it('stay in quarantine over restarts, and enter it again with a new revision', async () => {
    const first = await start(ruleset(1));
    await first.read(ruleset(1, 2));
    first.kind(2);
    await first.until('the hit', () => redis.cli('HGET', 'barricata:quarantine', '1:2:1').endsWith(' 1'));
    await first.stop();
    hosts.length = 0;
    const second = await start(ruleset(1, 2));
    expect([second.kind(1), second.kind(2)]).toEqual(['ban', 'would_ban']);
    await second.read(ruleset([1, 2], 2));
    expect(second.kind(1, 2)).toBe('would_ban');
    // A sensor that was not told to read its rules again still runs the old one.
    expect(second.kind(1, 1)).toBe('ban');
    expect(second.kind(1, 3)).toBe('would_ban');
  });

  it('keep their age when they are removed and come back', async () => {
    const host = await start(ruleset(1));
    await host.read(ruleset(1, 2));
    const entered = redis.cli('HGET', 'barricata:quarantine', '1:2:1');
    await host.read(ruleset(1));
    // The sensor may run it on.
    expect(host.kind(2)).toBe('would_ban');
    await clock.advance(24 * HOUR);
    await host.read(ruleset(1, 2));
    expect(redis.cli('HGET', 'barricata:quarantine', '1:2:1').split(' ')[0]).toBe(entered.split(' ')[0]);
    await host.read(ruleset(2));
    await host.read(ruleset(1, 2));
    expect(host.kind(1)).toBe('ban');
  });

  it('that a person called wrong begin again', async () => {
    const host = await start(ruleset(1));
    await host.read(ruleset(1, 2, 3));
    for (let i = 0; i < 9; i++) for (const sid of [2, 3]) host.kind(sid);
    await host.until('the hits', () => redis.cli('HGET', 'barricata:quarantine', '1:3:1').endsWith(' 9'));
    host.pardoned.add(2);
    host.suppressed.add(3);
    await clock.advance(100 * HOUR);
    await host.until('both to begin again', () =>
      /^\d+ 0\n\d+ 0$/.test(redis.cli('HMGET', 'barricata:quarantine', '1:2:1', '1:3:1')),
    );
    host.pardoned.clear();
    host.suppressed.clear();
    for (let i = 0; i < 5; i++) expect(host.kind(2)).toBe('would_ban');
    await clock.advance(71 * HOUR);
    expect(host.kind(2)).toBe('would_ban');
    await clock.advance(2 * HOUR);
    await host.until('the promotion', () => host.kind(2) === 'ban');
  });

  it('are not let out before it is known what people said', async () => {
    const host = await start(ruleset(1));
    await host.read(ruleset(1, 2));
    host.factsKnown = false;
    redis.cli('HSET', 'barricata:quarantine', '1:2:1', '1000 9');
    await host.read(ruleset(1, 2, 3));
    await clock.advance(HOUR);
    expect(host.kind(2)).toBe('would_ban');
    host.factsKnown = true;
    await host.until('the promotion', () => host.kind(2) === 'ban');
  });

  it('are told which of them a person called wrong', async () => {
    const connection = new RedisConnection(redis.url);
    const mirror = new Mirror({
      connection,
      url: redis.url,
      keys: new Keys(),
      clock: systemClock,
      log,
      onChange: () => {},
    });
    await connection.start();
    await mirror.start();
    const { facts } = mirror;
    const said = () => [facts.isSuppressedSomewhere(1, 5), facts.isSuppressedSomewhere(3, 5), ...facts.pardonedSids()];
    expect(said()).toEqual([false, false]);
    redis.cli('SET', 'barricata:suppress:1:5:203.0.113.0/24', 'wrong', 'EX', '600');
    redis.cli('SET', 'barricata:pardon:203.0.113.9', '{"at":1,"sids":[7,8]}', 'EX', '600');
    redis.cli('SET', 'barricata:pardon:203.0.113.10', 'by hand', 'EX', '600');
    await waitFor('both to be read', () => said().length === 4 && said()[0] === true);
    expect(said()).toEqual([true, false, 7, 8]);
    redis.cli('DEL', 'barricata:suppress:1:5:203.0.113.0/24', 'barricata:pardon:203.0.113.9');
    await waitFor('both to be forgotten', () => said().length === 2 && said()[0] === false);
    await mirror.stop();
    await connection.stop();
  });

  it('are shared by the fleet, with the hits of every host and one promotion', async () => {
    const [one, two] = [await start(ruleset(1)), await start(ruleset(1), 'h2')];
    await one.read(ruleset(1, 2));
    await two.read(ruleset(1, 2));
    for (let i = 0; i < 3; i++) for (const host of [one, two]) expect(host.kind(2)).toBe('would_ban');
    await one.until('the hits', () => redis.cli('HGET', 'barricata:quarantine', '1:2:1').endsWith(' 6'));
    await clock.advance(73 * HOUR);
    await one.until('both to know', () => one.size === 0 && two.size === 0);
    expect([one.kind(2), two.kind(2)]).toEqual(['ban', 'ban']);
    expect((await journal()).map((line) => line.split(' ')[0])).toEqual(['baseline', 'quarantine', 'promote']);
  });

  it('are let out by hand', async () => {
    const host = await start(ruleset(1));
    await host.read(ruleset(1, 2, 3));
    redis.cli('HDEL', 'barricata:quarantine', '1:2:1');
    await host.until('it to be out', () => host.size === 1);
    expect([host.kind(2), host.kind(3)]).toEqual(['ban', 'would_ban']);
  });

  it('do not get out because Redis was emptied', async () => {
    const host = await start(ruleset(1));
    await host.read(ruleset(1, 2));
    host.kind(2);
    await host.until('the hit', () => redis.cli('HGET', 'barricata:quarantine', '1:2:1').endsWith(' 1'));
    const before = redis.cli('HGET', 'barricata:quarantine', '1:2:1');
    redis.cli('FLUSHALL');
    const seen = () => redis.cli('HGETALL', 'barricata:rules').split('\n').sort().join(' ');
    await host.until('the rules to be known again', () => seen() === '1 1 1:1 1:2');
    expect(redis.cli('HGET', 'barricata:quarantine', '1:2:1')).toBe(before);
    await host.known();
    expect([host.kind(1), host.kind(2)]).toEqual(['ban', 'would_ban']);
  });

  it('count as quarantined while it is not known whether they are new', async () => {
    const host = await start(ruleset(1));
    await host.connection.stop();
    host.source.ruleset = ruleset(1, 2, [3, 2]);
    expect([host.kind(1), host.kind(2), host.kind(3, 2)]).toEqual(['ban', 'would_ban', 'would_ban']);
    expect(host.quarantine.status()?.waiting).toMatch(/Redis has not said/);
    // While the file is being written, what it does not have yet may be new.
    expect(host.kind(99)).toBe('ban');
    host.source.settling = true;
    expect(host.kind(99)).toBe('would_ban');
  });

  it('are nobody where there is no rules file, no quarantine, or no rule', async () => {
    const host = await start(null);
    expect(host.kind(2)).toBe('ban');
    expect(host.size).toBe(0);
    await host.read(ruleset(1));
    await host.read(ruleset(1, 2));
    expect(host.kind(77)).toBe('ban');
    const detection = ban(0);
    if (detection.kind === 'ban') Object.assign(detection.ban.record, { sid: null, gid: null, rev: null });
    expect(host.quarantine.admit(detection)).toBe(detection);
    host.marks = null;
    expect(host.kind(2)).toBe('ban');
    expect(host.quarantine.status()).toBeNull();
  });

  it('let alerts wait at the start, but not for long', async () => {
    const host = new Host(redis, 'h1', clock);
    hosts.push(host);
    host.source.settling = true;
    expect(host.quarantine.waitsFor).toMatch(/rules file/);
    await host.quarantine.start();
    host.source.settling = false;
    expect(host.quarantine.waitsFor).toBeNull();
    host.source.ruleset = ruleset(1);
    expect(host.quarantine.waitsFor).toMatch(/Redis/);
    await clock.advance(11_000);
    expect(host.quarantine.waitsFor).toBeNull();
    expect(host.kind(1)).toBe('would_ban');
    host.marks = null;
    expect(host.kind(1)).toBe('ban');
  });

  it('of two hosts that read different first files at once make one baseline', async () => {
    const states = ['h1', 'h2'].map((name) => new Host(redis, name, clock));
    hosts.push(...states);
    await Promise.all(states.map((host, i) => host.start(ruleset(...range(i * 10_000 + 1, 3000)))));
    const seen = Number(redis.cli('HLEN', 'barricata:rules'));
    expect(seen).toBe(6000);
    expect(states.map((host) => host.size).sort()).toEqual([0, 3000]);
    expect(redis.cli('KEYS', 'barricata:rules-next*')).toBe('');
    expect(redis.cli('TTL', 'barricata:rules')).toBe('-1');
  });

  it('of a large file are entered in a moment', async () => {
    const begin = systemClock.monotonic();
    const host = await start(ruleset(...range(1, 60_000)));
    await host.read(ruleset(...range(1, 60_050)));
    expect(host.size).toBe(50);
    expect(systemClock.monotonic() - begin).toBeLessThan(10_000);
  });
});
