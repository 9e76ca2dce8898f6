import { describe, expect, it } from 'vitest';
import type { PolicyConditions } from '../../../src/config/config.js';
import { prefix } from '../../../src/net/prefix.js';
import { attribute } from '../../../src/policy/attribution.js';
import { evidenceOf } from '../../../src/policy/evidence.js';
import { matches } from '../../../src/policy/match.js';
import { metadataVeto } from '../../../src/policy/metadata.js';
import { guessServer } from '../../../src/policy/server-ports.js';
import type { EveAlert } from '../../../src/suricata/eve-alert.js';
import { alertFrom, contextFor } from './support.js';

const context = contextFor({ now: 0 });

function holds(when: PolicyConditions, over: Partial<EveAlert> = {}): boolean {
  const alert = alertFrom({}, over);
  return matches(
    when,
    { alert, attribution: attribute(alert, context), evidence: evidenceOf(alert, context) },
    context,
  );
}

describe('a policy line', () => {
  it('without conditions matches everything', () => {
    expect(holds({})).toBe(true);
  });

  it.each<[string, PolicyConditions, boolean]>([
    ['a listed sid', { sid: [1, 2_019_232] }, true],
    ['another sid', { sid: [1] }, false],
    ['a range, ends included', { sidRange: [[2_019_232, 2_019_232]] }, true],
    ['a range beside it', { sidRange: [[2_019_233, 2_020_000]] }, false],
    ['a severity at the end of the range', { severity: [1, 2] }, true],
    ['a lower severity', { severity: [2, 255] }, false],
    ['a category in other case', { category: ['web application attack'] }, true],
    ['part of a category', { category: ['Web'] }, false],
    ['part of a signature in any case', { signature: ['cve-2014-6271'] }, true],
    ['a regular expression', { signature: [/^ET \w+_SERVER/] }, true],
    ['a regular expression that does not match', { signature: [/^GPL/] }, false],
    ['one of several signatures', { signature: ['nothing', /CVE/] }, true],
    ['a protocol in lower case', { proto: ['tcp'] }, true],
    ['another protocol', { proto: ['udp'] }, false],
    ['an application protocol', { appProto: ['HTTP'] }, true],
    ['another application protocol', { appProto: ['tls'] }, false],
    ['a server port', { destPort: [[1, 1023]] }, true],
    ['a proven alert', { proven: true }, true],
    ['an unproven alert', { proven: false }, false],
    ['an initiator outside', { from: 'outside' }, true],
    ['an initiator at home', { from: 'home' }, false],
    ['a responder at home', { to: 'home' }, true],
    ['a responder outside', { to: 'outside' }, false],
    ['an initiator in a network', { from: { networks: [prefix('198.51.100.0/24'), prefix('203.0.113.0/24')] } }, true],
    ['an initiator in no network', { from: { networks: [prefix('198.51.100.0/24')] } }, false],
    ['all conditions at once', { sid: [2_019_232], from: 'outside', proven: true }, true],
    ['all but one', { sid: [2_019_232], from: 'home', proven: true }, false],
  ])('with %s: %o is %s', (_name, when, expected) => {
    expect(holds(when)).toBe(expected);
  });

  it('gives the same answer twice for a pattern with the g or y flag', () => {
    const when = { signature: [/CVE/g] };
    expect([holds(when), holds(when), holds(when)]).toEqual([true, true, true]);
  });

  it('knows the spellings of ICMPv6', () => {
    for (const proto of ['IPv6-ICMP', 'icmpv6', '58', '058'])
      expect(holds({ proto: [proto] }, { proto: 'IPV6-ICMP' }), proto).toBe(true);
    expect(holds({ proto: ['icmp'] }, { proto: 'IPV6-ICMP' })).toBe(false);
  });

  it('matches no side when it is unknown who opened the flow', () => {
    const over: Partial<EveAlert> = {
      flow: null,
      direction: null,
      src: { ...alertFrom({}).src, port: null } as EveAlert['src'],
    };
    for (const side of ['outside', 'home'] as const) {
      expect(holds({ from: side }, over)).toBe(false);
      expect(holds({ to: side }, over)).toBe(false);
    }
  });

  it('asks rule metadata by key and any of its values', () => {
    const metadata = { signature_severity: ['Major'], cve: ['CVE_2014_6271', 'CVE_2014_7169'] };
    expect(holds({ meta: { cve: ['cve_2014_7169'] } }, { metadata })).toBe(true);
    expect(holds({ meta: { CVE: ['cve_2014_7169'] } }, { metadata })).toBe(true);
    expect(holds({ meta: { cve: ['x'] } }, { metadata })).toBe(false);
    expect(holds({ meta: { cve: ['CVE_2014_7169'], signature_severity: ['Minor'] } }, { metadata })).toBe(false);
    expect(holds({ meta: { constructor: ['Object'] } }, { metadata: {} })).toBe(false);
  });
});

describe('metadataVeto', () => {
  it('is told by value, whatever the case of key and value', () => {
    expect(metadataVeto({ Confidence: ['LOW'] })).toContain('confidence Low');
    expect(metadataVeto({ signature_severity: [' informational '] })).toContain('Informational');
    expect(metadataVeto({ signature_severity: ['Minor'], confidence: ['Medium'] })).toBeNull();
  });
});

describe('guessServer', () => {
  it.each<[number | null, number | null, 'src' | 'dest' | null]>([
    [43_932, 80, 'dest'],
    [80, 2042, 'src'],
    [1024, 22, 'dest'],
    [50_000, 8080, 'dest'],
    [3306, 8448, null],
    [2703, 51_000, null],
    [25, 25, null],
    [68, 67, null],
    [8080, 80, null],
    [20_000, 3306, null],
    [null, 80, null],
    [50_000, null, null],
    [50_000, 0, null],
  ])('of ports %s and %s says %s', (src, dest, server) => {
    expect(guessServer(src, dest)).toBe(server);
  });
});
