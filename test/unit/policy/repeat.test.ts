import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { overlaps, prefix } from '../../../src/net/prefix.js';
import type { Ban, Decision } from '../../../src/policy/ban.js';
import { decide } from '../../../src/policy/decide.js';
import { PastBans } from '../../../src/policy/past-bans.js';
import { admitted, offendersIn, withRepeats } from '../../../src/policy/repeat.js';
import { alertFrom, BAN_ALL, contextFor, type Setting } from './support.js';

const T = Date.UTC(2026, 10, 23, 12);
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const HOME6 = '2001:db8:50::10';
const ONE_HOUR = { ...BAN_ALL, then: { kind: 'ban', duration: 3600 } } as const;

/** Judges attacks one after the other, as a replay does. */
function world(setting: Partial<Setting> = {}, past = new PastBans()) {
  const judge = (src: string, at = T, proven = true): Decision => {
    const dest = src.includes(':') ? HOME6 : '192.168.50.10';
    const context = contextFor({
      now: at,
      policy: [ONE_HOUR],
      home: ['192.168.0.0/16', '2001:db8:50::/48'],
      ...setting,
    });
    return withRepeats(decide(alertFrom({ src, dest, at, proven }), context), past, context);
  };
  const ban = (...of: Parameters<typeof judge>): Ban => {
    const decision = judge(...of);
    if (decision.kind !== 'ban') throw new Error(`expected a ban, got ${decision.kind}`);
    return decision.ban;
  };
  const hours = (src: string, at: number, proven = true) => (ban(src, at, proven).until - at) / HOUR;
  return { judge, ban, hours, past };
}

describe('a repeat offender', () => {
  it('is banned longer each time, and the last factor goes on', () => {
    const { hours } = world();
    expect([0, 1, 2, 3].map((day) => hours('203.0.113.9', T + day * DAY))).toEqual([1, 4, 24, 24]);
  });

  it('is not banned longer for a ban that lasts: that is extended by the same factor', () => {
    const { hours } = world();
    expect([0, 10_000, HOUR - 1].map((ms) => hours('203.0.113.9', T + ms))).toEqual([1, 1, 1]);
    expect([0, 10_000, 3 * HOUR].map((ms) => hours('203.0.113.9', T + DAY + ms))).toEqual([4, 4, 4]);
  });

  it('is forgotten after forget_after', () => {
    const { hours } = world();
    hours('203.0.113.9', T);
    expect(hours('203.0.113.9', T + 30 * DAY)).toBe(1);
    expect(hours('203.0.113.9', T + 31 * DAY)).toBe(4);
  });

  it('is told apart from others', () => {
    const { hours } = world();
    hours('203.0.113.9', T);
    expect(hours('203.0.113.10', T + DAY)).toBe(1);
  });

  it('is never banned longer than never_over, unless the line itself says so', () => {
    const rules = { multiply: [1, 1000], neverOver: 7200, forgetAfter: 2_592_000 };
    const short = world({ repeatOffenders: rules });
    expect([short.hours('203.0.113.9', T), short.hours('203.0.113.9', T + DAY)]).toEqual([1, 2]);
    const long = world({ repeatOffenders: { ...rules, neverOver: 60 } });
    expect([long.hours('203.0.113.9', T), long.hours('203.0.113.9', T + DAY)]).toEqual([1, 1]);
  });

  it('is banned as the first time where repeat_offenders is off', () => {
    const { hours, ban } = world({ repeatOffenders: null });
    expect([hours('203.0.113.9', T), hours('203.0.113.9', T + DAY)]).toEqual([1, 1]);
    expect(ban('203.0.113.9', T).offence).toBeUndefined();
  });

  it('is not made by bans without proof, nor are those lengthened', () => {
    const { hours, ban } = world();
    for (const day of [0, 1, 2]) hours('203.0.113.9', T + day * DAY, false);
    expect(hours('203.0.113.9', T + 3 * DAY)).toBe(1);
    expect(hours('203.0.113.9', T + 4 * DAY, false)).toBeCloseTo(1 / 6);
    expect(ban('203.0.113.9', T + 5 * DAY, false).offence).toBeUndefined();
  });

  it('stays banned for ever where the line says so', () => {
    const forever = { ...BAN_ALL, then: { kind: 'ban', duration: Number.POSITIVE_INFINITY } } as const;
    const { ban } = world({ policy: [forever] });
    ban('203.0.113.9', T);
    expect(ban('203.0.113.9', T + DAY).until).toBe(Number.POSITIVE_INFINITY);
  });

  it('is explained: the record says how many came before, a step says what follows', () => {
    const { judge } = world();
    judge('203.0.113.9', T);
    const decision = judge('203.0.113.9', T + DAY);
    expect(decision).toMatchObject({
      ban: { record: { earlier_bans: 1 }, offence: { offender: '203.0.113.9', keepFor: 2_592_000 } },
    });
    expect(decision.steps.at(-1)).toEqual({
      check: 'repeat offender',
      result: '4h',
      detail: '1 earlier within 30d: 4 times as long, at most 7d',
    });
  });
});

