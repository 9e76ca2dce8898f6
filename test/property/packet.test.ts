import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OUTCOME, Packet } from '../../src/net/packet.js';
import { be16 } from '../support/packets.js';
import { readPcap } from '../support/pcap.js';

/** Bytes in the middle of a larger buffer whose other bytes must not be looked at: reading one throws. */
function guarded(bytes: Uint8Array, before = 7, after = 9): { view: Uint8Array; start: number } {
  const room = new Uint8Array(before + bytes.length + after).fill(0xee);
  room.set(bytes, before);
  const view = new Proxy(room, {
    get(target, key) {
      const index = typeof key === 'string' && /^-?\d+$/.test(key) ? Number(key) : null;
      if (index !== null && (index < before || index >= before + bytes.length))
        throw new Error(`read of byte ${index}`);
      return Reflect.get(target, key, target);
    },
  });
  return { view, start: before };
}

function fields(packet: Packet): Record<string, number> {
  const { family, protocol, length, sourcePort, targetPort, flags, type, code } = packet;
  const transport = Number(packet.transport);
  const { source0, source1, source2, source3, target0, target1, target2, target3 } = packet;
  return {
    ...{ family, protocol, length, transport, sourcePort, targetPort, flags, type, code },
    ...{ source0, source1, source2, source3, target0, target1, target2, target3 },
  };
}

interface Layout {
  readonly bytes: number[];
  readonly expected: Record<string, number>;
  readonly outcome: number;
}

const byte = fc.nat(255);
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const port = fc.nat(65_535);
const of = (w: number) => [w >>> 24, (w >>> 16) & 255, (w >>> 8) & 255, w & 255];

/** A transport header, and what a parser finds in it. */
const transport = (family: 4 | 6) =>
  fc.oneof(
    fc.record({ sport: port, dport: port, flags: byte, words: fc.integer({ min: 5, max: 15 }) }).map((t) => ({
      protocol: 6,
      bytes: [
        ...[...be16(t.sport), ...be16(t.dport), 1, 2, 3, 4, 5, 6, 7, 8, t.words << 4, t.flags, 9, 9, 9, 9, 9, 9],
        ...new Array<number>((t.words - 5) * 4).fill(1),
      ],
      found: { transport: 1, sourcePort: t.sport, targetPort: t.dport, flags: t.flags },
    })),
    fc.record({ type: byte, code: byte, data: fc.array(byte, { minLength: 6, maxLength: 40 }) }).map((t) => ({
      protocol: family === 4 ? 1 : 58,
      bytes: [t.type, t.code, ...t.data],
      found: { transport: 1, type: t.type, code: t.code },
    })),
    fc
      .record({
        protocol: fc.constantFrom(17, 132, 136),
        sport: port,
        dport: port,
        data: fc.array(byte, { maxLength: 30 }),
      })
      .map((t) => ({
        protocol: t.protocol,
        bytes: [
          ...be16(t.sport),
          ...be16(t.dport),
          ...new Array<number>(t.protocol === 132 ? 8 : 4).fill(7),
          ...t.data,
        ],
        found: { transport: 1, sourcePort: t.sport, targetPort: t.dport },
      })),
    fc.record({ protocol: fc.constantFrom(2, 47, 50, 59), data: fc.array(byte, { maxLength: 30 }) }).map((t) => ({
      protocol: t.protocol,
      bytes: t.data,
      found: {},
    })),
  );

const blank = { transport: 0, sourcePort: 0, targetPort: 0, flags: 0, type: 0, code: 0 };
const noWords = { source1: 0, source2: 0, source3: 0, target1: 0, target2: 0, target3: 0 };

const ipv4: fc.Arbitrary<Layout> = fc
  .record({
    from: word,
    to: word,
    options: fc.integer({ min: 0, max: 10 }),
    offset: fc.nat(0x1fff),
    inner: transport(4),
    fragment: fc.boolean(),
  })
  .map(({ from, to, options, offset, inner, fragment }) => {
    const at = fragment ? offset : 0;
    const length = 20 + options * 4 + inner.bytes.length;
    const head = [
      0x45 + options,
      0,
      ...be16(length),
      0,
      1,
      ...be16(at),
      64,
      inner.protocol,
      0,
      0,
      ...of(from),
      ...of(to),
    ];
    return {
      bytes: [...head, ...new Array<number>(options * 4).fill(1), ...inner.bytes],
      outcome: at === 0 ? OUTCOME.OK : OUTCOME.FRAGMENT,
      expected: {
        ...blank,
        ...noWords,
        ...{ family: 4, protocol: inner.protocol, length, source0: from, target0: to },
        ...(at === 0 ? inner.found : {}),
      },
    };
  });

const extension = fc.record({ kind: fc.constantFrom(0, 43, 44, 51, 60), size: fc.nat(3) });

