import type { EpochMs, Seconds } from '../base/clock.js';
import { formatDuration } from '../base/duration.js';
import type { Ban, Decision } from './ban.js';

/** What a rule that an update brought must have behind it before it bans. */
export interface QuarantineMarks {
  readonly age: Seconds;
  /** Bans that it would have made. */
  readonly hits: number;
}

/** One revision of a rule that does not ban yet. */
export interface QuarantinedRule {
  /** When it was first seen, or last called wrong by a person. */
  readonly since: EpochMs;
  /** Bans it would have made since then, on any host of the fleet. */
  readonly hits: number;
}

/** How a rule stands: it may ban, it is in quarantine, or nobody knows yet, which is no better. */
export type RuleStanding =
  | { readonly kind: 'trusted' }
  | { readonly kind: 'quarantined'; readonly rule: QuarantinedRule }
  | { readonly kind: 'unknown'; readonly why: string };

export const TRUSTED: RuleStanding = { kind: 'trusted' };

/** Whether a rule with a clean record has been watched for long enough. */
export function passes(rule: QuarantinedRule, marks: QuarantineMarks, now: EpochMs): boolean {
  return rule.hits >= marks.hits && now - rule.since >= marks.age * 1000;
}

/** The revision of the rule that a ban comes from; `null` when it comes from none. */
export function ruleIdOf({ record }: Ban): { readonly gid: number; readonly sid: number; readonly rev: number } | null {
  const { gid, sid, rev } = record;
  return sid === null || rev === null ? null : { gid: gid ?? 1, sid, rev };
}

/** Makes the ban of a rule that is not trusted a would-be ban that says why; anything else stays as it is. */
export function withhold(decision: Decision, standing: RuleStanding, marks: QuarantineMarks, now: EpochMs): Decision {
  if (decision.kind !== 'ban' || standing.kind === 'trusted') return decision;
  const { ban, candidate } = decision;
  const why = standing.kind === 'unknown' ? standing.why : spoken(standing.rule, marks, now);
  const steps = [...decision.steps, { check: 'quarantine', result: standing.kind, detail: why }];
  return { kind: 'would_ban', ban, why, candidate, steps };
}

function spoken({ since, hits }: QuarantinedRule, marks: QuarantineMarks, now: EpochMs): string {
  const age = formatDuration(Math.max(0, now - since) / 1000);
  const wanted = `${formatDuration(marks.age)} and ${marks.hits} hits`;
  return `the rule is new: ${age} and ${hits} hits of ${wanted}, so it only would ban`;
}
