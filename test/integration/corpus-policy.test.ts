/** Real alerts, decided with the shipped policy: every row of LABELS.tsv, and nobody else banned. Runs where the corpus is. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Config, PolicyLine } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load.js';
import type { Address } from '../../src/net/address.js';
import { hostPrefix, overlaps, prefix } from '../../src/net/prefix.js';
import type { Decision } from '../../src/policy/ban.js';
import { contextOf } from '../../src/policy/context.js';
import { decide } from '../../src/policy/decide.js';
import { engineEvent } from '../../src/policy/engine-event.js';
import { admits } from '../../src/protection/admits.js';
import { protectionFacts } from '../../src/protection/facts.js';
import { isInfrastructure } from '../../src/protection/infrastructure.js';
import { type EveAlert, parseAlert, type UnusableCause } from '../../src/suricata/eve-alert.js';
import { BAN_ALL, PRIVATE, SPECIAL } from '../unit/policy/support.js';

const corpus = fileURLToPath(new URL('../../../shared/corpus/', import.meta.url));

/** The policy as it is shipped. */
const shipped = loadConfig(fileURLToPath(new URL('../../config/barricata.yaml', import.meta.url)));

interface Read {
  readonly alerts: readonly EveAlert[];
  readonly unusable: readonly (UnusableCause | 'not_json')[];
}