describe('attackers in one IPv6 /64', () => {
  const at = (n: number) => `2001:db8:1:2::${n.toString(16)}`;
  const NET = '2001:db8:1:2::/64';

  it('are banned one by one, and at the third with the whole /64', () => {
    const { ban, judge } = world();
    expect([1, 2].map((n) => ban(at(n), T + n).prefix)).toEqual([at(1), at(2)]);
    const third = judge(at(3), T + 3);
    expect(third).toMatchObject({
      candidate: at(3),
      ban: { prefix: NET, record: { widened_from: at(3), earlier_bans: 2 }, offence: { offender: NET } },
    });
    expect(third.steps.find(({ check }) => check === 'escalation')?.result).toBe(NET);
    expect(ban(at(4), T + 4).prefix).toBe(NET);
  });

  it('are not three when one comes again', () => {
    const { ban } = world();
    expect([1, 2, 1, 2, 1].map((n, i) => ban(at(n), T + i).prefix)).toEqual([at(1), at(2), at(1), at(2), at(1)]);
  });

  it('are not three when the others came over a day before, or in another /64, or without proof', () => {
    const late = world();
    for (const n of [1, 2]) late.ban(at(n), T);
    expect(late.ban(at(3), T + DAY).prefix).toBe(at(3));
    const apart = world();
    for (const n of [1, 2]) apart.ban(at(n), T);
    expect(apart.ban('2001:db8:1:3::3', T + 3).prefix).toBe('2001:db8:1:3::3');
    const forged = world();
    for (const n of [1, 2]) forged.ban(at(n), T, false);
    expect(forged.ban(at(3), T + 3).prefix).toBe(at(3));
  });

  it('are banned with the /64 as long as that ban lasts', () => {
    const { ban } = world({ repeatOffenders: { multiply: [1, 100], neverOver: 604_800, forgetAfter: 2_592_000 } });
    for (const n of [1, 2, 3]) ban(at(n), T + n);
    expect(ban(at(9), T + 3 * DAY).prefix).toBe(NET);
    expect(ban(at(10), T + 20 * DAY).prefix).toBe(at(10));
  });

  it.each<[string, Partial<Setting>, string]>([
    ['a protected address', { allowed: [`${at(0xfff)}/128`] }, 'allowed'],
    [
      'home, though never_ban leaves it out',
      { home: [`${at(0x100)}/120`, '2001:db8:50::/48'], without: ['home'] },
      'home',
    ],
    ['an address that a person excepted', { exceptions: [`${at(0xaa)}/128`] }, at(0xaa)],
  ])('are banned one by one where the /64 touches %s', (_what, setting, why) => {
    const { ban, judge } = world(setting);
    for (const n of [1, 2]) ban(at(n), T + n);
    const third = judge(at(3), T + 3);
    expect(third).toMatchObject({ kind: 'ban', ban: { prefix: at(3) } });
    expect(third.steps.find(({ check }) => check === 'escalation')?.detail).toContain(why);
  });

  it('widen no IPv4 ban', () => {
    const { ban } = world();
    expect([1, 2, 3, 4].map((n) => ban(`203.0.113.${n}`, T + n).prefix)).toEqual(
      [1, 2, 3, 4].map((n) => `203.0.113.${n}`),
    );
  });

  it('are counted per /64, repeats too', () => {
    const { hours } = world();
    expect([hours(at(1), T), hours(at(2), T + 5 * DAY)]).toEqual([1, 4]);
  });
});

