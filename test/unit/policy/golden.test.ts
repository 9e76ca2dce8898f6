/** Golden pairs: an eve record and what is decided about it, in test/fixtures/policy. A report of a wrong decision begins as one more pair. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { overlaps, prefix } from '../../../src/net/prefix.js';
import type { Decision } from '../../../src/policy/ban.js';
import { decide } from '../../../src/policy/decide.js';
import { type EveAlert, parseAlert } from '../../../src/suricata/eve-alert.js';
import { contextFor, PRIVATE, type Setting, SPECIAL } from './support.js';

interface Expected {
  readonly kind: Decision['kind'];
  /** A part of the reason given. */
  readonly why?: string;
  readonly address?: string;
  /** Seconds from the event to the end of the ban, or `forever`. */
  readonly endsAfter?: number | 'forever';
  readonly scope?: string;
  readonly proof?: string | null;
  readonly role?: string;
  readonly resolvedBy?: string;
  readonly policy?: string;
  readonly effect?: string | null;
  readonly target?: string;
  readonly flowStart?: string;
  readonly inside?: string;
  readonly outside?: string;
  readonly cause?: string;
}

interface Pair {
  readonly name: string;
  /** `nowAfter`: seconds from the event to the moment of deciding, 1 unless given. */
  readonly context: Omit<Partial<Setting>, 'now'> & { readonly nowAfter?: number };
  readonly eve: Readonly<Record<string, unknown>>;
  readonly expect: Expected;
}

const folder = new URL('../../fixtures/policy/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

/** JSON has no infinity: the duration `forever` is written as text. */
function revive(key: string, value: unknown): unknown {
  return key === 'duration' && value === 'forever' ? Number.POSITIVE_INFINITY : value;
}

function decided({ context, eve }: Pair): { alert: EveAlert; decision: Decision } {
  const alert = parseAlert(eve);
  if (typeof alert === 'string') throw new Error(`the record is unusable: ${alert}`);
  const { nowAfter = 1, ...setting } = context;
  return { alert, decision: decide(alert, contextFor({ ...setting, now: alert.at + nowAfter * 1000 })) };
}

/** The decision in the words of the fixtures. */
function summary(decision: Decision, alert: EveAlert): Record<string, unknown> {
  switch (decision.kind) {
    case 'ban':
    case 'would_ban': {
      const { ban } = decision;
      const seconds = (ban.until - alert.at) / 1000;
      return {
        kind: decision.kind,
        why: decision.kind === 'would_ban' ? decision.why : '',
        address: ban.prefix,
        endsAfter: seconds === Number.POSITIVE_INFINITY ? 'forever' : seconds,
        scope: ban.record.scope,
        proof: ban.record.proof,
        role: ban.record.role,
        resolvedBy: ban.record.resolved_by,
        policy: ban.record.policy,
        effect: ban.record.effect ?? null,
        target: ban.record.target,
        flowStart: ban.flowStart === null ? null : new Date(ban.flowStart).toISOString(),
      };
    }
    case 'refused':
      return { ...decision, address: decision.prefix };
    case 'flag':
    case 'note':
    case 'ignore':
      return { ...decision };
  }
}

let pairs = 0;
const bannedOfOwn: string[] = [];

for (const file of files) {
  describe(file.replace('.json', ''), () => {
    for (const pair of JSON.parse(readFileSync(new URL(file, folder), 'utf8'), revive) as Pair[]) {
      pairs += 1;
      it(pair.name, () => {
        const { alert, decision } = decided(pair);
        const { why, ...exact } = pair.expect;
        const found = summary(decision, alert);
        expect(found).toMatchObject(exact);
        if (why !== undefined) expect(found['why']).toContain(why);
        expect(decision.steps.length).toBeGreaterThan(0);
        if (decision.kind === 'ban') {
          const host = prefix(decision.ban.prefix);
          for (const text of [...(pair.context.home ?? PRIVATE), ...(pair.context.own ?? []), ...SPECIAL]) {
            if (overlaps(prefix(text), host)) bannedOfOwn.push(`${pair.name}: ${host.text}`);
          }
        }
      });
    }
  });
}

describe('the golden pairs together', () => {
  it('are at least a hundred, and ban no home, own or special address', () => {
    expect(pairs).toBeGreaterThanOrEqual(100);
    expect(bannedOfOwn).toEqual([]);
  });
});
