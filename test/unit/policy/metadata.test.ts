import { describe, expect, it } from 'vitest';
import type { PolicyLine } from '../../../src/config/config.js';
import type { Decision } from '../../../src/policy/ban.js';
import { decide } from '../../../src/policy/decide.js';
import { type Metadata, metadataAction } from '../../../src/policy/metadata.js';
import type { EveAlert } from '../../../src/suricata/eve-alert.js';
import { type AlertShape, alertFrom, contextFor, type Setting } from './support.js';

const T = Date.UTC(2026, 10, 23, 12);
const BAN: Metadata = { barricata: ['ban'], barricata_for: ['24h'] };
const NOTE: PolicyLine = { name: 'quiet', line: 3, when: { sid: [2_019_232] }, then: { kind: 'note' } };

function decided(over: Partial<EveAlert>, setting: Partial<Setting> = {}, shape: AlertShape = {}): Decision {
  const context = contextFor({ now: T, policy: [], metadataActions: true, ...setting });
  return decide(alertFrom({ at: T, ...shape }, over), context);
}

describe("what a rule's metadata asks for", () => {
  it.each<[string, Metadata, ReturnType<typeof metadataAction>]>([
    ['nothing', { confidence: ['High'] }, null],
    ['another word', { barricata: ['drop'] }, null],
    [
      'a ban for so long',
      BAN,
      { kind: 'ban', duration: 86_400, said: 'rule metadata: barricata ban, barricata_for 24h' },
    ],
    ['a ban', { Barricata: [' BAN '] }, { kind: 'ban', duration: 3600, said: 'rule metadata: barricata ban' }],
    [
      'a ban for what is no duration',
      { barricata: ['ban'], barricata_for: ['soon'] },
      expect.objectContaining({ duration: 3600 }),
    ],
    ['a ban for ever', { barricata: ['ban'], barricata_for: ['forever'] }, expect.objectContaining({ duration: 3600 })],
    ['both', { barricata: ['ban', 'ignore'] }, { kind: 'ignore', said: 'rule metadata: barricata ignore' }],
  ])('is read: %s', (_what, metadata, action) => {
    expect(metadataAction(metadata)).toEqual(action);
  });

  it('counts only where it is switched on', () => {
    expect(decided({ metadata: BAN }, { metadataActions: false }).kind).toBe('note');
    expect(decided({ metadata: BAN })).toMatchObject({
      kind: 'ban',
      ban: { until: T + 86_400_000, record: { policy: 'rule metadata', sid: 2_019_232 } },
    });
  });

  it('bans where no line matched, and not against a line', () => {
    expect(decided({ metadata: BAN }, { policy: [NOTE] }).kind).toBe('note');
    expect(decided({ metadata: BAN }, { otherwise: { kind: 'ignore' } }).kind).toBe('ban');
  });

  it('is ignored before any line', () => {
    const ban: PolicyLine = { ...NOTE, then: { kind: 'ban', duration: 60 } };
    const ignore = { metadata: { barricata: ['ignore'] } };
    expect(decided(ignore, { policy: [ban] }).kind).toBe('ignore');
    expect(decided(ignore, { policy: [ban], metadataActions: false }).kind).toBe('ban');
  });

  it('is that of the rules file where the alert carries none, and else that of the alert', () => {
    const rules = { 2019232: { metadata: BAN } };
    expect(decided({}, { rules }).kind).toBe('ban');
    expect(decided({ metadata: { confidence: ['High'] } }, { rules }).kind).toBe('note');
    const low = { 2019232: { metadata: { ...BAN, confidence: ['Low'] } } };
    expect(decided({}, { rules: low })).toMatchObject({ kind: 'note', why: expect.stringContaining('confidence Low') });
  });

  it('is what meta.KEY of a line is asked about too', () => {
    const line: PolicyLine = { ...NOTE, when: { meta: { attack_target: ['server'] } }, then: { kind: 'ignore' } };
    const rules = { 2019232: { metadata: { attack_target: ['Server'] } } };
    expect(decided({}, { policy: [line], rules }).kind).toBe('ignore');
    expect(decided({}, { policy: [line] }).kind).toBe('note');
  });

  it.each<[string, AlertShape, Partial<EveAlert>, Decision['kind']]>([
    ['an own host that calls out', { src: '10.0.0.1', dest: '203.0.113.9' }, {}, 'flag'],
    ['a protected address', { src: '8.8.8.8' }, {}, 'refused'],
    ['a special address', { src: '224.0.0.1' }, {}, 'refused'],
    ['an engine event', { sid: 2_200_074 }, {}, 'ignore'],
    ['an alert over UDP', { proven: false }, { proto: 'UDP' }, 'note'],
    ['a rule of low confidence', {}, { metadata: { ...BAN, confidence: ['Low'] } }, 'note'],
  ])('never gets around a check: %s', (_what, shape, over, kind) => {
    expect(decided({ metadata: BAN, ...over }, {}, shape).kind).toBe(kind);
  });

  it('is capped without proof', () => {
    const decision = decided({ metadata: BAN }, {}, { proven: false });
    expect(decision).toMatchObject({ kind: 'ban', ban: { until: T + 600_000, record: { scope: 'host' } } });
  });
});
