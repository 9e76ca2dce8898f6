import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import type { RedisConnection } from '../blocklist/connection.js';
import type { Facts } from '../blocklist/facts.js';
import {
  idOf,
  type QuarantineChange,
  type Quarantined,
  type QuarantineState,
  type RuleId,
} from '../blocklist/quarantine.js';
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
import type { Ruleset } from '../suricata/ruleset.js';
import type { RulesetSource } from '../suricata/ruleset-source.js';

/** How often every rule in quarantine is looked at again, ms: other hosts count hits too. */
const EVERY = 60_000;
/** How long alerts wait at the start for the rules file and for Redis to say which rules are new, ms. */
const PATIENCE = 10_000;
/** Rules in quarantine that left the file and are still watched for: the sensor may run them on. */
const LEFT_AT_MOST = 10_000;

export interface RuleQuarantineOptions {
  /** `null` when there is no quarantine. */
  readonly marks: () => QuarantineMarks | null;
  readonly source: Pick<RulesetSource, 'ruleset' | 'settling'>;
  readonly state: QuarantineState;
  readonly facts: Pick<Facts, 'isSuppressedSomewhere' | 'pardonedSids'>;
  /** Whether those facts were read: nothing is let out before. */
  readonly factsKnown: () => boolean;
  readonly connection: Pick<RedisConnection, 'onReady'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** A rule in quarantine, with the hits that Redis was not told of yet. */
interface Held extends RuleId, QuarantinedRule {
  readonly pending: number;
  readonly others: readonly number[];
}

/**
 * Keeps rules that an update brought from banning until they have the age, the
 * hits and the clean record that the configuration asks for. What is in
 * quarantine is in Redis, for the whole fleet; here are only the rules of this
 * host's file that are. What is not known yet counts as being in quarantine.
 */
export class RuleQuarantine implements Service {
  readonly name = 'rule quarantine';
  readonly #o: RuleQuarantineOptions;
  readonly #runner: BoundedRunner;
  readonly #complaints: RateLimitedLog;
  /** By `gid:sid:rev`. */
  readonly #held = new Map<string, Held>();
  /** By `gid:sid`: revisions beside the one in the file that may ban although that may not. */
  readonly #others = new Map<string, readonly number[]>();
  readonly #changed = new Set<string>();
  /** The rules that Redis was told of. */
  #entered: Ruleset | null = null;
  #startedAt = Number.POSITIVE_INFINITY;
  #lastLook = Number.NEGATIVE_INFINITY;

  constructor(options: RuleQuarantineOptions) {
    this.#o = options;
    this.#complaints = new RateLimitedLog(options.log);
    this.#runner = new BoundedRunner({
      task: () => this.#run(),
      clock: options.clock,
      atLeast: 200,
      atMost: () => (this.#isBehind || this.#changed.size > 0 || !options.factsKnown() ? 1000 : EVERY),
      onError: (error) =>
        this.#complaints.warn('quarantine', { err: messageOf(error) }, 'it is not known yet which rules are new'),
    });
  }

  async start(): Promise<void> {
    this.#startedAt = this.#o.clock.monotonic();
    this.#o.connection.onReady(() => this.#runner.wake());
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
  }

  /** The rules file was read. */
  rulesRead(): void {
    this.#runner.wake();
  }

