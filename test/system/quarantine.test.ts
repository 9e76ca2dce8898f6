/** A rules update on a running Barricata: what is new only would ban, until it has passed. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DaemonStatus } from '../../src/daemon/status.js';
import { alertLine, Barricata } from '../support/daemon.js';
import { hasFeatures } from '../support/feature.js';
import { enterPrivateNetns, waitFor } from '../support/netns.js';

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
const rule = (sid: number, more = '') =>
  `alert http $EXTERNAL_NET any -> $HOME_NET any (msg:"TEST ${sid}"; ${more}classtype:web-application-attack; sid:${sid}; rev:1;)\n`;

/** A proven attack that this rule saw. */
const alert = (source: string, sid: number) =>
  alertLine(source, {
    alert: {
      ...{ action: 'allowed', gid: 1, signature_id: sid, rev: 1, signature: `TEST ${sid}` },
      ...{ category: 'Web Application Attack', severity: 1 },
    },
  });

describe.skipIf(!hasFeatures('root', 'redis-server', 'ipset', 'nfqueue'))('a rules update', () => {
  let b: Barricata;
  let rules: string;
  const old = range(9_000_000, 20);
  const fresh = range(9_100_000, 50);

  beforeAll(async () => {
    enterPrivateNetns();
    b = new Barricata();
    rules = join(b.folder, 'suricata.rules');
    writeFileSync(rules, old.map((sid) => rule(sid)).join(''));
    b.configure({ suricata: { eve: [b.eve], rules } });
    writeFileSync(b.eve, '');
    await b.start();
  });
  afterAll(() => b?.remove());

  const status = () => b.cli('status', '-o', 'json').json<DaemonStatus>();
  const keys = (kind: string) => b.redis('--scan', '--pattern', `barricata:${kind}:*`).split('\n').filter(Boolean);

  it('is preceded by a first file, whose rules ban at once', async () => {
    expect(status()).toMatchObject({ rules: { path: rules, rules: 20, problem: null }, quarantine: { rules: 0 } });
    appendFileSync(b.eve, alert('203.0.113.200', old[0] as number));
    await waitFor('the ban', () => keys('ban').includes('barricata:ban:203.0.113.200'));
  });

  it('that adds 50 rules bans nobody by them, and records 50 would-be bans', async () => {
    appendFileSync(rules, fresh.map((sid) => rule(sid)).join(''));
    await waitFor('the rules', () => status().quarantine?.rules === 50);
    expect(b.cli('status').out).toMatch(/^rules +70 of .*, 50 in quarantine$/m);
    const before = keys('ban');
    fresh.forEach((sid, i) => {
      appendFileSync(b.eve, alert(`203.0.113.${i + 1}`, sid));
    });
    await waitFor('the would-be bans', () => keys('would').length === 50);
    expect(keys('ban')).toEqual(before);
    const why = b.cli('why', '203.0.113.7').out;
    expect(why).toMatch(/quarantine/);
    expect(why).toMatch(/the rule is new: \S+ and 1 hits of 3d and 5 hits, so it only would ban/);
  });

  it('lets a rule ban when it has passed, after a restart too', async () => {
    const [one, other] = fresh as [number, number];
    await waitFor('the hits', () => b.redis('HGET', 'barricata:quarantine', `1:${one}:1`).endsWith(' 1'));
    // Three days later, and seen four times before.
    const since = Date.now() - 3 * 86_400_000;
    b.redis('HSET', 'barricata:quarantine', `1:${one}:1`, `${since} 4`);
    await b.stop();
    await b.start();
    expect(status().quarantine).toMatchObject({ rules: 50 });
    appendFileSync(b.eve, alert('198.51.100.1', one));
    await waitFor('the promotion', () => status().quarantine?.rules === 49);
    expect(b.redis('XREVRANGE', 'barricata:journal', '+', '-', 'COUNT', '1')).toMatch(/promote[\s\S]*1:9100000:1/);
    appendFileSync(b.eve, alert('198.51.100.2', one) + alert('198.51.100.3', other));
    await waitFor('the ban', () => keys('ban').includes('barricata:ban:198.51.100.2'));
    expect(keys('would')).toContain('barricata:would:198.51.100.3');
    expect(keys('ban')).not.toContain('barricata:ban:198.51.100.3');
  });

  it('that is cut off changes nothing, and status says so', async () => {
    writeFileSync(rules, rule(9_000_000).slice(0, 60));
    await waitFor('the problem', () => status().problems.some((problem) => problem.includes('it ends within a rule')));
    expect(status().rules.rules).toBe(70);
    expect(b.cli('doctor').out).toMatch(/rules file\s+.*it ends within a rule/);
  });

  it('gives decisions what the rules say: one that counts per destination bans nobody', async () => {
    const text = [...old, ...fresh].map((sid) => rule(sid)).join('');
    const counts = 'threshold:type both,track by_dst,count 5,seconds 60; ';
    writeFileSync(rules, text.replace(rule(9_000_001), rule(9_000_001, counts)));
    await waitFor('the rules', () => status().rules.problem === null);
    appendFileSync(b.eve, alert('198.51.100.50', 9_000_001) + alert('198.51.100.51', 9_000_002));
    await waitFor('the ban by the other rule', () => keys('ban').includes('barricata:ban:198.51.100.51'));
    expect(keys('ban')).not.toContain('barricata:ban:198.51.100.50');
    expect(b.cli('why', '198.51.100.50').out).toMatch(/track by_dst/);
  });
});
