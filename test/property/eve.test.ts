import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../../src/policy/decide.js';
import { decodeBookmark, encodeBookmark } from '../../src/suricata/bookmark.js';
import { type EveAlert, parseAlert } from '../../src/suricata/eve-alert.js';
import { EveReader } from '../../src/suricata/eve-reader.js';
import { alertLine, flowLine } from '../support/eve.js';
import { BAN_ALL, contextFor } from '../unit/policy/support.js';

/** A record with any of its parts replaced by anything. */
const mangled = fc
  .tuple(fc.constant(null), fc.array(fc.tuple(fc.nat(40), fc.jsonValue()), { maxLength: 6 }))
  .map(([, changes]) => {
    const base = JSON.parse(
      alertLine(1, {
        flow: { src_ip: '1.2.3.4', start: 'x' },
        xff: '203.0.113.5, 10.0.0.7',
        tunnel: { depth: 1 },
        verdict: {},
        direction: 'to_client',
      }),
    );
    for (const [pick, value] of changes) {
      const holder = [base, base.alert, base.flow, base.tunnel][pick % 4];
      if (typeof holder !== 'object' || holder === null) continue;
      const keys = Object.keys(holder);
      holder[keys[pick % Math.max(1, keys.length)] ?? 'x'] = value;
    }
    return base;
  });

describe('parseAlert', () => {
  it('never throws, whatever it is given', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.jsonValue(), mangled), (value) => {
        const result = parseAlert(value);
        if (typeof result === 'string') return;
        expect(result.src).not.toBeNull();
        expect(Number.isSafeInteger(result.at)).toBe(true);
        expect(result.severity).toBeGreaterThanOrEqual(1);
        expect(result.severity).toBeLessThanOrEqual(255);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('deciding', () => {
  it('never throws, whatever a record holds and whoever is trusted', () => {
    const setting = { now: Date.UTC(2026, 10, 23), policy: [BAN_ALL], trustedProxies: ['0.0.0.0/0'] };
    const contexts = [contextFor(setting), contextFor({ ...setting, home: ['::/0'], trustedProxies: [] })];
    let decided = 0;
    fc.assert(
      fc.property(mangled, fc.constantFrom(...contexts), (record, context) => {
        const alert = parseAlert(record);
        if (typeof alert === 'string') return;
        decided += 1;
        expect(JSON.parse(JSON.stringify(decide(alert, { ...context, now: alert.at })))).toHaveProperty('kind');
      }),
      { numRuns: 5000 },
    );
    expect(decided).toBeGreaterThan(500);
  });
});

/** The plain way: every line through JSON.parse. */
function plainly(text: string): number[] {
  const ids: number[] = [];
  for (const line of text.split('\n')) {
    try {
      const alert = parseAlert(JSON.parse(line.replace(/\r$/, '').replace(/^\ufeff/, '')));
      if (typeof alert !== 'string') ids.push(alert.flowId ?? -1);
    } catch {
      // Not an alert.
    }
  }
  return ids;
}

describe('EveReader', () => {
  const line = fc.oneof(
    { weight: 3, arbitrary: fc.nat(1e9).map((n) => alertLine(n)) },
    { weight: 3, arbitrary: fc.nat(1e9).map((n) => flowLine(n)) },
    { weight: 1, arbitrary: fc.nat(1e9).map((n) => alertLine(n).replace(':"alert"', ' : "alert"')) },
    { weight: 1, arbitrary: fc.nat(1e9).map((n) => alertLine(n, { payload: '"event_type":"flow"' })) },
    { weight: 1, arbitrary: mangled.map((o) => `${JSON.stringify(o)}\n`) },
    { weight: 1, arbitrary: fc.string().map((s) => `${s.replaceAll('\n', ' ')}\n`) },
    { weight: 1, arbitrary: fc.constantFrom('\n', '\r\n', '{}\n', '{"event_type":1}\n', '"event_type":"alert"\n') },
    { weight: 1, arbitrary: fc.nat(300).map((n) => `${alertLine(n).slice(0, n)}\n`) },
  );

  it('finds what parsing every line finds, however the bytes come in chunks and batches', () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 40 }), fc.integer({ min: 1, max: 9 }), (lines, most) => {
        const text = lines.join('');
        const buffer = Buffer.from(text);
        const reader = new EveReader(1 << 20);
        const ids: number[] = [];
        for (let at = 0; at < buffer.length; ) {
          const batch: EveAlert[] = [];
          at = reader.read(buffer, at, buffer.length, batch, most);
          ids.push(...batch.map((alert) => alert.flowId ?? -1));
        }
        expect(ids).toEqual(plainly(text));
        expect(reader.lines).toBe(text.split('\n').length - 1);
      }),
      { numRuns: 500 },
    );
  });
});

describe('decodeBookmark', () => {
  it('never throws, and reads back what was written', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void decodeBookmark(text)));
    const mark = fc.record({
      dev: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
      ino: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
      offset: fc.maxSafeNat(),
      head: fc.base64String(),
      tail: fc.base64String(),
    });
    const bookmark = fc.record({ path: fc.string(), since: fc.nat(), files: fc.array(mark), past: fc.array(mark) });
    fc.assert(
      fc.property(bookmark, (value) => {
        expect(decodeBookmark(encodeBookmark(value))).toEqual(value);
      }),
    );
  });
});
