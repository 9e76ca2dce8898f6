import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DistinctLists } from '../../../src/filter/distinct-lists.js';
import { Newcomers } from '../../../src/filter/newcomers.js';
import { SourceRecords } from '../../../src/filter/source-records.js';
import { Touches } from '../../../src/filter/touches.js';

const SHORT = 800;
const LONG = 3000;
const steps = fc.array(fc.record({ gap: fc.nat(400), value: fc.nat(12), remove: fc.nat(9).map((n) => n === 0) }), {
  maxLength: 200,
});

describe('what a source touched', () => {
  it('is counted exactly in both windows, up to one more than the limit, also what was taken back', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 6 }), (events, most) => {
        const records = new SourceRecords({ capacity: 8, seed: 1, keepMs: LONG, rateMs: 800 });
        const touches = new Touches(records, 0, { lists: 4, most, shortMs: SHORT, longMs: LONG });
        const slot = records.slot(0, 1, 0, 0, 0);
        const last = new Map<number, number>();
        /** Values that a list of `most + 1` places may have lost to others are not taken back: it never held them. */
        let exact = true;
        let now = 1;
        for (const { gap, value, remove } of events) {
          now += gap;
          if (remove) {
            touches.remove(slot, value);
            exact &&= [...last.values()].filter((at) => now - at < LONG).length <= most + 1;
            last.delete(value);
            continue;
          }
          last.set(value, now);
          touches.add(slot, value, now);
          const within = (ms: number) => [...last.values()].filter((at) => now - at < ms).length;
          const [short, long] = [Math.min(within(SHORT), most + 1), Math.min(within(LONG), most + 1)];
          if (exact) expect([touches.short, touches.long]).toEqual([short, long]);
          else {
            expect(touches.short).toBeLessThanOrEqual(short);
            expect(touches.long).toBeLessThanOrEqual(long);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('tells how long ago the oldest of those that count was touched', () => {
    const lists = new DistinctLists({ lists: 1, most: 4, shortMs: SHORT, longMs: LONG });
    const list = lists.take(0, () => undefined);
    lists.add(list, 1, 0);
    lists.add(list, 2, 500);
    lists.add(list, 3, 1000);
    expect([lists.oldestShort, lists.oldestLong]).toEqual([500, 1000]);
  });

  it('goes to whoever touched most when lists run short, and comes back from records that change hands', () => {
    const records = new SourceRecords({ capacity: 64, seed: 1, keepMs: LONG, rateMs: 800 });
    const touches = new Touches(records, 0, { lists: 4, most: 8, shortMs: SHORT, longMs: LONG });
    records.onTaken = (slot) => touches.taken(slot);
    const busy = records.slot(0, 42, 0, 0, 0);
    for (let value = 0; value < 6; value++) touches.add(records.slot(0, 42, 0, 0, 0), value, 0);
    expect(records.use(0, 42, 0, 0, 0)).toBe(busy);
    for (let key = 100; key < 150; key++) {
      const slot = records.slot(1, key, 0, 0, 0);
      touches.add(slot, 1, 1);
      touches.add(slot, 2, 1);
      expect(touches.short).toBe(2);
    }
    touches.add(busy, 99, 2);
    expect(touches.short).toBe(7);
  });
});

describe('sources that came once', () => {
  it('are known when they come again, with what they were, and then forgotten', () => {
    const newcomers = new Newcomers(64, 7, 1000);
    expect(newcomers.seen(1, 2, 3, 4)).toBe(false);
    newcomers.add(77, true, 80, 9, 1, 2, 3, 4);
    expect(newcomers.seen(1, 2, 3, 5)).toBe(false);
    expect(newcomers.seen(1, 2, 3, 4)).toBe(true);
    expect(newcomers).toMatchObject({ at: 77, counted: true, value0: 80, value1: 9 });
    expect(newcomers.seen(1, 2, 3, 4)).toBe(false);
  });

  it('make room by the older of two, which counts while it mattered', () => {
    const newcomers = new Newcomers(2, 7, 1000);
    newcomers.add(0, true, 0, 0, 1, 0, 0, 0);
    newcomers.add(10, true, 0, 0, 2, 0, 0, 0);
    newcomers.add(20, true, 0, 0, 3, 0, 0, 0);
    expect(newcomers.evictions).toBe(1);
    expect(newcomers.seen(1, 0, 0, 0)).toBe(false);
    expect(newcomers.seen(2, 0, 0, 0)).toBe(true);
    newcomers.add(5000, true, 0, 0, 4, 0, 0, 0);
    newcomers.add(5001, true, 0, 0, 5, 0, 0, 0);
    expect(newcomers.evictions).toBe(1);
  });
});
