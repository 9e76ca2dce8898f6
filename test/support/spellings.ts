/** Addresses for property tests, in canonical form and as others write them. */
import fc from 'fast-check';
import type { AddressWords } from '../../src/net/address.js';

const word = fc.oneof(fc.integer(), fc.constantFrom(0, 0, 0, -1, 0xffff, 0x10000));
export const words4 = word.map((w0): AddressWords => ({ family: 4, w0: w0 | 0, w1: 0, w2: 0, w3: 0 }));
export const words6 = fc
  .tuple(word, word, word, word)
  .map(([w0, w1, w2, w3]): AddressWords => ({ family: 6, w0: w0 | 0, w1: w1 | 0, w2: w2 | 0, w3: w3 | 0 }));

function groupsOf(w: AddressWords): number[] {
  return [w.w0, w.w1, w.w2, w.w3].flatMap((x) => [x >>> 16, x & 0xffff]);
}

/** One of the many ways in which people and programs write the same IPv6 address. */
export const spelling6 = fc
  .tuple(words6, fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), fc.boolean(), fc.boolean(), fc.nat())
  .map(([words, padded, upper, dotted, pick]) => {
    const groups = groupsOf(words);
    const parts = groups.map((g, i) => (padded[i] ? g.toString(16).padStart(4, '0') : g.toString(16)));
    if (dotted)
      parts.splice(6, 2, `${words.w3 >>> 24}.${(words.w3 >>> 16) & 255}.${(words.w3 >>> 8) & 255}.${words.w3 & 255}`);
    // Any run of zero groups may be the gap, not only the one that RFC 5952 asks for.
    const last = dotted ? 6 : 8;
    const runs: [number, number][] = [];
    for (let from = 0; from < last; from++) {
      for (let to = from + 1; to <= last && groups[to - 1] === 0; to++) runs.push([from, to]);
    }
    const run = runs.length > 0 ? runs[pick % (runs.length + 1)] : undefined;
    const text = run ? `${parts.slice(0, run[0]).join(':')}::${parts.slice(run[1]).join(':')}` : parts.join(':');
    return { words, text: upper ? text.toUpperCase() : text };
  });
