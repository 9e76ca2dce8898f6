import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatWords, parseAddress, parseWords, unmapped } from '../../src/net/address.js';
import { spelling6, words4, words6 } from '../support/spellings.js';

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
