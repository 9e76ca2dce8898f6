import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FOREVER } from '../../../src/base/clock.js';
import { EntryTable } from '../../../src/blocklist/entry-table.js';

const AT = 1_790_000_000_000;

describe('the entry table', () => {
  it('agrees with a plain map of spellings, whatever is set, removed and walked', () => {
    const suffix = fc.constantFrom(['a', 'a'], ['A', 'a'], ['a/32', 'a'], ['b', 'b'], ['B', 'b']);
    const end = fc.oneof(
      fc.integer({ min: 0, max: 1e6 }).map((s) => AT + s * 1000),
      fc.constant(FOREVER),
    );
    const step = fc.oneof(
      fc.tuple(fc.constant('set'), suffix, end),
      fc.tuple(fc.constant('delete'), suffix, end),
      fc.tuple(fc.constant('walk'), suffix, end),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const table = new EntryTable();
        const model = new Map<string, { text: string; until: number; seen: boolean }>();
        for (const [what, [typed, canonical], until] of steps) {
          const name = typed as string;
          if (what === 'set') {
            const changed = model.get(name)?.until !== until;
            expect(table.set(name, canonical as string, until)).toBe(changed);
            model.set(name, { text: canonical as string, until, seen: true });
          } else if (what === 'delete') {
            table.delete(name);
            model.delete(name);
          } else {
            table.beginWalk(until === FOREVER);
            for (const entry of model.values()) entry.seen = false;
          }
          expect(table.size).toBe(model.size);
          for (const text of ['a', 'b']) {
            const ends = [...model.values()].filter((entry) => entry.text === text).map((entry) => entry.until);
            expect(table.get(text)).toBe(ends.length === 0 ? undefined : Math.max(...ends));
          }
          if (what === 'walk' && until === FOREVER) {
            expect(new Set(table.unseen())).toEqual(new Set(model.keys()));
          }
        }
      }),
    );
  });

  it('names after a walk exactly what the walk did not see, also after one that broke off', () => {
    const table = new EntryTable();
    for (const name of ['a', 'b', 'A']) table.set(name, name.toLowerCase(), AT);
    table.beginWalk(false);
    table.set('a', 'a', AT);
    expect([...table.unseen()].sort()).toEqual(['A', 'b']);
    table.beginWalk(true);
    expect([...table.unseen()].sort()).toEqual(['A', 'a', 'b']);
    table.set('b', 'b', AT);
    expect([...table.unseen()].sort()).toEqual(['A', 'a']);
  });

  it('rounds an end up to the second, so that a ban never ends early', () => {
    const table = new EntryTable();
    table.set('a', 'a', AT + 1);
    expect(table.get('a')).toBe(AT + 1000);
  });
});
