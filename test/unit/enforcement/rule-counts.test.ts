import { describe, expect, it } from 'vitest';
import { RuleCounts } from '../../../src/enforcement/rule-counts.js';

const counts = (of: Record<string, number>) =>
  new Map(Object.entries(of).map(([key, packets]) => [key, { packets, bytes: packets * 40 }]));

describe('the counts of rules', () => {
  it('are summed by the beginning of the key', () => {
    const subject = new RuleCounts();
    subject.update(counts({ 'queued 4': 3, 'queued 6': 4, 'limited 4': 5 }));
    expect(subject.total('queued')).toEqual({ packets: 7, bytes: 280 });
    expect(subject.total('unfiltered')).toEqual({ packets: 0, bytes: 0 });
  });

  it('go on when a rule is made anew, goes, or comes back', () => {
    const subject = new RuleCounts();
    for (const [now, total] of [
      [{ a: 5 }, 5],
      [{ a: 2 }, 7],
      [{ a: 3, b: 1 }, 9],
      [{ b: 1 }, 9],
      [{ b: 2 }, 10],
      [{ a: 1, b: 2 }, 11],
    ] as const) {
      subject.update(counts(now));
      expect(subject.total('').packets).toBe(total);
    }
  });
});
