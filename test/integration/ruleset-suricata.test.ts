/** Rules as the real Suricata reads them: what its engine analysis says of each rule is what is known here. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ruleset, readRuleset } from '../../src/suricata/ruleset.js';
import { hasFeatures } from '../support/feature.js';

const groups = (of: Record<string, string>) =>
  Object.entries(of)
    .map(([name, value]) => `    ${name}: "${value}"\n`)
    .join('');
const YAML = `%YAML 1.1
---
vars:
  address-groups:
    HOME_NET: "[192.168.0.0/16]"
    EXTERNAL_NET: "!$HOME_NET"
${groups(Object.fromEntries(['HTTP', 'SMTP', 'SQL', 'DNS', 'TELNET', 'AIM'].map((name) => [`${name}_SERVERS`, '$HOME_NET'])))}
  port-groups:
${groups(Object.fromEntries(['HTTP', 'ORACLE', 'SSH', 'FTP', 'SHELLCODE'].map((name) => [`${name}_PORTS`, '80'])))}
classification-file: /etc/suricata/classification.config
reference-config-file: /etc/suricata/reference.config
stats: { enabled: no }
outputs: []
engine-analysis: { rules: yes, rules-fast-pattern: yes }
app-layer: { protocols: { http: { enabled: yes }, tls: { enabled: yes }, smtp: { enabled: yes }, ssh: { enabled: yes } } }
`;
const FOLDERS = ['/etc/suricata/rules', fileURLToPath(new URL('../../../shared/corpus/et-open-2016', import.meta.url))];
/** Large enough to meet every habit of rule writers, and analysed in about a second. */
const FILES = /-events\.rules$|emerging-(?:web_server|scan|exploit|info|dns|voip)\.rules$/;

const RULES = [
  'alert tcp any any -> any any (msg:"plain"; sid:1; rev:3;)',
  'alert tcp any any -> any any (msg:"escaped \\; \\" \\: \\\\ \\x end"; sid:2;)',
  'alert tcp any any -> any any (msg:"no blank after";flow:established,to_client;content:"a|3b|b\\;";sid:3;rev:1;)',
  'alert tcp any any -> any any ( msg : "blanks" ; flow : from_client ; content : "x" ; sid : 4 ; rev : 2 ; )  ',
  'alert tcp any any -> any any (msg:"first of equals"; flow:to_server; content:"x"; sid:5; rev:2;)',
  'alert tcp any any -> any any (msg:"second of equals"; flow:to_client; content:"x"; sid:5; rev:2;)',
  'alert tcp any any -> any any (msg:"lower"; content:"x"; sid:6; rev:2;)',
  'alert tcp any any -> any any (msg:"higher"; content:"x"; sid:6; rev:3;)',
  'alert tcp any any -> any any (msg:"lower afterwards"; content:"x"; sid:6; rev:1;)',
  'alert tcp any any -> any any (msg:"over \\\n  lines"; \\\n  content:"x"; sid:7; rev:9;)',
  'alert tcp any any <> any any (msg:"both ways"; content:"x"; gid:12; sid:8;)',
  'alert tcp [10.0.0.0/8, 192.168.0.0/16] [1:5, 9] -> !$HOME_NET any (msg:"lists"; content:"x"; noalert; sid:9;)',
  'alert tcp any any -> any any (msg:"dos line end"; content:"x"; sid:11;)\r',
  'alert tcp any any -> any any (msg:"bits"; flowbits:set,a; flowbits:noalert; content:"x"; sid:12;)',
];
const LEFT_OUT = [
  '\talert tcp any any -> any any (msg:"after a tab"; content:"x"; sid:10;)',
  ' alert tcp any any -> any any (msg:"after a blank"; content:"x"; sid:1001;)',
  '#alert tcp any any -> any any (msg:"off"; content:"x"; sid:1002;)',
  '# a comment that goes on \\',
];
const WRONG = [
  'alert tcp any any -> any any (msg:"no sid"; content:"x";)',
  'alert tcp any any -> any any (msg:"zero"; content:"x"; sid:0;)',
  'alert tcp any any -> any any (msg:"no number"; content:"x"; sid:1003x;)',
  'alarm tcp any any -> any any (msg:"no action"; content:"x"; sid:1005;)',
  'alert tcp any any any any (msg:"no arrow"; content:"x"; sid:1006;)',
  'alert tcp any any -> any any (msg:"broken off"; content:"x"; sid:1007',
];

/** Runs Suricata over rules; it answers 1 when it could not read some. */
function suricata(folder: string, mode: string, path: string): string {
  const yaml = join(folder, 'suricata.yaml');
  writeFileSync(yaml, YAML);
  const { stdout, stderr } = spawnSync('suricata', ['-c', yaml, mode, '-S', path, '-l', folder], { encoding: 'utf8' });
  return stdout + stderr;
}

interface Analysed {
  readonly id: number;
  readonly gid: number;
  readonly rev: number;
  readonly msg: string;
  readonly flags: readonly string[];
}

describe.skipIf(!hasFeatures('suricata'))('beside the real Suricata', () => {
  let folder: string;
  let ours: Ruleset;
  const theirs = new Map<string, Analysed>();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'barricata-rules-'));
    const collected = FOLDERS.filter((path) => existsSync(path)).flatMap((path) =>
      readdirSync(path)
        .filter((name) => FILES.test(name))
        .map((name) => readFileSync(join(path, name), 'latin1')),
    );
    const path = join(folder, 'all.rules');
    writeFileSync(path, [...RULES, ...LEFT_OUT, ...collected].join('\n'), 'latin1');
    ours = await readRuleset(path);
    suricata(folder, '--engine-analysis', path);
    for (const line of readFileSync(join(folder, 'rules.json'), 'utf8').split('\n').filter(Boolean)) {
      const rule: Analysed = JSON.parse(line);
      theirs.set(`${rule.gid}:${rule.id}`, rule);
    }
  }, 60_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('knows every rule that Suricata loads, with its revision, text and direction', () => {
    expect(theirs.size).toBeGreaterThan(10);
    for (const [id, { gid, id: sid, rev, msg, flags }] of theirs) {
      const rule = ours.rule(gid, sid);
      expect(rule, id).toMatchObject({ rev, msg, noalert: flags.includes('noalert') });
      if (rule?.flow?.direction) {
        expect(flags, id).toContain(rule.flow.direction === 'to_server' ? 'toserver' : 'toclient');
        expect(flags, id).not.toContain(rule.flow.direction === 'to_server' ? 'toclient' : 'toserver');
      }
    }
  });

  it('knows no more of the made rules than Suricata does', () => {
    const known = [...ours.rules()].filter(({ sid }) => sid < 2000).map(({ gid, sid }) => `${gid}:${sid}`);
    const loaded = [...theirs.keys()].filter((id) => Number(id.split(':')[1]) < 2000);
    expect(known.sort()).toEqual(loaded.sort());
    expect(loaded).toHaveLength(11);
  });

  it('takes for no rule what Suricata takes for none', async () => {
    const path = join(folder, 'wrong.rules');
    writeFileSync(path, [RULES[0], ...WRONG, RULES[1], ''].join('\n'));
    expect(suricata(folder, '-T', path)).toContain(`2 rules successfully loaded, ${WRONG.length} rules failed`);
    const { size, faults } = await readRuleset(path);
    const left = [...faults.values()].reduce((sum, { count }) => sum + count, 0);
    expect([size, left]).toEqual([2, WRONG.length]);
  });
});
