import type { EpochMs } from '../base/clock.js';
import type { Decision } from '../policy/ban.js';
import {
  passes,
  type QuarantinedRule,
  type QuarantineMarks,
  type RuleStanding,
  ruleIdOf,
  TRUSTED,
  withhold,
} from '../policy/quarantine.js';

/**
 * What the quarantine of new rules would have held back, had all rules that were
 * given come with an update just before the first alert. A rule passes at the age
 * and the hits that the configuration asks for, by the time of the alerts; its
 * record is clean, since nobody judges bans in a replay. Rules that were not
 * given are trusted.
 */
export class NewRules {
  readonly #marks: QuarantineMarks;
  readonly #isGiven: (sid: number, gid: number) => boolean;
  /** By `gid:sid:rev`; as many as rules were given at most. */
  readonly #held = new Map<string, QuarantinedRule>();
  #since: EpochMs | null = null;

  constructor(marks: QuarantineMarks, isGiven: (sid: number, gid: number) => boolean) {
    this.#marks = marks;
    this.#isGiven = isGiven;
  }

  /** Lets a decision through, or makes the ban of a new rule a would-be ban. */
  admit(decision: Decision, at: EpochMs): Decision {
    this.#since ??= at;
    return decision.kind === 'ban' ? withhold(decision, this.#standing(decision, at), this.#marks, at) : decision;
  }

  #standing({ ban }: Decision & { readonly kind: 'ban' }, at: EpochMs): RuleStanding {
    const id = ruleIdOf(ban);
    if (id === null || !this.#isGiven(id.sid, id.gid)) return TRUSTED;
    const key = `${id.gid}:${id.sid}:${id.rev}`;
    const rule = this.#held.get(key) ?? { since: this.#since ?? at, hits: 0 };
    if (passes(rule, this.#marks, at)) return TRUSTED;
    const hit = { ...rule, hits: rule.hits + 1 };
    this.#held.set(key, hit);
    return { kind: 'quarantined', rule: hit };
  }
}
