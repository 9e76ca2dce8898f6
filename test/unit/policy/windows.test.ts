import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DistinctWindow } from '../../../src/policy/windows.js';

const window = (atLeast = 3, within = 60, initiators?: number) => new DistinctWindow({ atLeast, within }, initiators);

describe('a window of distinct signatures', () => {
  it('is full at the last of so many different ones, and stays so', () => {
    const w = window();
    expect([1, 2, 3, 4, 1].map((sid, i) => w.add(7, sid, i))).toEqual([false, false, true, true, true]);
  });

  it('does not count the same signature twice', () => {
    const w = window();
    expect([1, 1, 2, 2, 1].map((sid, i) => w.add(7, sid, i))).toEqual(Array(5).fill(false));
  });

  it('counts each initiator for itself', () => {
    const w = window(2);
    expect([w.add(1, 1, 0), w.add(2, 2, 0), w.add('2001:db8 0', 3, 0)]).toEqual([false, false, false]);
    expect(w.add(2, 1, 0)).toBe(true);
  });

  it('forgets what is as old as the window is long', () => {
    const w = window(2);
    w.add(7, 1, 0);
    expect(w.add(7, 2, 59_999)).toBe(true);
    const late = window(2);
    late.add(7, 1, 0);
    expect(late.add(7, 2, 60_000)).toBe(false);
  });

  it('goes by the time of the events, whatever the order in which they are read', () => {
    const w = window();
    expect([w.add(7, 1, 50_000), w.add(7, 2, 10_000), w.add(7, 3, 30_000)]).toEqual([false, false, true]);
    const apart = window();
    // 0 s and 118 s are both within a minute of 59 s, and still not within one minute.
    expect([apart.add(7, 1, 0), apart.add(7, 3, 118_000), apart.add(7, 2, 59_000)]).toEqual([false, false, false]);
  });

  it('does not count an event that is too old for the window, nor lose the window by it', () => {
    const w = window(2);
    w.add(7, 1, 100_000);
    expect(w.add(7, 2, 40_000)).toBe(false);
    expect(w.add(7, 2, 40_001)).toBe(true);
  });

  it('forgets the initiator heard of longest ago when it is full, says so, and begins anew with it', () => {
    const w = window(2, 60, 2);
    w.add(1, 1, 0);
    w.add(2, 1, 0);
    w.add(1, 1, 1);
    w.add(3, 1, 2);
    expect({ size: w.size, forgotten: w.forgotten }).toEqual({ size: 2, forgotten: 1 });
    expect(w.add(1, 2, 3)).toBe(true);
    expect(w.add(2, 2, 4)).toBe(false);
  });

  it('says for events in order what counting all of them says', () => {
    const events = fc.array(fc.record({ sid: fc.integer({ min: 1, max: 6 }), gap: fc.nat(40_000) }), { maxLength: 40 });
    fc.assert(
      fc.property(events, fc.integer({ min: 2, max: 5 }), (list, atLeast) => {
        const w = window(atLeast);
        const seen: { sid: number; at: number }[] = [];
        let at = 1_000_000;
        for (const { sid, gap } of list) {
          at += gap;
          seen.push({ sid, at });
          const distinct = new Set(seen.filter((event) => event.at > at - 60_000).map((event) => event.sid));
          expect(w.add(7, sid, at)).toBe(distinct.size >= atLeast);
        }
      }),
    );
  });

  it('says at the last of some events within one window the same in every order', () => {
    const events = fc.array(fc.record({ sid: fc.integer({ min: 1, max: 6 }), at: fc.nat(59_999) }), { minLength: 1 });
    fc.assert(
      fc.property(
        events.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
        ([list, shuffled]) => {
          const last = (of: typeof list) => {
            const w = window();
            return of.map(({ sid, at }) => w.add(7, sid, at)).at(-1);
          };
          expect(last(shuffled)).toBe(last(list));
        },
      ),
    );
  });
});
