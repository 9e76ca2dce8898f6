/** Every row of the corpus's LABELS.tsv through `replay`, with the shipped policy and the rules of the corpus. Runs where the corpus is. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { prefix } from '../../src/net/prefix.js';
import type { DecisionContext } from '../../src/policy/context.js';
import { ruleFacts } from '../../src/policy/rule-facts.js';
import type { ReplayReport } from '../../src/replay/report.js';
import { readRuleset } from '../../src/suricata/ruleset.js';
import { temporaryDirectory } from '../support/eve.js';
import { attack, linesOf, replayFiles, shipped } from '../support/replay.js';

const corpus = fileURLToPath(new URL('../../../shared/corpus/', import.meta.url));
const labels = `${corpus}LABELS.tsv`;

const banned = (report: ReplayReport) => report.bans.map(({ address }) => address);
const nobody = (report: ReplayReport) => {
  expect(report.alerts).toBeGreaterThan(0);
  expect(banned(report)).toEqual([]);
};

/** What each row asks, by its file; `home` where the row names another than RFC 1918. */
const ROWS: Readonly<Record<string, { readonly home?: string; readonly check: (report: ReplayReport) => void }>> = {
  'live/eve/legit-browse.json.gz': { check: nobody },
  'live/eve/syn-flood-1src.json.gz': { check: nobody },
  'live/eve/nmap-decoys.json.gz': { check: nobody },
  'live/eve/nmap-sS-top1000.json.gz': {
    check: (report) => {
      nobody(report);
      expect(report.noted + report.ignored).toBe(report.alerts);
      expect(report.noted).toBeGreaterThan(0);
    },
  },
  'live/eve/http-attacks.json.gz': { check: (report) => expect(banned(report)).toEqual(['203.0.113.66']) },
  'live/eve/icmp-ping-normal.json.gz': { check: nobody },
  'frankhassanabad-suricata-sample-data/samples/wrccdc-2017/alerts-only.json': {
    check: (report) => {
      nobody(report);
      expect(report.flagged).toBeGreaterThan(50);
    },
  },
  'frankhassanabad-suricata-sample-data/samples/first-org-conf-2015/alerts-only.json': {
    check: (report) => {
      expect(banned(report)).toContain('54.235.163.229');
      for (const responder of ['217.172.189.243', '92.222.174.249', '54.230.98.75', '103.10.197.187']) {
        expect(banned(report)).not.toContain(responder);
      }
    },
  },
  'crowdsec-hub/suricata-eve-detect.log': {
    home: '1.2.3.5',
    check: (report) => expect(banned(report)).toEqual(['1.2.3.4']),
  },
  'dcso-fever/jsonparse_eve_nulls.json': {
    check: (report) => expect(report).toMatchObject({ alerts: 0, bans: [], unusable: { no_addresses: 1 } }),
  },
  'dcso-fever/jsonparse_eve_broken1.json': {
    check: (report) => expect(report).toMatchObject({ bans: [], unusable: { truncated: 1 } }),
  },
  'josevnz-suricatalog/eve-2.json': {
    check: (report) => {
      nobody(report);
      expect(report.ignored).toBe(report.alerts);
    },
  },
  'suricata-verify/eve-alerts/http-xff-eve-forward-overwrite.json': { check: nobody },
  'suricata-verify/eve-alerts/defrag__bug-6887-defrag-ipv4-tcp-syn.json': {
    check: (report) => {
      expect(report.alerts).toBeGreaterThan(0);
      expect(JSON.stringify(report)).not.toContain('tunnel');
    },
  },
  'suricata-verify/eve-alerts/bug-6402-01.json': {
    check: (report) => {
      nobody(report);
      expect(report.flagged).toBe(report.alerts);
    },
  },
  'suricata-verify/eve-alerts/ipv6-evasion__ipv6-rsmurf.json': { check: nobody },
  'suricata-verify/eve-alerts/bug-5464-verdict-02.json': { check: nobody },
  'crowdsec-hub/suricata-logs-evelog.log': {
    check: (report) => {
      expect(banned(report)).toContain('1.2.3.7');
      expect(banned(report)).not.toContain('1.2.3.5');
    },
  },
};

/** A row about a rule and not about records: an alert of it is an engine event. */
const RULE_ROWS = ['suricata-debian-rules/dns-events.rules'];

describe.skipIf(!existsSync(labels))('the labelled corpus', () => {
  const rows = (existsSync(labels) ? readFileSync(labels, 'utf8') : '')
    .split('\n')
    .slice(1)
    .filter(Boolean)
    .map((line) => line.split('\t') as [file: string, select: string, expected: string]);
  let facts: DecisionContext['ruleFacts'] = () => null;

  beforeAll(async () => {
    const folder = `${corpus}et-open-2016`;
    const files = readdirSync(folder).filter((name) => name.endsWith('.rules'));
    const sets = await Promise.all(files.map((name) => readRuleset(join(folder, name))));
    facts = (sid, gid) => {
      for (const set of sets) {
        const found = ruleFacts(set, sid, gid);
        if (found !== null) return found;
      }
      return null;
    };
  });

  it('has no row that is not checked here', () => {
    expect(rows.length).toBeGreaterThan(15);
    for (const [file] of rows) expect([...Object.keys(ROWS), ...RULE_ROWS]).toContain(file);
  });

  for (const [file, select, expected] of rows) {
    const row = ROWS[file];
    if (row === undefined || !existsSync(corpus + file)) continue;
    it(`${file}, ${select}: ${expected}`, async () => {
      const config = row.home === undefined ? shipped : { ...shipped, home: [prefix(row.home)] };
      row.check(await replayFiles([corpus + file], { config, ruleFacts: facts }));
    });
  }

  it('suricata-debian-rules/dns-events.rules, sid 224008: an engine event', async () => {
    const path = join(temporaryDirectory(), 'eve.json');
    writeFileSync(path, linesOf([attack(0, {}, { signature_id: 224008, signature: 'SURICATA DNS' })]));
    expect(await replayFiles([path])).toMatchObject({ alerts: 1, ignored: 1, bans: [] });
  });
});
