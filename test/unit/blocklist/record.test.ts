import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FOREVER } from '../../../src/base/clock.js';
import { effectiveMode, formatMode, parseMode } from '../../../src/blocklist/mode.js';
import { decodeValue, encodeValue, manualRecord, recordOfText, ticketOf } from '../../../src/blocklist/record.js';

describe('values', () => {
  it('come back as they were written, whatever a reason holds', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.array(fc.integer({ min: 1, max: 2 ** 31 }), { maxLength: 16 }),
        fc.oneof(fc.integer({ min: 0, max: 4e12 }), fc.constant(FOREVER)),
        (reason, sids, until) => {
          const text = Buffer.from(reason).toString('utf8');
          const record = {
            ...manualRecord({ reason: text, from: 'cli', at: '2026-11-23T00:00:00.000Z' }),
            sids,
            note: `"until":5}`,
          };
          expect(decodeValue(encodeValue(record, until))).toEqual({ record, until });
        },
      ),
    );
  });

  it('typed by hand are not taken for ours', () => {
    for (const text of ['', 'reason', '{}', '{"v":1}', '{"v":1,"until":5}', 'x"count":1,"until":5}', 'null']) {
      expect(decodeValue(text)).toBeNull();
    }
    expect(recordOfText('INC-4521 ssh', 0)).toMatchObject({
      reason: 'INC-4521 ssh',
      ticket: 'INC-4521',
      from: 'redis',
      source: 'manual',
    });
    expect(ticketOf('no ticket')).toBeNull();
  });
});

describe('mode keys', () => {
  it('are read as they are written', () => {
    for (const text of ['enforce', 'observe', 'off', 'pause', 'pause 2026-11-23T17:00:00.000Z enforce']) {
      const setting = parseMode(text);
      expect(setting && formatMode(setting)).toBe(text);
    }
    expect(parseMode(' OBSERVE\n')?.mode).toBe('observe');
    expect(parseMode('pause 2026-99-23T17:00:00Z')).toBeNull();
    expect(parseMode('of')).toBeNull();
  });

  it('of the host beat the fleet, and off beats both', () => {
    const [off, observe, enforce] = ['off', 'observe', 'enforce'].map((text) => parseMode(text));
    const mode = (fleet = observe, host = observe) => effectiveMode('enforce', fleet ?? null, host ?? null, 0).mode;
    expect(effectiveMode('observe', null, null, 0)).toEqual({ mode: 'observe', until: null, from: 'file' });
    expect(mode(observe, enforce)).toBe('enforce');
    expect(mode(off, enforce)).toBe('off');
    expect(mode(enforce, off)).toBe('off');
  });

  it('end a pause by themselves', () => {
    const pause = parseMode('pause 1970-01-01T00:00:10Z observe');
    expect(effectiveMode('enforce', pause, null, 9_999)).toEqual({ mode: 'pause', until: 10_000, from: 'fleet' });
    expect(effectiveMode('enforce', pause, null, 10_000).mode).toBe('observe');
    expect(effectiveMode('enforce', parseMode('pause 1970-01-01T00:00:10Z'), null, 10_000).mode).toBe('enforce');
  });
});
