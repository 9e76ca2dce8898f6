import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SourceRecords } from '../../../src/filter/source-records.js';

const WINDOW = 800;
const records = (capacity = 1024, keepMs = 1000, seed = 7) =>
  new SourceRecords({ capacity, seed, keepMs, rateMs: WINDOW });

/** Times at which events come: gaps of all sizes, bursts included; also around the wrap of 32 bits. */
const times = fc
  .tuple(
    fc.constantFrom(0, 2 ** 31 - 500, 2 ** 32 - 500),
    fc.array(fc.oneof(fc.nat(3), fc.nat(150), fc.nat(2000)), { minLength: 1, maxLength: 200 }),
  )
  .map(([start, gaps]) => {
    let at = start;
    return gaps.map((gap) => {
      at += gap;
      return at;
    });
  });

describe('a table of sources', () => {
  it('finds a source again and tells sources apart that differ in one word', () => {
    const table = records();
    const keys = [
      [1, 0, 0, 0, 0],
      [0, 1, 0, 0, 0],
      [0, 0, 1, 0, 0],
      [0, 0, 0, 1, 0],
      [0, 0, 0, 0, 1],
      [-1, 0, 0, 0, 0],
    ] as const;
    const slots = keys.map(([a, b, c, d, e]) => table.slot(0, a, b, c, d, e));
    expect(new Set(slots).size).toBe(keys.length);
    expect(table.fresh).toBe(true);
    keys.forEach(([a, b, c, d, e], i) => {
      expect(table.slot(1, a, b, c, d, e)).toBe(slots[i]);
      expect(table.fresh).toBe(false);
      expect(table.find(a, b, c, d, e)).toBe(slots[i]);
    });
    expect(table.find(9, 9, 9, 9, 9)).toBe(-1);
    expect(table.evictions).toBe(0);
  });

  it('holds an empty source, all zero, like any other', () => {
    const table = records(16);
    const slot = table.slot(0, 0, 0, 0, 0);
    expect(table.fresh).toBe(true);
    expect(table.slot(0, 0, 0, 0, 0)).toBe(slot);
    expect(table.fresh).toBe(false);
  });

  it('makes room by the longest idle and counts it only while it still mattered', () => {
    const table = records(8);
    for (let key = 0; key < 8; key++) table.slot(key, key, 0, 0, 0);
    const first = table.slot(500, 0, 0, 0, 0);
    table.slot(600, 99, 0, 0, 0);
    expect(table.evictions).toBe(1);
    expect(table.slot(601, 0, 0, 0, 0)).toBe(first);
    expect(table.fresh).toBe(false);
    table.slot(602, 1, 0, 0, 0);
    expect(table.fresh).toBe(true);
    expect(table.evictions).toBe(2);
    for (let key = 100; key < 108; key++) table.slot(9000, key, 0, 0, 0);
    expect(table.evictions).toBe(2);
  });

  it('keeps whoever weighs more', () => {
    const table = records(8);
    for (let key = 0; key < 8; key++) table.slot(0, key, 0, 0, 0);
    table.weigh(table.slot(0, 0, 0, 0, 0), 5000);
    table.slot(1, 0, 0, 0, 0);
    for (let key = 100; key < 200; key++) table.slot(key, key, 0, 0, 0);
    expect(table.find(0, 0, 0, 0)).toBeGreaterThanOrEqual(0);
    for (let key = 200; key < 300; key++) table.slot(6000 + key, key, 0, 0, 0);
    expect(table.find(0, 0, 0, 0)).toBe(-1);
  });

  it('forgets everything of whoever had the record before', () => {
    const table = records(8);
    const slot = table.slot(0, 1, 0, 0, 0);
    for (let i = 0; i < 5; i++) table.add(slot, i);
    table.mark(slot, 0, 0, 60_000);
    table.completed(slot, 0);
    table.setFirst(slot, 1, 5, 0);
    for (let key = 10; key < 17; key++) table.slot(3000, key, 0, 0, 0);
    expect(table.slot(3001, 2, 0, 0, 0)).toBe(slot);
    expect(table.add(slot, 3001)).toBe(1);
    expect(table.markedFor(slot, 0, 3001)).toBe(0);
    expect(table.sinceFirstCompleted(slot, 3001)).toBe(Number.POSITIVE_INFINITY);
    expect(table.hasFirst(slot, 1)).toBe(false);
  });

  it('spreads sources by a seed that others do not know', () => {
    const places = (seed: number) => {
      const table = records(65_536, 1000, seed);
      return Array.from({ length: 50 }, (_, i) => table.slot(0, i, 0, 0, 0));
    };
    expect(places(1)).not.toEqual(places(2));
  });
});

describe('a sliding rate window', () => {
  it('never counts more events than some window of its length held', () => {
    fc.assert(
      fc.property(times, (events) => {
        const table = records(8);
        const slot = table.slot((events[0] as number) | 0, 1, 0, 0, 0);
        events.forEach((now, i) => {
          const truth = events.slice(0, i + 1).filter((at) => at > now - WINDOW).length;
          expect(table.add(slot, now | 0)).toBeLessThanOrEqual(truth);
        });
      }),
    );
  });

  it('reports a threshold at the latest when twice as many came within a window', () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 40 }), (events, limit) => {
        const table = records(8);
        const slot = table.slot((events[0] as number) | 0, 1, 0, 0, 0);
        let over = false;
        events.forEach((now, i) => {
          over ||= table.add(slot, now | 0) > limit;
          const truth = events.slice(0, i + 1).filter((at) => at > now - WINDOW).length;
          if (truth > 2 * limit) expect(over).toBe(true);
        });
      }),
    );
  });

  it('is exact for the first window after silence, and at a steady rate', () => {
    const table = records(8);
    const slot = table.slot(0, 1, 0, 0, 0);
    let count = 0;
    for (let now = 0; now < WINDOW; now++) count = table.add(slot, now);
    expect(count).toBe(WINDOW);
    let most = 0;
    for (let now = WINDOW; now < 10 * WINDOW; now++) most = Math.max(most, table.add(slot, now));
    expect(most).toBe(WINDOW);
    expect(table.add(slot, 20 * WINDOW)).toBe(1);
  });

  it('counts what was taken back no more, and never below nothing', () => {
    const step = fc.record({ gap: fc.nat(300), back: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const table = records(8);
        const slot = table.slot(0, 1, 0, 0, 0);
        let now = 0;
        let alive = 0;
        for (const { gap, back } of steps) {
          now += gap;
          if (back) {
            table.takeBack(slot);
            alive = Math.max(0, alive - 1);
          } else {
            alive += 1;
            const count = table.add(slot, now);
            expect(count).toBeGreaterThanOrEqual(1);
            expect(count).toBeLessThanOrEqual(alive);
          }
        }
      }),
    );
  });
});