const ipv6: fc.Arbitrary<Layout> = fc
  .record({
    words: fc.array(word, { minLength: 8, maxLength: 8 }),
    chain: fc.array(extension, { maxLength: 6 }),
    inner: transport(6),
  })
  .map(({ words, chain, inner }) => {
    const kinds = [...chain.map(({ kind }) => kind), inner.protocol];
    const headers = chain.flatMap(({ kind, size }, i) => {
      const next = kinds[i + 1] as number;
      if (kind === 44) return [next, 0, 0, 0, 0, 0, 0, 1];
      if (kind === 51) return [next, size + 1, ...new Array<number>((size + 3) * 4 - 2).fill(5)];
      return [next, size, ...new Array<number>((size + 1) * 8 - 2).fill(0)];
    });
    const payload = [...headers, ...inner.bytes];
    const [s0, s1, s2, s3, t0, t1, t2, t3] = words as [number, number, number, number, number, number, number, number];
    // A payload length of 0 says "see the hop-by-hop header", of which there is none.
    return {
      bytes: [0x60, 0, 0, 0, ...be16(payload.length), kinds[0] as number, 64, ...words.flatMap(of), ...payload],
      outcome: OUTCOME.OK,
      expected: {
        ...blank,
        ...{ family: 6, protocol: inner.protocol, length: 40 + payload.length },
        ...{ source0: s0, source1: s1, source2: s2, source3: s3, target0: t0, target1: t1, target2: t2, target3: t3 },
        ...inner.found,
      },
    };
  });

const packet = new Packet();
const ALL: readonly number[] = Object.values(OUTCOME);

describe('the packet parser', () => {
  it('gives one outcome for any bytes, without throwing and without looking outside them', () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      // Random bytes seldom get past the version.
      fc
        .tuple(fc.constantFrom(0x45, 0x4f, 0x60), fc.uint8Array({ maxLength: 160 }))
        .map(([first, rest]) => Uint8Array.of(first, ...rest)),
    );
    fc.assert(
      fc.property(anything, fc.nat(100_000), (bytes, wireLength) => {
        const { view, start } = guarded(bytes);
        expect(ALL).toContain(packet.parse(view, start, bytes.length, wireLength));
      }),
      { numRuns: 3000 },
    );
  });

  it('keeps that promise for valid packets with bytes changed, cut or added', () => {
    const change = fc.record({ at: fc.nat(120), to: byte });
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), fc.array(change, { maxLength: 6 }), fc.nat(140), ({ bytes }, changes, cut) => {
        const mutated = Uint8Array.from(bytes);
        for (const { at, to } of changes) if (at < mutated.length) mutated[at] = to;
        const part = mutated.subarray(0, cut);
        const { view, start } = guarded(part);
        expect(ALL).toContain(packet.parse(view, start, part.length, mutated.length));
      }),
      { numRuns: 3000 },
    );
  });

  it('does not read outside the buffer when told a length that is too long', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.integer({ min: -5, max: 80 }),
        fc.integer({ min: -5, max: 200 }),
        (bytes, start, length) => {
          expect(ALL).toContain(packet.parse(bytes, start, length));
          for (const value of Object.values(fields(packet))) expect(Number.isInteger(value)).toBe(true);
        },
      ),
    );
  });

  it('finds in a valid packet what was put into it', () => {
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), ({ bytes, expected, outcome }) => {
        const { view, start } = guarded(Uint8Array.from(bytes));
        expect(packet.parse(view, start, bytes.length)).toBe(outcome);
        expect(fields(packet)).toEqual(expected);
      }),
      { numRuns: 2000 },
    );
  });

  it('says truncated, and nothing else, for a valid whole packet cut within its headers', () => {
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), fc.nat(60), ({ bytes, outcome }, cut) => {
        fc.pre(cut < bytes.length && outcome === OUTCOME.OK);
        const found = packet.parse(Uint8Array.from(bytes.slice(0, cut)), 0, cut, bytes.length);
        expect([OUTCOME.OK, OUTCOME.TRUNCATED]).toContain(found);
        if (cut < 20) expect(found).toBe(OUTCOME.TRUNCATED);
      }),
      { numRuns: 2000 },
    );
  });

  const corpus = fileURLToPath(new URL('../../../shared/corpus', import.meta.url));
  it.skipIf(!existsSync(corpus))('reads every packet of the captures, and calls few of them broken', () => {
    let all = 0;
    const by = [0, 0, 0, 0];
    for (const name of readdirSync(corpus, { recursive: true, encoding: 'utf8' })) {
      if (!/\.pcap$|\.trace$/.test(name)) continue;
      let packets: ReturnType<typeof readPcap>;
      try {
        packets = readPcap(`${corpus}/${name}`);
      } catch {
        continue;
      }
      for (const { bytes, wireLength } of packets) {
        const { view, start } = guarded(bytes.subarray(0, 128));
        const outcome = packet.parse(view, start, Math.min(128, bytes.length), wireLength);
        by[outcome] = (by[outcome] as number) + 1;
        all += 1;
      }
    }
    expect(all).toBeGreaterThan(10_000);
    expect((by[OUTCOME.OK] as number) / all).toBeGreaterThan(0.98);
  });
});
