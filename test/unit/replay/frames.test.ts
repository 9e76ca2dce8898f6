import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReplayError } from '../../../src/replay/errors.js';
import { framesOf, isCapture, packetStart } from '../../../src/replay/frames.js';
import { framed, pcap, pcapng, type Written } from '../../support/captures.js';
import { icmp, tcp } from '../../support/packets.js';

const AT = 1_790_000_000_123.456;
const PACKETS: readonly Written[] = [
  { at: AT, bytes: tcp({ source: '203.0.113.5', target: '192.0.2.10', port: 80 }) },
  { at: AT + 1, bytes: icmp('2001:db8::5', '2001:db8::10', 128, 33) },
];

async function* inPieces(data: Buffer, size: number): AsyncGenerator<Buffer> {
  // As a stream does, the memory of a piece is not kept by who reads on.
  for (let at = 0; at < data.length; at += size) yield Buffer.from(data.subarray(at, at + size));
}

/** Times and IP packets of a capture. */
async function read(data: Buffer, size = 1 << 16) {
  const found: { at: number; bytes: number[] }[] = [];
  for await (const frame of framesOf('x.pcap', inPieces(data, size))) {
    const start = packetStart(frame);
    if (start >= 0) found.push({ at: frame.at, bytes: [...frame.bytes.subarray(start)] });
    expect(frame.length).toBe(frame.bytes.length);
  }
  return found;
}

const forms = [pcap, pcapng].flatMap((write) =>
  [true, false].flatMap((little) =>
    [false, true].flatMap((nano) =>
      [0, 1, 101, 113, 276].map((link) => ({ write, little, nano, link, name: write.name })),
    ),
  ),
);

describe('frames of a capture', () => {
  it.each(forms)('$name, little-endian $little, nanoseconds $nano, link type $link', async (form) => {
    const data = form.write(PACKETS, form);
    expect(isCapture(data)).toBe(true);
    const found = await read(data, 13);
    expect(found.map(({ bytes }) => bytes)).toEqual(PACKETS.map(({ bytes }) => [...bytes]));
    for (const [i, { at }] of found.entries()) expect(Math.abs(at - (PACKETS[i] as Written).at)).toBeLessThan(0.01);
  });

  it.each([1, 113])('with one VLAN tag and two, link type %i', async (link) => {
    for (const vlans of [1, 2]) {
      const found = await read(pcap(PACKETS, { link, vlans }));
      expect(found.map(({ bytes }) => bytes)).toEqual(PACKETS.map(({ bytes }) => [...bytes]));
    }
  });

  it('end where the file was cut, wherever that is', async () => {
    for (const data of [pcap(PACKETS), pcapng(PACKETS)]) {
      const whole = await read(data);
      for (let length = 0; length < data.length; length++) {
        const found = await read(data.subarray(0, length));
        expect(found).toEqual(whole.slice(0, found.length));
        expect(found.length).toBeLessThanOrEqual(length === data.length ? 2 : 1 + Number(length > data.length - 80));
      }
    }
  });

  it('are passed over where they are no IP', () => {
    const arp = Buffer.from([...new Array<number>(12).fill(1), 8, 6, ...new Array<number>(28).fill(0)]);
    expect(packetStart({ at: 0, link: 1, bytes: arp, length: arp.length })).toBe(-1);
    const short = framed(1, PACKETS[0]?.bytes as Uint8Array).subarray(0, 14);
    expect(packetStart({ at: 0, link: 1, bytes: short, length: 14 })).toBe(-1);
    expect(packetStart({ at: 0, link: 147, bytes: arp, length: arp.length })).toBe(-1);
  });

  it('of damaged files end by an error that says so, or early; never by another', async () => {
    const bytes = fc.record({ at: fc.nat(400), to: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(pcap(PACKETS), pcapng(PACKETS)),
        fc.array(bytes, { maxLength: 6 }),
        async (data, changes) => {
          const hurt = Buffer.from(data);
          for (const { at, to } of changes) if (at < hurt.length) hurt[at] = to;
          try {
            for await (const frame of framesOf('x.pcap', inPieces(hurt, 50))) packetStart(frame);
          } catch (error) {
            expect(error).toBeInstanceOf(ReplayError);
            expect((error as Error).message).toMatch(/^x\.pcap is damaged/);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
