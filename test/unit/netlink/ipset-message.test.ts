import { describe, expect, it } from 'vitest';
import { prefix } from '../../../src/net/prefix.js';
import {
  decodeElements,
  decodeFailedLine,
  decodeHeader,
  type ListedElement,
} from '../../../src/netlink/ipset-decode.js';
import {
  elementProblem,
  encodeCreate,
  encodeElements,
  encodeList,
  encodeSetCommand,
  encodeTest,
} from '../../../src/netlink/ipset-message.js';
import { AttributeReader, LITTLE_ENDIAN, MessageWriter } from '../../../src/netlink/message.js';

const spaced = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const literal = (text: string) => text.replace(/\s+/g, '');
const bytesOf = (text: string) => new Uint8Array(Buffer.from(literal(text), 'hex'));
const readersOf = (bytes: Uint8Array) =>
  [0, 1, 2, 3].map(() => new AttributeReader(bytes)) as unknown as Parameters<typeof decodeElements>[0];

describe.runIf(LITTLE_ENDIAN)('ipset messages', () => {
  const encoded = (encode: (out: MessageWriter) => number) => {
    const out = new MessageWriter(new Uint8Array(1024).fill(0xee));
    return spaced(out.buffer.subarray(0, encode(out)));
  };

  it('make a set', () => {
    const options = { family: 4, maxelem: 65_536, hashsize: 4096, counters: true, timeout: 0, revision: 6 } as const;
    expect(encoded((out) => encodeCreate(out, 1, 'b4', options))).toBe(
      literal(`68000000 0206 0506 01000000 00000000 02 00 0000
        0500 0100 07000000  0700 0200 62340000
        0d00 0300 686173683a6e657400000000
        0500 0400 06000000  0500 0500 02000000
        2400 0780  0800 0640 00000000  0800 1240 00001000  0800 1340 00010000  0800 0840 00000008`),
    );
  });

  it('add elements, each with a line of its own', () => {
    const elements = [
      { prefix: prefix('198.51.100.0/24'), timeout: 3600 },
      { prefix: prefix('203.0.113.9'), timeout: 0, fresh: true },
    ];
    expect(encoded((out) => encodeElements(out, 'add', 2, 'b4', 4, elements, 0, 2))).toBe(
      literal(`90000000 0906 0500 02000000 00000000 02 00 0000
        0500 0100 07000000  0700 0200 62340000  0800 0900 00000000
        6400 0880
        2800 0780  0c00 0180 0800 0140 c6336400  0500 0300 18000000  0800 0640 00000e10  0800 0900 01000000
        3800 0780  0c00 0180 0800 0140 cb007109  0800 0640 00000000
          0c00 1840 0000000000000000  0c00 1940 0000000000000000  0800 0900 02000000`),
    );
  });

  it('delete an IPv6 element, without a timeout', () => {
    const elements = [{ prefix: prefix('2001:db8::9'), timeout: 60 }];
    expect(encoded((out) => encodeElements(out, 'delete', 3, 'b6', 6, elements, 0, 1))).toBe(
      literal(`54000000 0a06 0500 03000000 00000000 0a 00 0000
        0500 0100 07000000  0700 0200 62360000  0800 0900 00000000
        2800 0880
        2400 0780  1800 0180 1400 0240 20010db8000000000000000000000009  0800 0900 01000000`),
    );
  });

  it('swap, test and list', () => {
    expect(encoded((out) => encodeSetCommand(out, 'swap', 4, 'b4', 'n4'))).toBe(
      literal(`2c000000 0606 0502 04000000 00000000 00 00 0000
        0500 0100 07000000  0700 0200 62340000  0700 0300 6e340000`),
    );
    expect(encoded((out) => encodeTest(out, 5, 'b4', prefix('203.0.113.9')))).toBe(
      literal(`34000000 0b06 0500 05000000 00000000 02 00 0000
        0500 0100 07000000  0700 0200 62340000  1000 0780 0c00 0180 0800 0140 cb007109`),
    );
    expect(encoded((out) => encodeList(out, 6, { name: 'b4', headerOnly: true }))).toBe(
      literal(`2c000000 0706 0503 06000000 00000000 00 00 0000
        0500 0100 07000000  0700 0200 62340000  0800 0640 00000004`),
    );
  });

  it('are read back: the header of a set', () => {
    const bytes = bytesOf(`02 00 0000  0500 0100 07000000  0700 0200 62340000
      0d00 0300 686173683a6e657400000000  0500 0500 02000000  0500 0400 06000000
      3400 0780  0800 1240 00000400  0800 1340 00010000  0800 0640 00000000  0800 0840 00000008
                 0800 1940 00000002  0800 1840 00000007`);
    expect(decodeHeader(new AttributeReader(bytes), 0, bytes.length)).toEqual({
      name: 'b4',
      type: 'hash:net',
      family: 4,
      revision: 6,
      timeout: 0,
      counters: true,
      maxelem: 65_536,
      hashsize: 1024,
      netmask: null,
      elements: 7,
      references: 2,
    });
  });

  it('are read back: elements with timeout and counters', () => {
    const bytes = bytesOf(`02 00 0000  0500 0100 07000000
      7000 0880
      3800 0780  0c00 0180 0800 0140 c6336400  0500 0300 18000000  0800 0640 00000e10
                 0c00 1840 0000000000000054  0c00 1940 0000000100000001
      3400 0780  1800 0180 1400 0240 20010db8000000000000000000000009  0500 0300 80000000  0800 0640 00000000
                 0500 0800 00000000`);
    const found: ListedElement[] = [];
    decodeElements(readersOf(bytes), 0, bytes.length, found);
    expect(found).toEqual([
      { text: '198.51.100.0/24', timeout: 3600, packets: 2 ** 32 + 1, bytes: 84 },
      { text: '2001:db8::9', timeout: 0, packets: 0, bytes: 0 },
    ]);
  });

  it('are read back: the line that failed, and none for a failure of the whole', () => {
    const echo = (line: string) =>
      bytesOf(`00efffff 2c000000 0906 0500 02000000 00000000 02 00 0000
        0500 0100 07000000  0700 0200 62340000  0800 0900 ${line}`);
    const failed = echo('02010000');
    expect(decodeFailedLine(new AttributeReader(failed), 0, failed.length)).toBe(258);
    const whole = echo('00000000');
    expect(decodeFailedLine(new AttributeReader(whole), 0, whole.length)).toBe(0);
    expect(decodeFailedLine(new AttributeReader(failed), 0, 4)).toBe(0);
  });

  it('are not made for elements that no set takes', () => {
    expect(elementProblem(prefix('203.0.113.9'), 2_147_483)).toBeNull();
    for (const timeout of [-1, 1.5, 2_147_484, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(elementProblem(prefix('203.0.113.9'), timeout)).toContain('timeout');
    }
    expect(elementProblem(prefix('::/0'), 0)).toContain('/1');
  });
});
