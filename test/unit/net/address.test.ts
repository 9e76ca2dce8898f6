import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../../src/net/address.js';
import { isProblem, parsePrefix, prefix } from '../../../src/net/prefix.js';

describe('parseAddress', () => {
  it.each([
    ['203.0.113.9', '203.0.113.9'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['2001:0db8:0050:0000:0000:0000:0000:0066', '2001:db8:50::66'],
    ['2001:DB8::66', '2001:db8::66'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::', '::'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::FFFF:102:304', '1.2.3.4'],
    ['0000:0000:0000:0000:0000:ffff:0506:0708', '5.6.7.8'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['::1.2.3.4', '::102:304'],
  ])('reads %s as %s', (text, canonical) => {
    expect(parseAddress(text)).toBe(canonical);
  });

  it.each([
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '0x1.2.3.4',
    '1.2.3.4/32',
    '1.2.3.4; rm -rf /',
    '1.2.3.-4',
    '1..2.3',
    '१.2.3.4',
    ':',
    ':::',
    '1::2::3',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8:9',
    '12345::',
    'g::',
    'fe80::1%eth0',
    '[::1]',
    '::ffff:1.2.3',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7:1.2.3.4',
    `${'0'.repeat(50)}::`,
  ])('refuses %j', (text) => {
    expect(parseAddress(text)).toBeNull();
  });

  it.each([null, undefined, 3232235777, {}, ['1.2.3.4']])('refuses what is not a text: %j', (value) => {
    expect(parseAddress(value)).toBeNull();
  });
});

describe('parsePrefix', () => {
  it.each([
    ['203.0.113.9', '203.0.113.9', 32],
    ['203.0.113.9/32', '203.0.113.9', 32],
    ['203.0.113.0/24', '203.0.113.0/24', 24],
    ['0.0.0.0/0', '0.0.0.0/0', 0],
    ['2001:0DB8::/32', '2001:db8::/32', 32],
    ['2001:db8::1/128', '2001:db8::1', 128],
    ['::/0', '::/0', 0],
    ['::ffff:203.0.113.0/120', '203.0.113.0/24', 24],
    ['::ffff:203.0.113.9/128', '203.0.113.9', 32],
    ['::ffff:0:0/96', '0.0.0.0/0', 0],
  ])('reads %s as %s', (text, canonical, length) => {
    const result = parsePrefix(text);
    expect(isProblem(result)).toBe(false);
    expect(result).toMatchObject({ text: canonical, length });
  });

  it.each([
    ['203.0.113.9/24', '203.0.113.0/24'],
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['1.2.3.4/0', '0.0.0.0/0'],
    ['2001:db8::9/64', '2001:db8::/64'],
    ['::ffff:203.0.113.9/120', '203.0.113.0/24'],
    ['::ffff:1.2.3.4/64', '::/64'],
    ['::ffff:0:0/80', '::/80'],
  ])('refuses %s and corrects it to %s', (text, corrected) => {
    const result = parsePrefix(text);
    expect(result).toMatchObject({ problem: 'host_bits', corrected });
  });

  it.each([
    '203.0.113.0/33',
    '203.0.113.0/',
    '203.0.113.0/-1',
    '203.0.113.0/24/8',
    '203.0.113.0/a',
    '2001:db8::/129',
    '1.2.3.4/ 8',
    '1.2.3.0/255.255.255.0',
  ])('refuses the length of %s', (text) => {
    expect(parsePrefix(text)).toMatchObject({ problem: 'bad_length' });
  });

  it.each(['', '/', '/24', 'foo', 'foo/24', '203.0.113/24', '42.0.0.0.0/8'])('refuses the address of %j', (text) => {
    expect(parsePrefix(text)).toMatchObject({ problem: 'not_an_address' });
  });

  it('throws where the program itself wrote something else', () => {
    expect(() => prefix('203.0.113.9/24')).toThrow('host bits are set; the network is 203.0.113.0/24');
  });
});
