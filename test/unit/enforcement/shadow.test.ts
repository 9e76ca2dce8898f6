import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FOREVER } from '../../../src/base/clock.js';
import { Shadow } from '../../../src/enforcement/shadow.js';

const START = 1_700_000_000_000;

describe('the shadow of a kernel list', () => {
  it('counts what the kernel may still hold, within the two seconds that the kernel rounds by', () => {
    const operation = fc.oneof(
      fc.record({ kind: fc.constant('set' as const), id: fc.nat(20), seconds: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ kind: fc.constant('forever' as const), id: fc.nat(20) }),
      fc.record({ kind: fc.constant('delete' as const), id: fc.nat(20) }),
      fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(20_000) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const shadow = new Shadow();
        const reference = new Map<string, number>();
        let now = START;
        for (const op of operations) {
          if (op.kind === 'wait') now += op.ms;
          else if (op.kind === 'delete') {
            expect(shadow.delete(`k${op.id}`)).toBe(reference.delete(`k${op.id}`));
          } else {
            const until = op.kind === 'forever' ? FOREVER : now + op.seconds * 1000;
            shadow.set(`k${op.id}`, until);
            reference.set(`k${op.id}`, until);
          }
          const alive = (at: number) => [...reference.values()].filter((until) => until > at).length;
          const { least, most } = shadow.expected(now);
          expect(least).toBeLessThanOrEqual(alive(now));
          expect(most).toBeGreaterThanOrEqual(alive(now));
          expect(least).toBeGreaterThanOrEqual(alive(now + 4000));
          expect(most).toBeLessThanOrEqual(alive(now - 4000));
        }
      }),
    );
  });

  it('forgets what ended, and only that', () => {
    const shadow = new Shadow();
    shadow.set('old', START + 1000);
    shadow.set('new', START + 100_000);
    shadow.set('ever', FOREVER);
    shadow.forgetEnded(START + 10_000);
    expect([...shadow.keys()]).toEqual(['new', 'ever']);
    expect(shadow.expected(START + 10_000)).toEqual({ least: 2, most: 2 });
  });
});
