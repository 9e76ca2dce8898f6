/**
 * Golden cases: alerts that a real Suricata raised on traffic made for the case
 * (test/fixtures/generate), and what has to be decided about each of them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { PolicyLine } from '../../../src/config/config.js';
import { loadConfig } from '../../../src/config/load.js';
import { attribute } from '../../../src/policy/attribution.js';
import { type Decision, NO_EFFECT } from '../../../src/policy/ban.js';
import type { DecisionContext } from '../../../src/policy/context.js';
import { decide } from '../../../src/policy/decide.js';
import { ruleFacts } from '../../../src/policy/rule-facts.js';
import { type EveAlert, parseAlert } from '../../../src/suricata/eve-alert.js';
import { type Rule, RuleTextParser } from '../../../src/suricata/rule-text.js';
import { BAN_ALL, contextFor } from './support.js';

interface Expected {
  readonly kind: Decision['kind'];
  readonly role?: string;
  readonly candidate?: string | null;
  readonly resolvedBy?: string;
  readonly proof?: string | null;
  readonly scope?: string;
  /** How the reason given begins. */
  readonly why?: string;
  /** A part of what is said about the evidence. */
  readonly evidence?: string;
  readonly inside?: string;
  readonly cause?: string;
  /** The ban says that it drops nothing here. */
  readonly effect?: true;
  readonly seconds?: number;
}

interface Case {
  readonly name: string;
  readonly home?: readonly string[];
  readonly trustedProxies?: readonly string[];
  /** Left out: everybody is banned for a day, so that only attribution and evidence keep anybody from it. */
  readonly policy?: 'shipped' | 'named';
  readonly rules: readonly string[];
  readonly alerts: readonly Readonly<Record<string, unknown>>[];
  /** By sid. */
  readonly expect: Readonly<Record<string, Expected>>;
}

const shipped = loadConfig(fileURLToPath(new URL('../../../config/barricata.yaml', import.meta.url))).policy;
const NAMED: PolicyLine = { ...BAN_ALL, name: 'named', when: { sid: [1] } };
const POLICIES = { shipped, named: [NAMED], all: [BAN_ALL] };

const folder = new URL('../../fixtures/decisions/', import.meta.url);
const groups = readdirSync(folder).filter((name) => name.endsWith('.json'));

function rulesOf(texts: readonly string[]): DecisionContext['ruleFacts'] {
  const parser = new RuleTextParser();
  const rules = texts.map((text) => parser.parse(text) as Rule);
  const known = { rule: (gid: number, sid: number) => rules.find((r) => r.sid === sid && r.gid === gid) ?? null };
  return (sid, gid) => ruleFacts(known, sid, gid);
}

function contextOfCase(one: Case, at: number): DecisionContext {
  const { home, trustedProxies = [], policy = 'all' } = one;
  const setting = { ...(home && { home }), trustedProxies, policy: POLICIES[policy], now: at + 1000 };
  return { ...contextFor(setting), ruleFacts: rulesOf(one.rules) };
}

/** What was decided, in the words of the cases. */
function found(alert: EveAlert, context: DecisionContext, decision: Decision): Record<string, unknown> {
  const { role, candidate, resolvedBy } = attribute(alert, context);
  const ban = decision.kind === 'ban' || decision.kind === 'would_ban' ? decision.ban : null;
  return {
    kind: decision.kind,
    role,
    candidate,
    resolvedBy,
    proof: ban?.record.proof,
    scope: ban?.record.scope,
    effect: ban?.record.effect === NO_EFFECT ? true : undefined,
    seconds: ban === null ? undefined : (ban.until - alert.at) / 1000,
    inside: decision.kind === 'flag' ? decision.inside : undefined,
    cause: decision.kind === 'refused' ? decision.cause : undefined,
  };
}

let count = 0;
let ipv6 = 0;

for (const group of groups) {
  describe(group.replace('.json', '').replaceAll('-', ' '), () => {
    for (const one of JSON.parse(readFileSync(new URL(group, folder), 'utf8')) as Case[]) {
      count += 1;
      if (one.alerts.some((record) => String(record['src_ip']).includes(':'))) ipv6 += 1;
      it(one.name, () => {
        const seen = new Set<number>();
        for (const record of one.alerts) {
          const alert = parseAlert(record);
          if (typeof alert === 'string') throw new Error(`the record is unusable: ${alert}`);
          const expected = one.expect[alert.sid];
          if (expected === undefined) continue;
          seen.add(alert.sid);
          const context = contextOfCase(one, alert.at);
          const decision = decide(alert, context);
          const { why, evidence, ...exact } = expected;
          const result = found(alert, context, decision);
          expect(result).toMatchObject(exact);
          if (decision.kind === 'ban') {
            expect(decision.ban.prefix).toBe(result['candidate']);
            expect(decision.ban.record.resolved_by).toBe(result['resolvedBy']);
            expect(result['effect']).toBe(exact.effect);
          }
          if (why !== undefined) expect('why' in decision && decision.why).toMatch(new RegExp(`^${escaped(why)}`));
          if (evidence !== undefined) expect(stepDetail(decision, 'evidence')).toContain(evidence);
        }
        expect([...seen].map(String).sort()).toEqual(Object.keys(one.expect).sort());
      });
    }
  });
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function stepDetail(decision: Decision, check: string): string {
  return decision.steps.find((step) => step.check === check)?.detail ?? '';
}

describe('the golden cases together', () => {
  it('are at least forty, of both families', () => {
    expect(count).toBeGreaterThanOrEqual(40);
    expect(ipv6).toBeGreaterThanOrEqual(15);
  });
});
