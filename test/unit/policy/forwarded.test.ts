import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { prefix } from '../../../src/net/prefix.js';
import { setOf } from '../../../src/policy/context.js';
import { forwardedClient, overwrittenBy } from '../../../src/policy/forwarded.js';
import { endpoint } from './support.js';

const trusted = setOf(['10.0.0.0/24', '2001:db8:a::/64'].map(prefix));
const client = (xff: string) => forwardedClient(xff, trusted)?.text ?? null;

describe('forwardedClient', () => {
  it.each<[string, string | null]>([
    ['203.0.113.5', '203.0.113.5'],
    ['8.8.8.8, 203.0.113.5', '203.0.113.5'],
    ['8.8.8.8,203.0.113.5,10.0.0.7', '203.0.113.5'],
    ['203.0.113.5, 10.0.0.7, 10.0.0.8', '203.0.113.5'],
    [' 203.0.113.5 , 10.0.0.7 ', '203.0.113.5'],
    ['203.0.113.5:4711', '203.0.113.5'],
    ['2001:0DB8:0:0:0:0:0:5', '2001:db8::5'],
    ['[2001:db8::5]', '2001:db8::5'],
    ['"[2001:db8::5]:4711"', '2001:db8::5'],
    ['203.0.113.5, 2001:db8:a::1', '203.0.113.5'],
    ['::ffff:203.0.113.5', '203.0.113.5'],
    ['::ffff:10.0.0.7', null],
    ['10.0.0.7', null],
    ['10.0.0.7, 10.0.0.8', null],
    ['203.0.113.5, unknown', null],
    ['203.0.113.5, unknown, 10.0.0.7', null],
    ['203.0.113.5, _hidden, 10.0.0.7', null],
    ['203.0.113.5,', null],
    [',', null],
    ['', null],
    ['203.0.113.5; 10.0.0.7', null],
    ['203.0.113.5:x', null],
    ['[2001:db8::5', null],
    ['[2001:db8::5]x', null],
    ['010.1.1.1', null],
  ])('reads %j as %s', (xff, expected) => {
    expect(client(xff)).toBe(expected);
  });

  it('reads no more than twenty proxies from the right', () => {
    expect(client(`203.0.113.5${', 10.0.0.7'.repeat(19)}`)).toBe('203.0.113.5');
    expect(client(`203.0.113.5${', 10.0.0.7'.repeat(20)}`)).toBeNull();
  });

  it('never believes what stands to the left of an address that no trusted proxy has', () => {
    const word = fc.oneof(fc.ipV4(), fc.ipV6(), fc.string(), fc.constantFrom('10.0.0.9', 'unknown', ''));
    fc.assert(
      fc.property(fc.array(word, { maxLength: 30 }), (words) => {
        expect(client([...words, '203.0.113.5', '10.0.0.7'].join(', '))).toBe('203.0.113.5');
      }),
    );
  });
});

describe('overwrittenBy', () => {
  const src = endpoint('203.0.113.66', 1);
  const dest = endpoint('192.168.50.10', 80);
  it.each<[string | null, string | null]>([
    [null, null],
    ['203.0.113.66', '203.0.113.66'],
    [' ::ffff:203.0.113.66 ', '203.0.113.66'],
    ['203.0.113.66:4711', '203.0.113.66'],
    ['192.168.50.10', '192.168.50.10'],
    ['10.9.9.9', null],
    // Suricata overwrites with one address, never with a list.
    ['192.168.50.10, 203.0.113.66', null],
    ['x', null],
  ])('of %j finds %s', (xff, found) => {
    expect(overwrittenBy({ xff, src, dest })).toBe(found);
  });
});
