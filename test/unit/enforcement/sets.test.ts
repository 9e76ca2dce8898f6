import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FOREVER } from '../../../src/base/clock.js';
import { maxelemFor, ownSetNames, timeoutOf } from '../../../src/enforcement/sets.js';

describe('the timeout of an element', () => {
  it('is rounded up to whole seconds', () => {
    expect(timeoutOf(10_000, 0)).toBe(10);
    expect(timeoutOf(10_001, 0)).toBe(11);
    expect(timeoutOf(1000, 0)).toBe(1);
  });

  it('is none when less than a second is left', () => {
    for (const until of [999, 0, -1, Number.NEGATIVE_INFINITY, Number.NaN]) expect(timeoutOf(until, 0)).toBeNull();
  });

  it('is 0 only for ever, and never beyond what the kernel keeps', () => {
    expect(timeoutOf(FOREVER, 5)).toBe(0);
    fc.assert(
      fc.property(fc.double({ noDefaultInfinity: true }), fc.integer({ min: 0 }), (until, now) => {
        const timeout = timeoutOf(until, now);
        return timeout === null || (Number.isInteger(timeout) && timeout >= 1 && timeout <= 2_147_483);
      }),
    );
  });
});

describe('the names and sizes of sets', () => {
  it('are at most what the kernel takes', () => {
    expect(ownSetNames().every((name) => name.length <= 31 && name.startsWith('barricata'))).toBe(true);
    expect(ownSetNames()).toContain('barricata-alive6-next');
  });

  it('leave room above the bans that are allowed', () => {
    expect(maxelemFor(0)).toBe(65_536);
    expect(maxelemFor(1_000_000)).toBe(2_097_152);
    expect(maxelemFor(33_000)).toBe(131_072);
  });
});
