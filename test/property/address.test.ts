import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AddressWords, formatWords, parseAddress, parseWords, unmapped } from '../../src/net/address.js';

const word = fc.oneof(fc.integer(), fc.constantFrom(0, 0, 0, -1, 0xffff, 0x10000));
const words4 = word.map((w0): AddressWords => ({ family: 4, w0: w0 | 0, w1: 0, w2: 0, w3: 0 }));
const words6 = fc
  .tuple(word, word, word, word)
  .map(([w0, w1, w2, w3]): AddressWords => ({ family: 6, w0: w0 | 0, w1: w1 | 0, w2: w2 | 0, w3: w3 | 0 }));

function groupsOf(w: AddressWords): number[] {
  return [w.w0, w.w1, w.w2, w.w3].flatMap((x) => [x >>> 16, x & 0xffff]);
}

/** One of the many ways in which people and programs write the same IPv6 address. */
const spelling6 = fc
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

describe('addresses', () => {
  it('of IPv4 come back as they went out, and node:net agrees', () => {
    fc.assert(
      fc.property(words4, (words) => {
        const text = formatWords(words);
        expect(isIP(text)).toBe(4);
        expect(parseWords(text)).toEqual(words);
        expect(parseAddress(text)).toBe(text);
      }),
    );
  });

  it('of IPv6 come back as they went out, in the canonical form of WHATWG URL', () => {
    fc.assert(
      fc.property(words6, (words) => {
        const text = formatWords(words);
        expect(isIP(text)).toBe(6);
        expect(parseWords(text)).toEqual(words);
        // The URL standard compresses as RFC 5952 does, and never writes dotted tails.
        expect(`[${text}]`).toBe(new URL(`http://[${text}]/`).hostname);
      }),
      { numRuns: 2000 },
    );
  });

  it('have one canonical text for all spellings', () => {
    fc.assert(
      fc.property(spelling6, ({ words, text }) => {
        expect(isIP(text)).toBe(6);
        expect(parseWords(text)).toEqual(words);
        expect(parseAddress(text)).toBe(formatWords(unmapped(words)));
      }),
      { numRuns: 5000 },
    );
  });

  it('are accepted from a text exactly when node:net accepts it', () => {
    const piece = fc.constantFrom(
      '0',
      '1',
      '01',
      '255',
      '256',
      'ff',
      'FFFF',
      '00001',
      'g',
      ':',
      '::',
      '.',
      '1.2.3.4',
      '%eth0',
      ' ',
      '/',
      '-',
      '',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 17 }), (pieces) => {
        const text = pieces.join('');
        // A zone names an interface of one machine: node:net takes it, a ban cannot.
        const expected = isIP(text) !== 0 && !text.includes('%');
        expect(parseWords(text) !== null).toBe(expected);
      }),
      { numRuns: 20_000 },
    );
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789abcdefF:.x') }), (text) => {
        expect(parseWords(text) !== null).toBe(isIP(text) !== 0);
      }),
      { numRuns: 20_000 },
    );
  });

  it('are never read from what is not a text, and nothing throws', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const address = parseAddress(value);
        if (typeof value !== 'string') expect(address).toBeNull();
      }),
    );
  });
});
