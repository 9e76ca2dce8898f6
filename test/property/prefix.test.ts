import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AddressWords, formatWords, unmapped } from '../../src/net/address.js';
import {
  contains,
  isProblem,
  overlaps,
  type Prefix,
  parsePrefix,
  prefix,
  prefixOf,
  widthOf,
} from '../../src/net/prefix.js';
import { PrefixSet } from '../../src/net/prefix-set.js';

/** Few bits vary, so that prefixes often contain each other. */
const narrow = fc.constantFrom(0, 1, 2 ** 31, 2 ** 30, 0xc0a80000, 0xc0a80100, -1);
const word = fc.oneof(fc.integer(), narrow).map((w) => w | 0);
const words = fc.oneof(
  word.map((w0): AddressWords => ({ family: 4, w0, w1: 0, w2: 0, w3: 0 })),
  fc.tuple(word, word, word, word).map(([w0, w1, w2, w3]) => unmapped({ family: 6, w0, w1, w2, w3 })),
);
/**
 * Networks that hold all IPv4-mapped addresses have no IPv4 form; the masked
 * address of a shorter one may look mapped too, and is left out here.
 */
const prefixes = fc
  .tuple(words, fc.nat(128))
  .map(([w, length]) => prefixOf(w, length % (widthOf(w.family) + 1)))
  .filter((p) => p.family === 4 || unmapped(p).family === 6);

/** The reference: an interval of whole numbers. */
function interval(p: Prefix): { from: bigint; to: bigint } {
  const parts = p.family === 4 ? [p.w0] : [p.w0, p.w1, p.w2, p.w3];
  const from = parts.reduce((sum, w) => (sum << 32n) | BigInt(w >>> 0), 0n);
  return { from, to: from + (1n << BigInt(widthOf(p.family) - p.length)) - 1n };
}

function containsByReference(outer: Prefix, inner: Prefix): boolean {
  const [a, b] = [interval(outer), interval(inner)];
  return outer.family === inner.family && a.from <= b.from && b.to <= a.to;
}

describe('prefixes', () => {
  it('come back as they went out', () => {
    fc.assert(
      fc.property(prefixes, (p) => {
        expect(parsePrefix(p.text)).toEqual(p);
        expect(p.length === widthOf(p.family)).toBe(!p.text.includes('/'));
        if (p.length === widthOf(p.family)) expect(parsePrefix(`${p.text}/${widthOf(p.family)}`)).toEqual(p);
      }),
      { numRuns: 2000 },
    );
  });

  it('contain what whole numbers say', () => {
    fc.assert(
      fc.property(prefixes, prefixes, (a, b) => {
        expect(contains(a, b)).toBe(containsByReference(a, b));
        expect(overlaps(a, b)).toBe(containsByReference(a, b) || containsByReference(b, a));
        const widened = prefixOf(b, Math.min(a.length, b.length));
        expect(contains(widened, b)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });

  it('with host bits set are refused with the network that holds the address', () => {
    fc.assert(
      fc.property(words, fc.nat(128), (w, n) => {
        const length = n % (widthOf(w.family) + 1);
        const result = parsePrefix(`${formatWords(w)}/${length}`);
        const network = prefixOf(w, length);
        if (formatWords(network) === formatWords(w)) expect(result).toEqual(network);
        else {
          expect(result).toMatchObject({ problem: 'host_bits', corrected: network.text });
          expect(isProblem(parsePrefix(network.text))).toBe(false);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('of IPv4-mapped addresses are the IPv4 prefix', () => {
    fc.assert(
      fc.property(word, fc.integer({ min: 0, max: 32 }), (w0, length) => {
        const four = prefixOf({ family: 4, w0, w1: 0, w2: 0, w3: 0 }, length);
        const mapped = `::ffff:${four.text.split('/')[0]}/${96 + length}`;
        expect(parsePrefix(mapped)).toEqual(four);
      }),
    );
  });

  it('are read from any text without a throw', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789af:./ -') }), (text) => {
        const result = parsePrefix(text);
        if (!isProblem(result)) expect(prefix(result.text)).toEqual(result);
      }),
      { numRuns: 10_000 },
    );
  });
});

type Step = { readonly do: 'set' | 'delete'; readonly prefix: Prefix };
const steps = fc.array(fc.record({ do: fc.constantFrom<'set' | 'delete'>('set', 'set', 'delete'), prefix: prefixes }), {
  maxLength: 60,
});

describe('PrefixSet', () => {
  it('answers as a plain list does, through any additions and removals', () => {
    fc.assert(
      fc.property(steps, fc.array(prefixes, { minLength: 1, maxLength: 20 }), (made: Step[], extra) => {
        const set = new PrefixSet<number>();
        const list = new Map<string, { prefix: Prefix; value: number }>();
        made.forEach((step, value) => {
          const { text } = step.prefix;
          if (step.do === 'set') {
            expect(set.set(step.prefix, value)).toBe(!list.has(text));
            list.set(text, { prefix: step.prefix, value });
          } else expect(set.delete(step.prefix)).toBe(list.delete(text));
        });
        expect(set.size).toBe(list.size);
        expect([...set].map((entry) => entry.prefix.text).sort()).toEqual([...list.keys()].sort());
        for (const asked of [...extra, ...made.map((step) => step.prefix)]) {
          const all = [...list.values()];
          const covering = all
            .filter((entry) => containsByReference(entry.prefix, asked))
            .sort((a, b) => b.prefix.length - a.prefix.length)[0];
          expect(set.covering(asked)).toEqual(covering ?? null);
          expect(set.get(asked)).toBe(list.get(asked.text)?.value);
          const inside = set.inside(asked);
          const insiders = all.filter((entry) => containsByReference(asked, entry.prefix));
          if (insiders.length === 0) expect(inside).toBeNull();
          else expect(insiders.map((entry) => entry.prefix.text)).toContain(inside?.prefix.text);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['192.0.0.0/2', '160.0.0.0/3', '0.0.0.0/0'],
    ['203.0.113.9', '203.0.113.8', '203.0.113.0/24'],
    ['2001:db8::1', '2001:db8::', '2001:db8::/32'],
  ])('finds %s inside of what also held %s before', (kept, removed, asked) => {
    const set = new PrefixSet<true>();
    for (const text of [kept, removed]) set.set(prefix(text), true);
    set.delete(prefix(removed));
    expect(set.inside(prefix(asked))?.prefix.text).toBe(kept);
  });

  it('is empty again, down to its nodes, when all is removed', () => {
    fc.assert(
      fc.property(fc.uniqueArray(prefixes, { selector: (p) => p.text, maxLength: 30 }), (list) => {
        const set = new PrefixSet<true>();
        for (const p of list) set.set(p, true);
        for (const p of list) expect(set.delete(p)).toBe(true);
        expect(set.size).toBe(0);
        for (const p of list) {
          expect(set.covering(p)).toBeNull();
          expect(set.inside(p)).toBeNull();
        }
        expect([...set]).toEqual([]);
      }),
    );
  });
});
