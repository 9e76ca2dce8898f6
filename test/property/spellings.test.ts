import fc from 'fast-check';
import { expect, it } from 'vitest';
import { spellingPatterns } from '../../src/blocklist/spellings.js';
import { formatWords } from '../../src/net/address.js';
import { isProblem, type Prefix, parsePrefix } from '../../src/net/prefix.js';
import { spelling6, words4 } from '../support/spellings.js';

/** Redis' patterns as far as they are used here: `*` and classes. */
const matches = (pattern: string, text: string) =>
  new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`).test(text);

const written = fc.oneof(
  spelling6.map(({ text }) => text),
  words4.map(formatWords),
  words4.map((words) => `::FFFF:${formatWords(words)}`),
);

it('the patterns of a prefix match every spelling of it', () => {
  fc.assert(
    fc.property(written, fc.option(fc.nat(128)), (address, length) => {
      const text = length === null ? address : `${address}/${length}`;
      const parsed = parsePrefix(text);
      // Host bits are refused, and the network is another prefix.
      fc.pre(!isProblem(parsed));
      const { text: canonical } = parsed as Prefix;
      const patterns = spellingPatterns(canonical);
      expect({ text, canonical, found: patterns.some((pattern) => matches(pattern, text)) }).toMatchObject({
        found: true,
      });
    }),
    { numRuns: 5000 },
  );
});

it('the patterns of a prefix match few others', () => {
  expect(spellingPatterns('203.0.113.0/24')).toEqual(['*203.0.113.0*', '*:[fF][fF][fF][fF]:*']);
  expect(spellingPatterns('2001:db8::9')).toEqual(['*2001:*[dD][bB]8:*']);
});
