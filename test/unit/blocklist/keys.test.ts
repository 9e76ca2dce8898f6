import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutSuffix, Keys, parseSuffix } from '../../../src/blocklist/keys.js';

const text = (kind: 'ban' | 'allow', suffix: string) => {
  const parsed = parseSuffix(kind, suffix);
  return 'problem' in parsed ? parsed.problem : parsed.text;
};

describe('key names', () => {
  it('understands every spelling and gives one canonical text', () => {
    for (const [typed, canonical] of [
      ['203.0.113.9', '203.0.113.9'],
      ['203.0.113.9/32', '203.0.113.9'],
      ['::ffff:203.0.113.9', '203.0.113.9'],
      ['0:0:0:0:0:FFFF:cb00:7109', '203.0.113.9'],
      ['2001:0DB8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
      ['2001:db8::1/128', '2001:db8::1'],
      ['2001:DB8:BAD::/48', '2001:db8:bad::/48'],
      ['::ffff:203.0.113.0/120', '203.0.113.0/24'],
    ] as const) {
      expect(text('ban', typed)).toBe(canonical);
    }
  });

  it('refuses what is no prefix, with the corrected form where there is one', () => {
    expect(parseSuffix('ban', '203.0.113.9/24')).toMatchObject({
      problem: 'host_bits',
      detail: expect.stringContaining('203.0.113.0/24'),
    });
    for (const typed of [
      '',
      'foo',
      '1.2.3',
      '1.2.3.4; rm -rf /',
      '1.2.3.4/33',
      '01.2.3.4',
      '1.2.3.4/',
      'fe80::1%eth0',
    ]) {
      expect(parseSuffix('ban', typed)).toHaveProperty('problem');
    }
  });

  it('refuses allow entries wider than /8 and /32, and only those', () => {
    expect(text('allow', '10.0.0.0/8')).toBe('10.0.0.0/8');
    expect(text('allow', '10.0.0.0/7')).toBe('too_wide');
    expect(text('allow', '2001:db8::/32')).toBe('2001:db8::/32');
    expect(text('allow', '2001:db8::/31')).toBe('too_wide');
    expect(text('allow', '::/0')).toBe('too_wide');
    expect(text('ban', '0.0.0.0/0')).toBe('0.0.0.0/0');
  });

  it('tells whose key a name is, and never mistakes another host for this one', () => {
    const keys = new Keys('{barricata}', 'web');
    expect(keys.classify('{barricata}:ban:2001:db8::1')).toEqual({ class: 'entry', id: 'b2001:db8::1' });
    expect(keys.classify('{barricata}:local:web:1.2.3.4')).toEqual({ class: 'entry', id: 'l1.2.3.4' });
    expect(keys.classify('{barricata}:local:web1:1.2.3.4')).toBeNull();
    expect(keys.classify('{barricata}:mode:web')).toEqual({ class: 'mode' });
    expect(keys.classify('{barricata}:mode:web1')).toBeNull();
    expect(keys.classify('{barricata}:canary:web1')).toBeNull();
    expect(keys.classify('barricata:ban:1.2.3.4')).toBeNull();
    expect(keys.entry('l1.2.3.4')).toBe('{barricata}:local:web:1.2.3.4');
    const tracked = keys.tracked();
    for (const a of tracked) for (const b of tracked) expect(a !== b && a.startsWith(b)).toBe(false);
  });

  it('refuses a prefix or host that cannot be part of a key', () => {
    expect(() => new Keys('a*b', 'h')).toThrow(/prefix/);
    expect(() => new Keys('barricata', 'a:b')).toThrow(/host/);
  });

  it('cuts a suffix to 200 bytes and never inside a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (typed) => {
        const cut = cutSuffix(typed);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(200);
        const whole = Buffer.from(typed).toString('utf8');
        expect(whole.startsWith(cut)).toBe(true);
        if (Buffer.byteLength(typed) > 200) expect(Buffer.byteLength(cut)).toBeGreaterThan(196);
      }),
    );
  });
});