describe('for any attacks', () => {
  const source = fc.oneof(
    fc.integer({ min: 1, max: 6 }).map((n) => `203.0.113.${n}`),
    fc
      .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 6 }))
      .map(([net, n]) => `2001:db8:1:${net}::${n}`),
  );
  const proven = fc.constantFrom(true, true, true, false);
  const attacks = fc.array(fc.record({ source, gap: fc.nat(2 * HOUR), proven }), { minLength: 10, maxLength: 40 });
  const ALLOWED = ['203.0.113.3', '2001:db8:1:2::4'];

  it('no ban is wider than a host or a /64, none touches a protected address, none is longer than allowed', () => {
    let wide = 0;
    fc.assert(
      fc.property(attacks, (list) => {
        const { judge } = world({ allowed: ALLOWED });
        let at = T;
        for (const { source: src, gap, proven } of list) {
          at += gap;
          const decision = judge(src, at, proven);
          if (decision.kind !== 'ban') continue;
          const banned = prefix(decision.ban.prefix);
          if (banned.length < 128 && banned.family === 6) wide += 1;
          expect(banned.length).toBeGreaterThanOrEqual(banned.family === 4 ? 32 : 64);
          expect(ALLOWED.some((allowed) => overlaps(prefix(allowed), banned))).toBe(false);
          expect(decision.ban.until - at).toBeLessThanOrEqual(proven ? 7 * DAY : 600_000);
          expect(decision.ban.until).toBeGreaterThan(at);
        }
      }),
      { numRuns: 500 },
    );
    expect(wide).toBeGreaterThan(10);
  });

  const told = (decision: Decision) =>
    decision.kind === 'ban' ? [decision.ban.prefix, decision.ban.until, decision.ban.record.earlier_bans] : decision;

  it('the same decision twice counts once, and the same attacks give the same bans', () => {
    fc.assert(
      fc.property(attacks, (list) => {
        const [once, twice] = [world(), world()];
        let at = T;
        for (const { source: src, gap, proven } of list) {
          at += gap + 1;
          twice.judge(src, at, proven);
          expect(told(twice.judge(src, at, proven))).toEqual(told(once.judge(src, at, proven)));
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('a ban that a limit stopped', () => {
  it('is no offence, and no address of a /64', () => {
    const past = new PastBans();
    const { judge } = world({}, new PastBans());
    const stop = { admit: (decision: Decision): Decision => ({ ...decision, kind: 'note', why: 'stopped' }) };
    const through = { admit: (decision: Decision): Decision => decision };
    const context = contextFor({ now: T, home: ['2001:db8:50::/48'] });
    const attack = (n: number) => judge(`2001:db8:1:${n}::${n}`, T + n);
    const sameNet = (n: number): Decision => {
      const decision = attack(n);
      if (decision.kind !== 'ban') throw new Error(decision.kind);
      return { ...decision, ban: { ...decision.ban, prefix: `2001:db8:1:2::${n}` } };
    };
    for (const n of [1, 2]) expect(admitted(sameNet(n), past, context, stop).kind).toBe('note');
    expect(past.of('2001:db8:1:2::/64')).toEqual([]);
    expect(admitted(sameNet(3), past, context, through)).toMatchObject({ ban: { prefix: '2001:db8:1:2::3' } });
    expect(past.of('2001:db8:1:2::/64')).toHaveLength(1);
  });
});

describe('past bans', () => {
  it('are kept of so many offenders, those heard of last', () => {
    const past = new PastBans(2);
    const ban = (text: string) => past.add(text, { prefix: text, madeAt: T, until: T + HOUR });
    ['203.0.113.1', '203.0.113.2', '203.0.113.3'].forEach(ban);
    expect(['203.0.113.1', '203.0.113.2', '203.0.113.3'].map((text) => past.of(text).length)).toEqual([0, 1, 1]);
    for (let i = 0; i < 100; i++) past.add('x', { prefix: `x${i}`, madeAt: T, until: T });
    expect(past.of('x')).toHaveLength(64);
  });

  it('are asked for only where a proven ban may follow', () => {
    const { judge } = world();
    const decisions = [
      judge('203.0.113.1'),
      judge('203.0.113.2', T, false),
      judge('2001:db8:1:2::3'),
      judge('10.0.0.1'),
    ];
    expect([...offendersIn(decisions)]).toEqual(['203.0.113.1', '2001:db8:1:2::/64']);
  });
});