/** Reads eve lines, gzip or not, or one JSON array. */
function read(file: string): Read {
  const bytes = readFileSync(corpus + file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const records = text.trimStart().startsWith('[')
    ? (JSON.parse(text) as unknown[])
    : text.split('\n').filter((l) => l.trim());
  const alerts: EveAlert[] = [];
  const unusable: (UnusableCause | 'not_json')[] = [];
  for (const record of records) {
    let value: unknown = record;
    try {
      if (typeof record === 'string') value = JSON.parse(record);
    } catch {
      unusable.push('not_json');
      continue;
    }
    const alert = parseAlert(value);
    if (typeof alert !== 'string') alerts.push(alert);
    else if (alert !== 'not_an_alert') unusable.push(alert);
  }
  return { alerts, unusable };
}

interface Result {
  readonly decisions: readonly Decision[];
  readonly banned: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

/** Decides each alert with a clock that stands at the alert, as a replay does. */
function judge(
  alerts: readonly EveAlert[],
  over: { readonly policy?: readonly PolicyLine[]; readonly home?: readonly string[] } = {},
): Result {
  const config: Config = {
    ...shipped,
    mode: 'enforce',
    policy: over.policy ?? shipped.policy,
    home: over.home?.map(prefix) ?? shipped.home,
  };
  const facts = protectionFacts(config, [], null, 0);
  const context = contextOf(config, {
    now: 0,
    refuse: (target) => admits(target, facts),
    isInfrastructure: (target) => isInfrastructure(target) !== null,
  });
  const decisions = alerts.map((alert) => decide(alert, { ...context, now: alert.at }));
  const counts: Record<string, number> = {};
  const banned = new Set<string>();
  for (const decision of decisions) {
    counts[decision.kind] = (counts[decision.kind] ?? 0) + 1;
    if (decision.kind === 'ban') banned.add(decision.ban.prefix);
  }
  return { decisions, banned: [...banned].sort(), counts };
}

/** What "ban src_ip at severity <= 2" would ban. */
function naive(alerts: readonly EveAlert[]): number {
  return new Set(alerts.filter((a) => a.severity <= 2 && a.src).map((a) => a.src?.address)).size;
}

function show(file: string, alerts: readonly EveAlert[], { counts, banned }: Result): void {
  const figures = Object.entries(counts).map(([kind, count]) => `${kind} ${count}`);
  const bans = banned.length === 0 ? 'bans nobody' : `bans ${banned.join(' ')}`;
  console.log(`${file}: ${alerts.length} alerts, ${figures.join(', ')}; ${bans}; naive bans ${naive(alerts)}`);
}

const NOBODY: readonly string[] = [];

describe.skipIf(!existsSync(`${corpus}LABELS.tsv`))('on the labelled corpus', () => {
  const rows: readonly [file: string, banned: readonly string[]][] = [
    ['live/eve/legit-browse.json.gz', NOBODY],
    ['live/eve/syn-flood-1src.json.gz', NOBODY],
    ['live/eve/nmap-decoys.json.gz', NOBODY],
    ['live/eve/nmap-sS-top1000.json.gz', NOBODY],
    ['live/eve/http-attacks.json.gz', ['203.0.113.66']],
    ['live/eve/icmp-ping-normal.json.gz', NOBODY],
    ['frankhassanabad-suricata-sample-data/samples/wrccdc-2017/alerts-only.json', NOBODY],
    ['josevnz-suricatalog/eve-2.json', NOBODY],
    ['suricata-verify/eve-alerts/http-xff-eve-forward-overwrite.json', NOBODY],
    ['suricata-verify/eve-alerts/bug-6402-01.json', NOBODY],
    ['suricata-verify/eve-alerts/ipv6-evasion__ipv6-rsmurf.json', NOBODY],
  ];
  for (const [file, banned] of rows) {
    it.skipIf(!existsSync(corpus + file))(`${file} bans ${banned.join(' ') || 'nobody'}`, () => {
      const { alerts } = read(file);
      const result = judge(alerts);
      show(file, alerts, result);
      expect(alerts.length).toBeGreaterThan(0);
      expect(result.banned).toEqual(banned);
    });
  }

  it('bans the SQL injections of FIRST 2015, and its responders not', () => {
    const file = 'frankhassanabad-suricata-sample-data/samples/first-org-conf-2015/alerts-only.json';
    const { alerts } = read(file);
    const result = judge(alerts);
    show(file, alerts, result);
    expect(result.banned).toContain('54.235.163.229');
    for (const responder of ['217.172.189.243', '92.222.174.249', '54.230.98.75', '103.10.197.187']) {
      expect(result.banned).not.toContain(responder);
    }
  });

  it('flags own hosts that call out in wrccdc-2017', () => {
    const { decisions } = judge(
      read('frankhassanabad-suricata-sample-data/samples/wrccdc-2017/alerts-only.json').alerts,
    );
    expect(decisions.filter((d) => d.kind === 'flag').length).toBeGreaterThan(50);
  });

  it('flags only what crosses a tunnel between own hosts', () => {
    const { decisions } = judge(read('suricata-verify/eve-alerts/bug-6402-01.json').alerts, { policy: [BAN_ALL] });
    expect(new Set(decisions.map((d) => d.kind))).toEqual(new Set(['flag']));
  });

  it('notes scans whose every alert is one packet in and none back', () => {
    const { alerts } = read('live/eve/nmap-sS-top1000.json.gz');
    const scans = alerts.filter((alert) => engineEvent(alert) === null);
    const { decisions } = judge(scans);
    expect(scans.length).toBeGreaterThan(0);
    expect(new Set(decisions.map((d) => d.kind))).toEqual(new Set(['note']));
  });

  it('takes a reassembled fragment for a packet outside any tunnel', () => {
    const { alerts } = read('suricata-verify/eve-alerts/defrag__bug-6887-defrag-ipv4-tcp-syn.json');
    const { decisions } = judge(alerts, { home: ['2.2.2.2'], policy: [BAN_ALL] });
    expect(alerts.map((a) => a.tunnelled)).not.toContain(true);
    expect(JSON.stringify(decisions)).not.toContain('tunnel');
  });

  it('ignores what the sensor passed', () => {
    const { alerts } = read('suricata-verify/eve-alerts/bug-5464-verdict-02.json');
    const passed = alerts.filter((alert) => alert.verdict === 'pass');
    expect(passed.length).toBeGreaterThan(0);
    expect(new Set(judge(passed, { policy: [BAN_ALL] }).decisions.map((d) => d.kind))).toEqual(new Set(['ignore']));
  });

  it('bans nobody for a rewritten address even with a policy that bans all', () => {
    const { alerts } = read('suricata-verify/eve-alerts/http-xff-eve-forward-overwrite.json');
    expect(judge(alerts, { policy: [BAN_ALL] }).banned).toEqual([]);
    expect(judge(alerts, { policy: [BAN_ALL], home: ['82.165.177.154'] }).banned).toEqual([]);
  });

  it('counts null and truncated lines instead of judging them', () => {
    expect(read('dcso-fever/jsonparse_eve_nulls.json')).toMatchObject({ alerts: [] });
    expect(read('dcso-fever/jsonparse_eve_broken1.json').unusable).toContain('not_json');
  });

  it('knows every rule of the engine as an engine event', () => {
    let rules = 0;
    for (const name of readdirSync(`${corpus}suricata-debian-rules`).filter((n) => n.endsWith('-events.rules'))) {
      for (const line of readFileSync(`${corpus}suricata-debian-rules/${name}`, 'utf8').split('\n')) {
        const sid = /\bsid:\s*(\d+)/.exec(line)?.[1];
        if (sid === undefined) continue;
        rules += 1;
        expect(engineEvent({ sid: Number(sid), category: '', signature: '' }), line).not.toBeNull();
      }
    }
    expect(rules).toBeGreaterThan(300);
  });

  it('never bans home or special addresses anywhere, whatever the policy', () => {
    const forbidden = [...PRIVATE, ...SPECIAL].map(prefix);
    const folders = ['suricata-verify/eve-alerts', 'live/eve', 'selks', 'josevnz-suricatalog'];
    let alerts = 0;
    for (const folder of folders) {
      for (const name of readdirSync(corpus + folder).filter((n) => /\.json(\.gz)?$/.test(n))) {
        const found = read(`${folder}/${name}`);
        alerts += found.alerts.length;
        for (const decision of judge(found.alerts, { policy: [BAN_ALL] }).decisions) {
          if (decision.kind !== 'ban') continue;
          const host = hostPrefix(decision.ban.prefix as Address);
          expect(
            forbidden.find((network) => overlaps(network, host)),
            `${name}: ${host.text}`,
          ).toBeUndefined();
          if (!decision.ban.proven) expect(decision.ban.record.scope).toBe('host');
        }
      }
    }
    console.log(`${alerts} alerts of ${folders.length} folders decided`);
    expect(alerts).toBeGreaterThan(4000);
  });
});