  /** Why alerts must wait, at the start only: what is known of the rules makes decisions milder. */
  get waitsFor(): string | null {
    if (this.#o.clock.monotonic() - this.#startedAt > PATIENCE) return null;
    if (this.#o.source.ruleset === null) return this.#o.source.settling ? 'the rules file is being read' : null;
    return this.#isBehind && this.#entered === null ? 'waiting for Redis to say which rules are new' : null;
  }

  /** `null` when there is no quarantine. */
  status(): { readonly rules: number; readonly waiting: string | null } | null {
    if (this.#o.marks() === null) return null;
    return { rules: this.#held.size, waiting: this.#isBehind ? 'Redis has not said yet which rules are new' : null };
  }

  /** Lets a decision through, or makes a ban a would-be ban; counts what the rule would have done. */
  admit(decision: Decision): Decision {
    if (decision.kind !== 'ban' && decision.kind !== 'would_ban') return decision;
    const marks = this.#o.marks();
    const rule = ruleIdOf(decision.ban);
    if (marks === null || rule === null) return decision;
    const id = idOf(rule);
    const held = this.#held.get(id);
    if (held !== undefined) {
      this.#held.set(id, { ...held, pending: held.pending + 1 });
      this.#changed.add(id);
      this.#runner.wake();
    }
    return withhold(decision, this.#standing(rule), marks, this.#o.clock.now());
  }

  #standing(rule: RuleId): RuleStanding {
    const { gid, sid, rev } = rule;
    const held = this.#held.get(idOf(rule));
    if (held !== undefined) {
      return { kind: 'quarantined', rule: { since: held.since, hits: held.hits + held.pending } };
    }
    const { ruleset, settling } = this.#o.source;
    const known = ruleset?.rule(gid, sid) ?? null;
    if (known === null) {
      return settling ? unknown('the rules file is being read, and may have this rule as a new one') : TRUSTED;
    }
    if (ruleset !== this.#entered && this.#entered?.rule(gid, sid)?.rev !== rev) {
      this.#runner.wake();
      return unknown('Redis has not said yet whether this rule is new');
    }
    if (rev > known.rev) return unknown(`the sensor runs revision ${rev}, the rules file has ${known.rev}`);
    const others = rev < known.rev ? this.#others.get(`${gid}:${sid}`) : undefined;
    if (others?.includes(rev) === false)
      return unknown(`revision ${rev} of this rule was never seen in the rules file`);
    return TRUSTED;
  }

  get #isBehind(): boolean {
    const { ruleset } = this.#o.source;
    return this.#o.marks() !== null && ruleset !== null && ruleset !== this.#entered;
  }

  async #run(): Promise<void> {
    const marks = this.#o.marks();
    const { ruleset } = this.#o.source;
    if (marks === null || ruleset === null) return;
    if (ruleset !== this.#entered) await this.#enter(ruleset);
    if (this.#o.factsKnown() && !(await this.#look(marks))) {
      // Redis was emptied: what is known here goes back, and the rest of the file is its new baseline.
      this.#entered = null;
      await this.#enter(ruleset);
    }
  }

  async #enter(ruleset: Ruleset): Promise<void> {
    const quarantined = await this.#o.state.enter([...ruleset.rules()], ruleset.path, [...this.#held.values()]);
    const left = new Map(this.#held);
    this.#held.clear();
    this.#others.clear();
    for (const rule of quarantined) {
      const id = idOf(rule);
      this.#hold(id, rule, left.get(id)?.pending ?? 0, rule.others);
      this.#others.set(`${rule.gid}:${rule.sid}`, rule.others);
      left.delete(id);
    }
    for (const [id, rule] of left) if (this.#held.size < quarantined.length + LEFT_AT_MOST) this.#held.set(id, rule);
    this.#entered = ruleset;
    this.#lastLook = Number.NEGATIVE_INFINITY;
    if (quarantined.length > 0) {
      this.#o.log.info({ rules: quarantined.length }, 'rules in quarantine: they are new, and only would ban');
    }
  }

  /** @returns `false` when Redis has lost what it knew */
  async #look(marks: QuarantineMarks): Promise<boolean> {
    const { clock, state, log } = this.#o;
    const isDue = clock.monotonic() - this.#lastLook >= EVERY;
    const ids = isDue ? [...this.#held.keys()] : [...this.#changed];
    if (ids.length === 0) return true;
    const pardoned = this.#o.facts.pardonedSids();
    const looked = ids.flatMap((id) => this.#held.get(id) ?? []);
    const states = await state.change(looked.map((rule) => this.#changeOf(rule, pardoned)));
    if (states === 'lost') return false;
    const passed: Held[] = [];
    looked.forEach((told, i) => {
      const id = idOf(told);
      const now = states[i] ?? null;
      const pending = (this.#held.get(id)?.pending ?? 0) - told.pending;
      if (pending <= 0) this.#changed.delete(id);
      if (now === null) this.#held.delete(id);
      else {
        const held = this.#hold(id, { ...told, ...now }, Math.max(0, pending), told.others);
        if (passes(held, marks, clock.now()) && !this.#isDisputed(held, pardoned)) passed.push(held);
      }
    });
    if (isDue) this.#lastLook = clock.monotonic();
    if (passed.length === 0) return true;
    const promoted = await state.change(
      passed.map((rule) => ({
        rule,
        what: 'promote',
        since: rule.since,
        why: `${rule.hits} hits, and none called wrong`,
      })),
    );
    if (promoted === 'lost') return false;
    passed.forEach((rule, i) => {
      if (promoted[i] !== null) return;
      this.#held.delete(idOf(rule));
      this.#others.delete(`${rule.gid}:${rule.sid}`);
      log.info({ rule: idOf(rule), hits: rule.hits }, 'a rule left quarantine: it may ban now');
    });
    return true;
  }

  /** Hits so far, or a new beginning for a rule that a person called wrong. */
  #changeOf(rule: Held, pardoned: ReadonlySet<number>): QuarantineChange {
    return this.#isDisputed(rule, pardoned) ? { rule, what: 'restart' } : { rule, what: 'hits', hits: rule.pending };
  }

  #isDisputed({ gid, sid }: RuleId, pardoned: ReadonlySet<number>): boolean {
    return pardoned.has(sid) || this.#o.facts.isSuppressedSomewhere(gid, sid);
  }

  #hold(
    id: string,
    { gid, sid, rev, since, hits }: RuleId & QuarantinedRule,
    pending: number,
    others: Quarantined['others'],
  ): Held {
    const held = { gid, sid, rev, since, hits, pending, others };
    this.#held.set(id, held);
    return held;
  }
}

function unknown(why: string): RuleStanding {
  return { kind: 'unknown', why };
}
