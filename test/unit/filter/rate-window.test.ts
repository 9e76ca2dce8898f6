import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PortWindows } from '../../../src/filter/port-window.js';
import { RateWindows } from '../../../src/filter/rate-window.js';

const WINDOW = 800;
/** Times at which events come: gaps of all sizes, bursts included. */
const times = fc.array(fc.oneof(fc.nat(3), fc.nat(150), fc.nat(2000)), { minLength: 1, maxLength: 200 }).map((gaps) => {
  let at = 0;
  return gaps.map((gap) => {
    at += gap;
    return at;
  });
});

describe('a sliding rate window', () => {
  it('never counts more events than some window of its length held', () => {
    fc.assert(
      fc.property(times, (events) => {
        const windows = new RateWindows(2, WINDOW);
        windows.reset(1, events[0] as number);
        events.forEach((now, i) => {
          const truth = events.slice(0, i + 1).filter((at) => at > now - WINDOW).length;
          expect(windows.add(1, now)).toBeLessThanOrEqual(truth);
        });
      }),
    );
  });

  it('reports a threshold at the latest when twice as many came within a window', () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 40 }), (events, limit) => {
        const windows = new RateWindows(1, WINDOW);
        windows.reset(0, events[0] as number);
        let over = false;
        events.forEach((now, i) => {
          over ||= windows.add(0, now) > limit;
          const truth = events.slice(0, i + 1).filter((at) => at > now - WINDOW).length;
          if (truth > 2 * limit) expect(over).toBe(true);
        });
      }),
    );
  });

  it('is exact for the first window after silence, and at a steady rate', () => {
    const windows = new RateWindows(1, WINDOW);
    windows.reset(0, 0);
    let count = 0;
    for (let now = 0; now < WINDOW; now++) count = windows.add(0, now);
    expect(count).toBe(WINDOW);
    let most = 0;
    for (let now = WINDOW; now < 10 * WINDOW; now++) most = Math.max(most, windows.add(0, now));
    expect(most).toBe(WINDOW);
    expect(windows.add(0, 20 * WINDOW)).toBe(1);
  });
});

describe('a window of ports', () => {
  it('counts distinct ports exactly, up to one more than the limit', () => {
    const touches = fc.array(fc.record({ gap: fc.nat(300), port: fc.nat(12) }), { maxLength: 150 });
    fc.assert(
      fc.property(touches, fc.integer({ min: 1, max: 6 }), (events, most) => {
        const windows = new PortWindows(2, most, WINDOW);
        windows.reset(1);
        const last = new Map<number, number>();
        let now = 1;
        for (const { gap, port } of events) {
          now += gap;
          last.set(port, now);
          const truth = [...last.values()].filter((at) => at > now - WINDOW).length;
          expect(windows.add(1, now, port)).toBe(Math.min(truth, most + 1));
        }
      }),
      { numRuns: 500 },
    );
  });
});
