import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AlertDetails, decodeKeys, encodeAlerts, pack, unpack } from '../../src/history/alert-block.js';
import { type AlertRow, KINDS, OUTCOMES } from '../../src/history/alert-row.js';
import { type ContactRow, decodeContacts, encodeContacts } from '../../src/history/contact-block.js';
import { ContactTable } from '../../src/history/contact-table.js';
import { HOUR_MS } from '../../src/history/segment.js';
import { formatWords } from '../../src/net/address.js';
import { decided } from '../support/history.js';

const text = fc.string({ unit: 'grapheme', maxLength: 30 });
const address = fc.oneof(fc.ipV4(), fc.constantFrom('2001:db8::1', '2001:db8::/64'));
const time = fc.integer({ min: 0, max: 4_000_000_000_000 });

const row: fc.Arbitrary<AlertRow> = fc
  .record({
    first: time,
    span: fc.nat(1e9),
    count: fc.integer({ min: 1, max: 0xffff_ffff }),
    kind: fc.constantFrom(...KINDS),
    outcome: fc.constantFrom(...OUTCOMES),
    candidate: fc.option(address),
    steps: fc.array(fc.record({ check: text, result: text, detail: text }), { maxLength: 4 }),
    until: fc.option(fc.oneof(time, fc.constant(Number.POSITIVE_INFINITY))),
    sid: fc.integer({ min: 1, max: 0xffff_ffff }),
    signature: text,
    metadata: fc.dictionary(text, fc.array(text, { maxLength: 2 }), { maxKeys: 2, noNullPrototype: true }),
    isDetection: fc.boolean(),
  })
  .map(({ span, isDetection, sid, signature, metadata, ...rest }) => {
    const alert = { ...decided('203.0.113.1').alert, sid, signature, metadata } as AlertRow['alert'];
    const detection = {
      detector: 'syn_rate',
      source: rest.candidate ?? '203.0.113.1',
      target: '10.0.0.5',
      count: 3,
      window: 1,
      at: 5,
      ban: 60,
      proof: null,
      knownGood: null,
    } as const;
    return {
      ...rest,
      last: rest.first + span,
      policyVersion: '0123456789ab',
      alert: isDetection ? null : alert,
      detection: isDetection ? detection : null,
    };
  });

describe('a block of alerts', () => {
  it('gives back every row as it was', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 100 }), async (rows) => {
        const { parts } = encodeAlerts(rows);
        const packed = await Promise.all(parts.map(pack));
        const part = (place: number) => unpack(packed[place] as Buffer);
        const keys = decodeKeys(part(0));
        const details = new AlertDetails(part);
        expect(rows.map((_, i) => details.row(keys, i))).toEqual(rows);
      }),
      { numRuns: 100 },
    );
  });
});

describe('a block of contacts', () => {
  it('gives back every row as it was', () => {
    const contact: fc.Arbitrary<ContactRow> = fc.record({
      hour: fc.nat(1_000_000).map((hour) => hour * HOUR_MS),
      outside: address,
      inside: fc.ipV4(),
      port: fc.integer({ min: 0, max: 65_535 }),
      opened: fc.constantFrom('outside', 'inside'),
      flows: fc.nat(),
      bytes: fc.maxSafeNat(),
      replies: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(contact, { minLength: 1, maxLength: 50 }), (rows) => {
        expect(decodeContacts(encodeContacts(rows).body)).toEqual(rows);
      }),
      { numRuns: 300 },
    );
  });
});

describe('the table of contacts', () => {
  it('sums what a map would sum', () => {
    // Few different values, so that keys repeat and collide.
    const end = fc.oneof(
      fc.record({ word: fc.integer({ min: -3, max: 3 }).map((n) => n << 24), text: fc.constant(null) }),
      fc.record({ word: fc.constant(0), text: fc.constantFrom('2001:0db8::1', '2001:db8::2', 'no address') }),
    );
    const record = fc
      .record({ src: end, dest: end, port: fc.constantFrom(0, 80, 65_535), bytes: fc.nat(1000), hour: fc.nat(2) })
      .map(({ src, dest, port, bytes, hour }) => ({
        hour: hour * HOUR_MS,
        srcWord: src.word,
        srcText: src.text,
        destWord: dest.word,
        destText: dest.text,
        port,
        flows: 1,
        bytes,
        replies: bytes % 2,
        answered: true,
      }));
    const name = (word: number, written: string | null) =>
      written === null
        ? formatWords({ family: 4, w0: word, w1: 0, w2: 0, w3: 0 })
        : written.replace('0db8', 'db8').replace('no address', '');
    fc.assert(
      fc.property(fc.array(record, { maxLength: 200 }), (records) => {
        const table = new ContactTable(1024);
        const sums = new Map<string, number[]>();
        for (const one of records) {
          expect(table.add(one)).toBe(true);
          const [src, dest] = [name(one.srcWord, one.srcText), name(one.destWord, one.destText)];
          if (src === '' || dest === '') continue;
          const key = `${one.hour} ${src} ${dest} ${one.port}`;
          const [flows = 0, bytes = 0, replies = 0] = sums.get(key) ?? [];
          sums.set(key, [flows + 1, bytes + one.bytes, replies + one.replies]);
        }
        const taken = table
          .take()
          .map((c) => [
            `${c.hour} ${formatWords(c.opener)} ${formatWords(c.responder)} ${c.port}`,
            [c.flows, c.bytes, c.replies],
          ]);
        expect(new Map(taken as [string, number[]][])).toEqual(sums);
        expect(table.take()).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
