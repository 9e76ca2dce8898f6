import { describe, expect, it } from 'vitest';
import type { Decision } from '../../../src/policy/ban.js';
import { decide } from '../../../src/policy/decide.js';
import { BanLimits, type LimitsOptions } from '../../../src/policy/limits.js';
import { alertFrom, BAN_ALL, contextFor } from './support.js';

const MINUTE = 60_000;

function ban(address: string): Decision {
  const alert = alertFrom({ src: address });
  const decision = decide(alert, contextFor({ now: alert.at, policy: [BAN_ALL] }));
  if (decision.kind !== 'ban') throw new Error(`expected a ban, got ${decision.kind}`);
  return decision;
}

const address = (n: number) => `203.0.${100 + Math.floor(n / 250)}.${(n % 250) + 1}`;

/** Limits with a clock that a test moves and a blocklist that it fills. */
function setUp(newBansPerMinute: number, totalBans = 1_000_000, more: Partial<LimitsOptions> = {}) {
  const world = { now: 5_000_000, banned: new Set<string>(), total: 0, told: [] as string[] };
  const limits = new BanLimits({
    newBansPerMinute,
    totalBans,
    knownGoodShare: null,
    whenReached: 'stop_and_alert',
    isKnownGood: null,
    onReached: (limit) => world.told.push(limit),
    ...more,
    clock: { monotonic: () => world.now },
    isBanned: (prefix) => world.banned.has(prefix),
    total: () => world.total,
  });
  return { world, limits, kindOf: (n: number) => limits.admit(ban(address(n))).kind };
}

