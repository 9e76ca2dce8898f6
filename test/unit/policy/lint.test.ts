/** Each warning of the policy check: one configuration that has it, and the nearest one that has not. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { lint, type WarningCode } from '../../../src/policy/lint.js';
import { readCategories } from '../../../src/suricata/classification.js';
import { type Ruleset, readRuleset } from '../../../src/suricata/ruleset.js';

const RULES = `
alert http $EXTERNAL_NET any -> $HOME_NET any (msg:"ATTACK one"; flow:established,to_server; classtype:web-application-attack; sid:1001; rev:1;)
alert http $EXTERNAL_NET any -> $HOME_NET any (msg:"ATTACK two"; flow:established,to_server; classtype:web-application-attack; metadata:confidence High; sid:1002; rev:1;)
alert tcp $HOME_NET any -> $EXTERNAL_NET any (msg:"OUT"; flow:established,to_server; classtype:trojan-activity; sid:2001; rev:1;)
alert tcp any any -> any any (msg:"ANY"; flow:to_server; classtype:attempted-admin; sid:2002; rev:1;)
alert tcp any any -> any any (msg:"ANY with target"; flow:to_server; target:dest_ip; classtype:attempted-user; sid:2003; rev:1;)
alert tcp $EXTERNAL_NET any -> $HOME_NET any (msg:"no way"; classtype:attempted-dos; sid:2004; rev:1;)
alert tcp $EXTERNAL_NET any -> $HOME_NET any (msg:"by dst"; flow:to_server; threshold:type both,track by_dst,count 5,seconds 5; classtype:attempted-recon; sid:2005; rev:1;)
alert tcp $EXTERNAL_NET any -> $HOME_NET any (msg:"limited"; flow:to_server; threshold:type limit,track by_dst,count 5,seconds 5; classtype:attempted-recon; sid:2006; rev:1;)
alert tcp $EXTERNAL_NET any -> $HOME_NET any (msg:"bits"; flow:to_server; flowbits:set,x; noalert; sid:2007; rev:1;)
alert tcp $EXTERNAL_NET any -> $HOME_NET any (msg:"INFO harmless"; flow:to_server; classtype:misc-activity; sid:2008; rev:1;)
# alert tcp any any -> any any (msg:"off"; classtype:policy-violation; sid:3001; rev:1;)
`;
const CLASSES = `# comment
config classification: web-application-attack,Web Application Attack,1
config classification: trojan-activity,A Network Trojan was detected, 1
config classification: attempted-admin,Attempted Administrator Privilege Gain,1
config classification: policy-violation,Potential Corporate Privacy Violation,1
config classification: misc-activity,Misc activity,3
`;

let folder: string;
let ruleset: Ruleset;
let categories: Map<string, string>;
const NOW = Date.UTC(2026, 10, 23);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'barricata-lint-'));
  writeFileSync(join(folder, 'suricata.rules'), RULES);
  writeFileSync(join(folder, 'classification.config'), CLASSES);
  ruleset = await readRuleset(join(folder, 'suricata.rules'));
  categories = (await readCategories(join(folder, 'classification.config'))) as Map<string, string>;
});
afterAll(() => rmSync(folder, { recursive: true }));

const policy = (...lines: readonly (readonly [when: string, then: string])[]) =>
  `policy:\n${lines.map(([when, then], i) => `  - { name: L${i + 1}, when: { ${when} }, then: ${then} }\n`).join('')}`;
const warnings = (text: string) => lint(parseConfig(text, 'test.yaml'), { now: NOW, ruleset, categories });
const found = (text: string, code: WarningCode) => warnings(text).filter((warning) => warning.code === code);
const BAN = 'ban 1h';
/** Bans without any warning. */
const CLEAN = ['sid: 1001, proven: true', BAN] as const;

