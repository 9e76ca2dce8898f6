import { describe, expect, it } from 'vitest';
import type { Detection } from '../../../src/filter/detection.js';
import type { Decision } from '../../../src/policy/ban.js';
import { decideDetection } from '../../../src/policy/decide-detection.js';
import { PastBans } from '../../../src/policy/past-bans.js';
import { admitted } from '../../../src/policy/repeat.js';
import { contextFor, type Setting } from './support.js';

const NOW = Date.UTC(2026, 10, 23, 12);
const SYN: Detection = {
  detector: 'syn_rate',
  source: '203.0.113.66',
  target: '192.168.50.10',
  count: 2436,
  window: 3,
  at: NOW,
  ban: 600,
  proof: null,
  knownGood: null,
};

const on = (detection: Partial<Detection>, setting: Partial<Setting> = {}) =>
  decideDetection({ ...SYN, ...detection }, contextFor({ now: NOW + 100, ...setting }));

describe('decideDetection', () => {
  it('bans the source for a short time, on this host only, and says by which figures', () => {
    expect(on({})).toMatchObject({
      kind: 'ban',
      ban: {
        prefix: '203.0.113.66',
        until: NOW + 600_000,
        proven: false,
        flowStart: null,
        record: {
          reason: 'SYN rate 812/s for 3 s (limit 200/s)',
          source: 'filter',
          scope: 'host',
          policy: 'syn_rate',
          target: '192.168.50.10',
          proof: null,
          sid: null,
          host: 'edge-1',
          policy_version: '0123456789ab',
          first: '2026-11-23T12:00:00.000Z',
          from: 'daemon',
        },
      },
    });
  });

  it('is about the address as people ask for it', () => {
    expect(on({ source: '203.0.113.66/32' })).toMatchObject({ kind: 'ban', candidate: '203.0.113.66' });
    expect(on({ source: '2001:db8:66::66/128' })).toMatchObject({ candidate: '2001:db8:66::66' });
    expect(on({ source: '2001:db8:66::/64' })).toMatchObject({ candidate: '2001:db8:66::/64' });
  });

  it('names the figures of the other detectors', () => {
    const reason = (detection: Partial<Detection>) => {
      const decision = on(detection);
      return decision.kind === 'ban' ? decision.ban.record.reason : decision.kind;
    };
    expect(reason({ detector: 'icmp_rate', count: 300 })).toBe('ICMP rate 100/s for 3 s (limit 50/s)');
    expect(reason({ detector: 'port_scan', count: 31, window: 60 })).toBe('31 ports in 60 s (limit 30)');
  });

  it('never bans longer than unproven evidence allows, whatever the filter says', () => {
    for (const ban of [86_400, Number.POSITIVE_INFINITY]) {
      expect(on({ ban })).toMatchObject({ kind: 'ban', ban: { until: NOW + 600_000 } });
    }
  });

  it('bans a /64 and nothing wider', () => {
    expect(on({ source: '2001:db8:66::/64' })).toMatchObject({ kind: 'ban', ban: { prefix: '2001:db8:66::/64' } });
    expect(on({ source: '2001:db8:66::/63' })).toMatchObject({ kind: 'refused', cause: 'too_wide' });
    expect(on({ source: '203.0.113.0/24' })).toMatchObject({ kind: 'refused', cause: 'too_wide' });
  });

  it.each([
    ['10.1.1.1', 'home', {}],
    ['224.0.0.1', 'special', { without: ['special'] }],
    ['fe80::/64', 'special', {}],
    ['8.8.8.8', 'infrastructure', {}],
    ['8.8.8.8', 'infrastructure', { without: ['infrastructure'] }],
    ['2001:4860:4860::/64', 'infrastructure', { without: ['infrastructure'] }],
    ['203.0.113.66', 'allowed', { allowed: ['203.0.113.66/32'] }],
    ['198.51.100.1', 'this_machine', { own: ['198.51.100.1'] }],
    ['10.1.1.1', 'home', { without: ['home', 'private'] }],
  ] as const)('refuses %s as %s', (source, cause, setting) => {
    expect(on({ source }, setting)).toMatchObject({ kind: 'refused', cause, prefix: source });
  });

  it.each([
    ...['64:ff9b::cb00:7142', '64:ff9b::/64', '64:ff9b:1::/64', '::cb00:7142', '::ffff:0:cb00:7142'],
    ...['2001:0:cb00:7142::/64', '2002:cb00:7142::/64'],
  ])('notes %s, which stands for IPv4 hosts behind a relay or a translator', (source) => {
    expect(on({ source })).toMatchObject({ kind: 'note', candidate: source, why: expect.stringContaining('IPv4') });
  });

  it('notes what is too old, over already, or no address', () => {
    expect(on({ at: NOW - 3_600_000 })).toMatchObject({ kind: 'note' });
    expect(on({ at: NOW - 300_000, ban: 200 })).toMatchObject({ kind: 'note', why: expect.stringContaining('ended') });
    expect(on({ at: Number.NaN })).toMatchObject({ kind: 'note' });
    expect(on({ source: '1.2.3.4; rm -rf /' })).toMatchObject({ kind: 'note' });
  });

  it('only records in observe mode', () => {
    expect(on({}, { mode: 'observe' })).toMatchObject({ kind: 'would_ban', ban: { prefix: '203.0.113.66' } });
  });

  describe('with proof by connection tracking', () => {
    const proof = { proof: 'conntrack', knownGood: false, ban: 86_400 } as const;

    it('bans for the fleet, and as long as the detector says', () => {
      const decision = on({ ...proof, window: 60, detector: 'port_scan' });
      expect(decision).toMatchObject({
        kind: 'ban',
        ban: {
          prefix: '203.0.113.66',
          until: NOW + 86_400_000,
          proven: true,
          flowStart: NOW - 60_000,
          record: { scope: 'fleet', proof: 'conntrack', role: 'inbound', source: 'filter', policy: 'port_scan' },
        },
      });
      expect(decision.steps).toContainEqual({
        check: 'evidence',
        result: 'conntrack',
        detail: expect.stringContaining('completed'),
      });
      expect(decision.steps.map(({ check }) => check)).not.toContain('cap');
      expect(on({ ...proof, source: '2001:db8:66::66' })).toMatchObject({
        kind: 'ban',
        ban: { prefix: '2001:db8:66::66', proven: true, record: { scope: 'fleet' } },
      });
    });

    it.each([
      ['a /64', { source: '2001:db8:66::/64' }, 'more than one host'],
      ['a client that was known good', { knownGood: true }, 'good client before'],
      ['a client of which nothing tells', { knownGood: null }, 'nothing tells'],
    ] as const)('bans %s as without it: short, and on this host only', (_, over, why) => {
      const decision = on({ ...proof, ...over });
      expect(decision).toMatchObject({
        kind: 'ban',
        ban: { until: NOW + 600_000, proven: false, flowStart: null, record: { scope: 'host', proof: null } },
      });
      expect(decision.steps).toContainEqual({
        check: 'evidence',
        result: 'unproven',
        detail: expect.stringContaining(why),
      });
    });

    it('says of unproven ones that the source was a good client before', () => {
      expect(on({ knownGood: true }).steps).toContainEqual({
        check: 'evidence',
        result: 'unproven',
        detail: expect.stringContaining('within the last day'),
      });
    });

    it.each([
      ['8.8.8.8', 'infrastructure', { without: ['infrastructure'] }],
      ['10.1.1.1', 'home', {}],
      ['203.0.113.66', 'allowed', { allowed: ['203.0.113.66/32'] }],
      ['198.51.100.1', 'this_machine', { own: ['198.51.100.1'] }],
    ] as const)('refuses %s as %s all the same', (source, cause, setting) => {
      expect(on({ ...proof, source }, setting)).toMatchObject({ kind: 'refused', cause });
    });

    it('is longer for a repeat offender, and an unproven one is not', () => {
      const context = contextFor({
        now: NOW + 100,
        repeatOffenders: { multiply: [1, 5], forgetAfter: 30 * 86_400, neverOver: 90 * 86_400 },
      });
      const limits = { admit: (decision: Decision) => decision };
      const bannedFor = (detection: Partial<Detection>) => {
        const past = new PastBans(10);
        past.set('203.0.113.66', [{ prefix: '203.0.113.66', madeAt: NOW - 2 * 86_400_000, until: NOW - 86_400_000 }]);
        const decision = admitted(decideDetection({ ...SYN, ...detection }, context), past, context, limits);
        return decision.kind === 'ban' ? (decision.ban.until - NOW) / 1000 : decision.kind;
      };
      expect(bannedFor(proof)).toBe(5 * 86_400);
      expect(bannedFor({ ban: 86_400 })).toBe(600);
    });
  });
});