describe('BanLimits', () => {
  it('lets as many new addresses through in a minute as the limit says, and records the rest', () => {
    const { limits, kindOf } = setUp(3);
    expect([0, 1, 2, 3, 4].map(kindOf)).toEqual(['ban', 'ban', 'ban', 'would_ban', 'would_ban']);
    expect(limits.state.reached).toBe('new_bans_per_minute');
  });

  it('says which limit, and how to go on', () => {
    const { limits, kindOf } = setUp(1);
    kindOf(0);
    const decision = limits.admit(ban(address(1)));
    expect(decision).toMatchObject({ kind: 'would_ban', why: expect.stringContaining('new_bans_per_minute 1') });
    expect(decision.steps.at(-1)).toMatchObject({ check: 'limits', result: 'new_bans_per_minute' });
  });

  it('does not count the further alerts of an address that it let through', () => {
    const { kindOf } = setUp(2);
    expect([0, 0, 0, 0, 1, 0, 1].map(kindOf)).toEqual(Array(7).fill('ban'));
  });

  it('does not count an address that is banned already', () => {
    const { world, kindOf } = setUp(1);
    for (let n = 10; n < 20; n++) world.banned.add(address(n));
    for (let n = 10; n < 20; n++) expect(kindOf(n)).toBe('ban');
    expect(kindOf(0)).toBe('ban');
  });

  it('goes on extending what is banned while new bans are stopped', () => {
    const { world, kindOf } = setUp(1);
    expect([0, 1].map(kindOf)).toEqual(['ban', 'would_ban']);
    world.banned.add(address(7));
    expect([7, 0, 2].map(kindOf)).toEqual(['ban', 'ban', 'would_ban']);
  });

  it('counts over a sliding minute', () => {
    const { world, kindOf } = setUp(2);
    expect([0, 1].map(kindOf)).toEqual(['ban', 'ban']);
    world.now += MINUTE;
    expect([2, 3].map(kindOf)).toEqual(['ban', 'ban']);
    world.now += MINUTE - 1;
    expect(kindOf(4)).toBe('would_ban');
  });

  it('stays stopped for ten minutes below the limit, then goes on', () => {
    const { world, limits, kindOf } = setUp(2);
    [0, 1, 2].map(kindOf);
    world.now += 5 * MINUTE;
    expect(kindOf(3)).toBe('would_ban');
    world.now += 5 * MINUTE - 1;
    expect(kindOf(4)).toBe('would_ban');
    world.now += 1;
    expect(limits.state.reached).toBeNull();
    expect(kindOf(5)).toBe('ban');
  });

  it('stays stopped for as long as the storm lasts', () => {
    const { world, kindOf } = setUp(2);
    for (let minute = 0; minute < 30; minute++) {
      const kinds = [0, 1, 2, 3].map((n) => kindOf(minute * 4 + n));
      if (minute > 0) expect(kinds).toEqual(Array(4).fill('would_ban'));
      world.now += MINUTE;
    }
  });

  it('goes on at once after a reset', () => {
    const { limits, kindOf } = setUp(1);
    expect([0, 1].map(kindOf)).toEqual(['ban', 'would_ban']);
    limits.reset();
    expect(kindOf(1)).toBe('ban');
  });

  it('stops when the blocklist is full', () => {
    const { world, limits, kindOf } = setUp(100, 50);
    world.total = 49;
    expect(kindOf(0)).toBe('ban');
    world.total = 50;
    expect(kindOf(1)).toBe('would_ban');
    expect(limits.state.reached).toBe('total_bans');
    world.total = 40;
    expect(kindOf(2)).toBe('would_ban');
    world.now += 10 * MINUTE;
    expect(kindOf(3)).toBe('ban');
  });

  it('remembers no more addresses than the limit and one', () => {
    const { limits, kindOf } = setUp(5);
    for (let n = 0; n < 500; n++) kindOf(n);
    expect(limits.state.lastMinute).toBe(6);
  });

  it('leaves every other decision as it is', () => {
    const { limits } = setUp(0);
    const note: Decision = { kind: 'note', why: 'x', candidate: null, steps: [] };
    expect(limits.admit(note)).toBe(note);
  });

  it('tells once that a limit was reached, and again when bans went on in between', () => {
    const { world, limits, kindOf } = setUp(1);
    [0, 1, 2, 3].map(kindOf);
    expect(world.told).toEqual(['new_bans_per_minute']);
    world.now += 3000;
    expect(limits.state).toMatchObject({ since: 3000, why: expect.stringContaining('barricata mode enforce') });
    limits.reset();
    [4, 5].map(kindOf);
    expect(world.told).toEqual(['new_bans_per_minute', 'new_bans_per_minute']);
  });

  it('only tells, and lets bans go on, with when_reached: alert', () => {
    const { world, limits, kindOf } = setUp(1, 1_000_000, { whenReached: 'alert' });
    expect([0, 1, 2].map(kindOf)).toEqual(['ban', 'ban', 'ban']);
    expect(world.told).toEqual(['new_bans_per_minute']);
    expect(limits.state).toMatchObject({ reached: 'new_bans_per_minute', why: expect.stringContaining('go on') });
  });

  describe('of known good clients', () => {
    const good = (share: number) => ({
      knownGoodShare: 0.1,
      // Evenly spread, so that the share is the same at every length.
      isKnownGood: (prefix: string) =>
        Math.floor(Number(prefix.split('.')[3]) * share) > Math.floor((Number(prefix.split('.')[3]) - 1) * share),
    });
    const many = Array.from({ length: 100 }, (_, n) => n);

    it('holds a wave in which they are many, and lets one through in which they are few', () => {
      const bad = setUp(1000, 1_000_000, good(0.3));
      const kinds = many.map(bad.kindOf);
      expect(kinds.slice(0, 9)).toEqual(Array(9).fill('ban'));
      expect(kinds.slice(10)).toEqual(Array(90).fill('would_ban'));
      expect(bad.limits.state.reached).toBe('known_good_share');
      const plain = setUp(1000, 1_000_000, good(0.01));
      expect(plain.limits.state.knownGoodShare).toBe(0);
      expect(new Set(many.map(plain.kindOf))).toEqual(new Set(['ban']));
      expect(plain.limits.state.knownGoodShare).toBeCloseTo(0.01);
    });

    it('says nothing where there are few new bans', () => {
      const { limits, kindOf } = setUp(1000, 1_000_000, { knownGoodShare: 0.1, isKnownGood: () => true });
      expect([0, 1, 2, 3, 4, 5, 6, 7, 8].map(kindOf)).toEqual(Array(9).fill('ban'));
      expect(kindOf(9)).toBe('would_ban');
      expect(limits.state.reached).toBe('known_good_share');
    });

    it('is over ten minutes after they are gone from the minute', () => {
      const { world, limits, kindOf } = setUp(1000, 1_000_000, { knownGoodShare: 0.1, isKnownGood: () => true });
      many.slice(0, 10).map(kindOf);
      world.now += 11 * MINUTE;
      expect(limits.state).toMatchObject({ reached: null, lastMinute: 0, knownGoodShare: 0 });
    });

    it('is in force again when somebody tells, and off when nobody does any more', () => {
      let tells: ((prefix: string) => boolean) | null = null;
      const world = { now: 5_000_000 };
      const limits = new BanLimits({
        newBansPerMinute: 1000,
        totalBans: 1_000_000,
        knownGoodShare: 0.1,
        whenReached: 'stop_and_alert',
        clock: { monotonic: () => world.now },
        isBanned: () => false,
        total: () => 0,
        get isKnownGood() {
          return tells;
        },
      });
      const kindOf = (n: number) => limits.admit(ban(address(n))).kind;
      expect(limits.state.knownGoodShare).toBe('unknown');
      expect(new Set(many.slice(0, 50).map(kindOf))).toEqual(new Set(['ban']));
      tells = () => true;
      world.now += MINUTE;
      expect(many.slice(50, 60).map(kindOf)).toEqual([...Array(9).fill('ban'), 'would_ban']);
      expect(limits.state).toMatchObject({ reached: 'known_good_share', knownGoodShare: 1 });
      tells = null;
      expect(limits.state.knownGoodShare).toBe('unknown');
    });

    it('is off, and says unknown, while nothing tells who they are', () => {
      const { limits, kindOf } = setUp(1000, 1_000_000, { knownGoodShare: 0.1 });
      expect(new Set(many.map(kindOf))).toEqual(new Set(['ban']));
      expect(limits.state.knownGoodShare).toBe('unknown');
    });
  });
});
