import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NLA_F_NESTED, NLA_F_NET_BYTEORDER } from '../../../src/netlink/constants.js';
import { AttributeReader, LITTLE_ENDIAN, MessageReader, MessageWriter } from '../../../src/netlink/message.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe.runIf(LITTLE_ENDIAN)('the message writer', () => {
  const HEADER = '0906 0500 07000000 00000000 02 00 0005'.replaceAll(' ', '');
  const cases: readonly (readonly [string, (out: MessageWriter) => void, string])[] = [
    ['nothing', () => {}, ''],
    ['a byte, padded', (out) => out.u8(1, 7), '0500010007000000'],
    ['a number in network order', (out) => out.be32(6 | NLA_F_NET_BYTEORDER, 3600), '0800064000000e10'],
    ['a number in host order', (out) => out.u32(9, 3600), '08000900100e0000'],
    ['a long number', (out) => out.be64(25, 2 ** 32 + 5), '0c0019000000000100000005'],
    ['text with its NUL', (out) => out.text(2, 'abc'), '0800020061626300'],
    ['text that needs padding', (out) => out.text(2, 'abcd'), '090002006162636400000000'],
    ['bytes', (out) => out.bytes(3, Uint8Array.of(1, 2)), '0600030001020000'],
    ['an IPv4 address', (out) => out.words(1, 4, 0xcb007109 | 0, 1, 1, 1), '08000100cb007109'],
    ['an IPv6 address', (out) => out.words(2, 6, 0x20010db8, 0, 0, 9), '1400020020010db8000000000000000000000009'],
    [
      'a nest',
      (out) => {
        const mark = out.open(7 | NLA_F_NESTED);
        out.u8(3, 24);
        out.close(mark);
      },
      '0c0007800500030018000000',
    ],
  ];

  it.each(cases)('writes %s', (_, write, attributes) => {
    // What was in the buffer must not shine through the padding.
    const out = new MessageWriter(new Uint8Array(64).fill(0xff));
    out.begin({ type: 0x609, flags: 5, sequence: 7, family: 2, resource: 5 });
    write(out);
    const length = out.finish();
    const size = Buffer.alloc(4);
    size.writeUInt32LE(20 + attributes.length / 2);
    expect(hex(out.buffer.subarray(0, length))).toBe(hex(size) + HEADER + attributes);
  });

  it('refuses what does not fit, before it writes outside its memory', () => {
    const out = new MessageWriter(new Uint8Array(24));
    out.begin({ type: 1, flags: 1, sequence: 1, family: 0 });
    expect(() => out.text(1, 'longer than four bytes')).toThrow(RangeError);
    expect(() => out.bytes(1, new Uint8Array(70_000))).toThrow(RangeError);
    const large = new MessageWriter(new Uint8Array(100_000));
    large.begin({ type: 1, flags: 1, sequence: 1, family: 0 });
    const mark = large.open(1);
    large.bytes(1, new Uint8Array(40_000));
    large.bytes(1, new Uint8Array(40_000));
    expect(() => large.close(mark)).toThrow(RangeError);
  });
});

describe('reader and writer', () => {
  const attribute = fc.oneof(
    fc.record({ kind: fc.constant('u8' as const), type: fc.integer({ min: 0, max: 0x3fff }), value: fc.nat(255) }),
    fc.record({ kind: fc.constant('be32' as const), type: fc.integer({ min: 0, max: 0x3fff }), value: fc.nat() }),
    fc.record({ kind: fc.constant('u32' as const), type: fc.integer({ min: 0, max: 0x3fff }), value: fc.nat() }),
    fc.record({
      kind: fc.constant('be64' as const),
      type: fc.integer({ min: 0, max: 0x3fff }),
      value: fc.maxSafeNat(),
    }),
    fc.record({
      kind: fc.constant('text' as const),
      type: fc.integer({ min: 0, max: 0x3fff }),
      value: fc.stringMatching(/^[!-~]{0,31}$/),
    }),
  );
  const message = fc.record({
    type: fc.nat(0xffff),
    flags: fc.nat(0xffff),
    sequence: fc.integer({ min: 0, max: 0xffffffff }),
    attributes: fc.array(attribute, { maxLength: 8 }),
  });

  it('agree on any messages in one datagram', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        const out = new MessageWriter(new Uint8Array(4096));
        for (const { attributes, ...header } of messages) {
          out.begin({ ...header, family: 2 });
          for (const { kind, type, value } of attributes) {
            if (kind === 'text') out.text(type, value);
            else out[kind](type, value);
          }
          out.finish();
        }
        const reader = new MessageReader(out.buffer).over(out.length);
        const inner = new AttributeReader(out.buffer);
        const read: typeof messages = [];
        while (reader.next()) {
          inner.over(reader.start + 4, reader.end);
          const wanted = messages[read.length]?.attributes ?? [];
          const values: unknown[] = [];
          for (const { kind } of wanted) {
            expect(inner.next()).toBe(true);
            values.push({ kind, type: inner.type, value: inner[kind]() });
          }
          expect(inner.next()).toBe(false);
          expect(inner.malformed).toBe(false);
          read.push({
            type: reader.type,
            flags: reader.flags,
            sequence: reader.sequence,
            attributes: values as typeof wanted,
          });
        }
        expect(read).toEqual(messages);
        expect(reader.malformed).toBe(false);
      }),
    );
  });

  it('end on any bytes, inside them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(250), (bytes, length) => {
        const reader = new MessageReader(bytes).over(length);
        const attributes = new AttributeReader(bytes);
        let steps = 0;
        while (reader.next()) {
          expect(reader.end).toBeLessThanOrEqual(bytes.length);
          reader.errno();
          attributes.over(reader.start + 4, reader.end);
          while (attributes.next()) {
            expect(attributes.end).toBeLessThanOrEqual(reader.end);
            attributes.u8();
            attributes.be32();
            attributes.u32();
            attributes.be64();
            attributes.word(3);
            attributes.text();
            steps += 1;
          }
          steps += 1;
        }
        expect(steps).toBeLessThan(200);
      }),
      { numRuns: 500 },
    );
  });

  it('calls lengths that cannot be malformed', () => {
    const bytes = new Uint8Array(32);
    new DataView(bytes.buffer).setUint32(0, 200, LITTLE_ENDIAN);
    const reader = new MessageReader(bytes).over(32);
    expect([reader.next(), reader.malformed]).toEqual([false, true]);
    const attributes = new AttributeReader(Uint8Array.of(3, 0, 1, 0)).over(0, 4);
    expect([attributes.next(), attributes.malformed]).toEqual([false, true]);
  });
});
