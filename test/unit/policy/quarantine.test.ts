import { describe, expect, it } from 'vitest';
import type { Decision } from '../../../src/policy/ban.js';
import { decide } from '../../../src/policy/decide.js';
import { passes, type RuleStanding, ruleIdOf, TRUSTED, withhold } from '../../../src/policy/quarantine.js';
import { alertFrom, contextFor } from './support.js';

const DAY = 86_400_000;
const now = Date.UTC(2026, 10, 23, 12);
const marks = { age: 3 * 86_400, hits: 5 };
const quarantined: RuleStanding = { kind: 'quarantined', rule: { since: now - DAY, hits: 2 } };

/** What the policy decides about a proven attack. */
function banned(): Decision & { kind: 'ban' } {
  const decision = decide(alertFrom({}), contextFor({ now }));
  if (decision.kind !== 'ban') throw new Error(decision.kind);
  return decision;
}

describe('the quarantine', () => {
  it.each([
    ['young and unseen', 0, 0, false],
    ['young', DAY, 50, false],
    ['a moment too young', 3 * DAY - 1, 5, false],
    ['old and unseen', 30 * DAY, 4, false],
    ['old enough and seen enough', 3 * DAY, 5, true],
    ['from a clock that was set back', -DAY, 5, false],
  ])('passes a rule by age and hits together: %s', (_, age, hits, passed) => {
    expect(passes({ since: now - age, hits }, marks, now)).toBe(passed);
  });

  it('makes the ban of a new rule a would-be ban, and the steps say why', () => {
    const decision = banned();
    const withheld = withhold(decision, quarantined, marks, now);
    const why = 'the rule is new: 1d and 2 hits of 3d and 5 hits, so it only would ban';
    expect(withheld).toEqual({
      kind: 'would_ban',
      ban: decision.ban,
      why,
      candidate: '203.0.113.66',
      steps: [...decision.steps, { check: 'quarantine', result: 'quarantined', detail: why }],
    });
  });

  it('withholds the ban of a rule of which nothing is known yet', () => {
    const withheld = withhold(banned(), { kind: 'unknown', why: 'Redis is away' }, marks, now);
    expect(withheld).toMatchObject({ kind: 'would_ban', why: 'Redis is away' });
    expect(withheld.steps.at(-1)).toMatchObject({ check: 'quarantine', result: 'unknown' });
  });

  it('leaves everything else as it is', () => {
    const decision = banned();
    expect(withhold(decision, TRUSTED, marks, now)).toBe(decision);
    const note: Decision = { kind: 'note', why: 'x', candidate: null, steps: [] };
    expect(withhold(note, quarantined, marks, now)).toBe(note);
  });

  it('knows the rule of a ban by gid, sid and rev, and none of a detection', () => {
    const { ban } = banned();
    expect(ruleIdOf(ban)).toEqual({ gid: 1, sid: 2019232, rev: 4 });
    expect(ruleIdOf({ ...ban, record: { ...ban.record, sid: null, gid: null, rev: null } })).toBeNull();
  });
});