describe('the policy check', () => {
  it('has nothing to say about a sound policy', () => {
    expect(warnings(policy(CLEAN, ['category: Web Application Attack, proven: true', BAN]))).toEqual([]);
  });

  it.each<[WarningCode, string, string, string | RegExp]>([
    [
      'unreachable',
      policy(['severity: 1-3', 'note'], ['severity: 2', 'flag']),
      policy(['severity: 2', 'note'], ['severity: 1-3', 'flag']),
      'is never reached: line 2 "L1" matches all',
    ],
    [
      'unreachable',
      policy(['sid: 5', 'note'], ['sid: [5]', 'flag']),
      policy(['sid: 5', 'note'], ['sid: [5, 6]', 'flag']),
      'has the same conditions as line 2 "L1"',
    ],
    [
      'matches_nothing',
      policy(['sid: 5, sid_range: 10-20', 'note']),
      policy(['sid: 15, sid_range: 10-20', 'note']),
      'no sid is in both',
    ],
    ['unproven_ban', policy(['sid: 1001', BAN]), policy(['sid: 1001', 'would ban 1h']), 'cut to 10m on this host'],
    ['unproven_ban', policy(['sid: 1001, proven: false', BAN]), policy(CLEAN), 'without proven: true'],
    ['never_bans', policy(['sid: 2200074, proven: true', BAN]), policy(['sid: 2200074', 'ignore']), 'engine events'],
    [
      'never_bans',
      policy(['category: Generic Protocol Command Decode, proven: true', BAN]),
      policy(['category: Generic Protocol Command Decode', 'ignore']),
      'never bans',
    ],
    [
      'default_deny',
      policy(['category: Misc activity, proven: true', BAN]),
      policy(['category: Misc activity', 'flag']),
      'nothing bad',
    ],
    ['default_deny', policy(['sid: 2008, proven: true', BAN]), policy(CLEAN), '1 (2008) are of class'],
    [
      'default_deny',
      policy(['severity: 1-3, proven: true', BAN]),
      policy(['severity: 1-3, sid_range: 1000-1999, proven: true', BAN]),
      'names no sid',
    ],
    ['default_deny', 'otherwise: ban 1h\npolicy: []', 'otherwise: flag\npolicy: []', 'whatever no line'],
    [
      'ended',
      'never_ban: [ { address: 198.51.100.0/24, until: 2026-11-01 } ]',
      'never_ban: [ { address: 198.51.100.0/24, until: 2026-12-01 } ]',
      '198.51.100.0/24 was protected until 2026-11-02',
    ],
    ['unknown_sid', policy(['sid: 3001', 'flag']), policy(['sid: 2001', 'flag']), 'has sid 3001'],
    [
      'empty_sid_range',
      policy(['sid_range: 3000-4000', 'flag']),
      policy(['sid_range: 2008-4000', 'flag']),
      'from 3000 to 4000',
    ],
    [
      'unknown_category',
      policy(['category: Web Aplication Attack', 'flag']),
      policy(['category: web application attack', 'flag']),
      'Web Aplication Attack',
    ],
    [
      'unknown_category',
      policy(['category: Potential Corporate Privacy Violation', 'flag']),
      policy(['category: Misc activity', 'flag']),
      'switched on',
    ],
    [
      'wrong_side',
      policy(['sid: 2001, proven: true', BAN]),
      policy(['sid: 2001', 'flag']),
      '1 (2001) name your own network as the source',
    ],
    [
      'wrong_side',
      policy(['sid: 2002, proven: true', BAN]),
      policy(['sid: 2003, proven: true', BAN]),
      '1 (2002) go from any to any without target',
    ],
    ['wrong_side', policy(['sid: 2004, proven: true', BAN]), policy(CLEAN), '1 (2004) do not say which way'],
    [
      'wrong_side',
      policy(['sid: 2005, proven: true', BAN]),
      policy(['sid: 2006, proven: true', BAN]),
      '1 (2005) count by destination',
    ],
    [
      'wrong_side',
      policy(['category: A Network Trojan was detected, proven: true', BAN]),
      policy(['category: A Network Trojan was detected, signature: IN, proven: true', BAN]),
      'of the 1 rules',
    ],
    [
      'wrong_side',
      policy(['sid_range: 1000-3000, proven: true', BAN]),
      policy(['sid_range: 1000-1999, proven: true', BAN]),
      'of the 9 rules that it bans by, 4 can',
    ],
    [
      'wrong_side',
      policy(['signature: /^(OUT|ANY)$/, proven: true', BAN]),
      policy(['signature: ATTACK, proven: true', BAN]),
      'of the 2 rules that it bans by, 2 can',
    ],
    [
      'wrong_side',
      policy(['sid_range: 1000-3000, proven: true', BAN]),
      policy(['sid_range: 1000-3000, meta.confidence: high, proven: true', BAN]),
      '',
    ],
    ['never_alerts', policy(['sid: 2007, proven: true', BAN]), policy(CLEAN), '1 (2007) only set flow bits'],
  ])('says %s', (code, with_, without, message) => {
    const said = found(with_, code);
    expect(said).toHaveLength(1);
    expect(said[0]?.message).toMatch(message);
    expect(said[0]?.fix).not.toBe('');
    expect(found(without, code)).toEqual([]);
  });

  it('compares counting lines and inside lines by what they let through', () => {
    const several = (n: number, within: string) => `severity: 1, distinct_sids: ${n}, within: ${within}`;
    const unreachable = (one: string, other: string) =>
      found(policy([one, 'note'], [other, 'flag']), 'unreachable').length;
    expect(unreachable(several(2, '10m'), several(3, '5m'))).toBe(1);
    expect(unreachable(several(3, '10m'), several(2, '10m'))).toBe(0);
    expect(unreachable(several(2, '5m'), several(2, '10m'))).toBe(0);
    expect(unreachable('severity: 1', several(2, '10m'))).toBe(1);
    expect(unreachable(several(2, '10m'), 'severity: 1')).toBe(0);
    expect(unreachable('internal: true', 'internal: ban, sid: 2001')).toBe(1);
    expect(unreachable('internal: false', 'internal: ban, sid: 2001')).toBe(0);
  });

  it('warns of a ban that is longer than a repeated one may be', () => {
    const limited = (then: string) =>
      `repeat_offenders: { never_over: 7d }\n${policy(['sid: 1001, proven: true', then])}`;
    expect(found(limited('ban 8d'), 'longer_than_never_over')[0]?.message).toContain('bans for 8d, longer than');
    expect(found(limited('ban 7d'), 'longer_than_never_over')).toEqual([]);
    const off = `repeat_offenders: off\n${policy(['sid: 1001, proven: true', 'ban 8d'])}`;
    expect(found(off, 'longer_than_never_over')).toEqual([]);
  });

  it('names the line of the file, and warns in its order', () => {
    const text = policy(CLEAN, ['severity: 1-3', 'note'], ['severity: 2', 'flag'], ['sid: 3001', 'note']);
    expect(warnings(text).map(({ line, subject, code }) => [line, subject, code])).toEqual([
      [4, 'L3', 'unreachable'],
      [5, 'L4', 'unknown_sid'],
    ]);
    const [ended] = found('never_ban:\n  - home\n  - { address: 198.51.100.1, until: 2026-01-01 }\n', 'ended');
    expect(ended?.line).toBe(3);
  });

  it('gives the sids that can point at the wrong side by class', () => {
    const [warning] = found(policy(['sid_range: 1000-3000, proven: true', BAN]), 'wrong_side');
    expect(warning?.sids).toEqual({
      own_network_as_source: [2001],
      any_to_any: [2002],
      no_direction: [2004],
      counts_by_destination: [2005],
    });
  });

  it('finds the category that was probably meant', () => {
    const [warning] = found(policy(['category: Web Aplication Attack', 'flag']), 'unknown_category');
    expect(warning?.fix).toBe('did you mean "Web Application Attack"?');
  });

  it('leaves out what needs rules or classes that are not there', () => {
    const config = parseConfig(policy(['sid: 3001, category: X', 'flag']), 'test.yaml');
    expect(lint(config, { now: NOW, ruleset: null, categories })).toEqual([]);
    const codes = lint(config, { now: NOW, ruleset, categories: null }).map(({ code }) => code);
    expect(codes).toEqual(['unknown_sid']);
  });
});
