import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Different, estimate, mergeDifferent } from '../../../src/filter/learn/different.js';
import { Histogram, mergeDistributions, percentile } from '../../../src/filter/learn/histogram.js';
import { mergeSpreads, SpreadCount } from '../../../src/filter/learn/spread.js';

const of = (values: readonly number[]) => {
  const histogram = new Histogram();
  for (const value of values) histogram.add(value);
  return histogram.export();
};

describe('a histogram', () => {
  it('gives each percentile of any values at most a sixteenth too large, and never too small', () => {
    const value = fc.oneof(fc.nat(40), fc.nat(100_000), fc.nat(2 ** 31 - 1));
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1, maxLength: 200 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (values, share) => {
          const sorted = [...values].sort((a, b) => a - b);
          const exact = sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] as number;
          const got = percentile(of(values), share);
          expect(got).toBeGreaterThanOrEqual(exact);
          expect(got).toBeLessThanOrEqual(exact + Math.max(0, exact / 16));
        },
      ),
    );
  });

  it('keeps the largest exactly, and says 0 of nothing', () => {
    expect(percentile(of([3, 5, 1_000_003]), 1)).toBe(1_000_003);
    expect(percentile(of([]), 0.99)).toBe(0);
  });

  it('merged is the histogram of all values', () => {
    const [a, b] = [
      [1, 2, 700, 900_000],
      [2, 2, 33, 5],
    ];
    expect(mergeDistributions([of(a as number[]), of(b as number[])])).toEqual(
      of([...(a as number[]), ...(b as number[])]),
    );
  });
});

describe('a spread', () => {
  it('names the largest, each source once', () => {
    const spread = new SpreadCount();
    for (let i = 1; i <= 50; i++) spread.add(i, 0x0a000000 + (i % 10), 0, 0, 0, 4 << 16, i);
    spread.add(1000, 0x0a000001, 0, 0, 0, 4 << 16, 77);
    const { top, total, max } = spread.export();
    expect({ total, max }).toEqual({ total: 51, max: 1000 });
    expect(top.map(({ who, value }) => [who, value])).toEqual([
      ['10.0.0.1', 1000],
      ['10.0.0.0', 50],
      ['10.0.0.9', 49],
      ['10.0.0.8', 48],
      ['10.0.0.7', 47],
    ]);
    expect(top[0]?.at).toBe(77);
  });

  it('merged names each source by its larger figure', () => {
    const one = { ...of([4, 9]), top: [{ who: 'a', value: 9, at: 1 }] };
    const two = {
      ...of([5, 12]),
      top: [
        { who: 'a', value: 12, at: 2 },
        { who: 'b', value: 5, at: 3 },
      ],
    };
    expect(mergeSpreads([one, two])).toMatchObject({ total: 4, max: 12, top: two.top });
  });
});

describe('the number of different sources', () => {
  it.each([1, 50, 2000, 100_000])('of %i is told within 10 %%', (count) => {
    const different = new Different();
    let state = 12345;
    for (let i = 0; i < count; i++) {
      state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
      let h = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
      h ^= h >>> 16;
      different.add(h);
      different.add(h);
    }
    const told = estimate(mergeDifferent([different.export(), different.export()]));
    expect(Math.abs(told - count)).toBeLessThanOrEqual(count * 0.1);
  });
});
