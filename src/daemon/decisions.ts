import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { Counters } from '../base/counters.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import { BlocklistError } from '../blocklist/errors.js';
import type { Offences } from '../blocklist/offences.js';
import type { CommitOutcome, Store } from '../blocklist/store.js';
import type { Detection } from '../filter/detection.js';
import type { Decided } from '../history/alert-row.js';
import type { Decision, Outcome } from '../policy/ban.js';
import type { DecisionContext } from '../policy/context.js';
import { decide } from '../policy/decide.js';
import { decideDetection } from '../policy/decide-detection.js';
import type { BanLimits } from '../policy/limits.js';
import { PolicyMemory } from '../policy/memory.js';
import { Batch } from '../policy/merge.js';
import { PastBans } from '../policy/past-bans.js';
import { admitted, offendersIn } from '../policy/repeat.js';
import type { EveAlert, EveBatch } from '../suricata/eve-alert.js';
import type { RecentDecisions } from './recent-decisions.js';
import type { RuleQuarantine } from './rule-quarantine.js';

/** Detections that wait for Redis; beyond, the oldest is given up and counted: the filter drops its packets anyway. */
const DETECTIONS_AT_MOST = 10_000;
const DETECTIONS_AT_ONCE = 256;
/** A repeated alert of a banned address is one incident: it was told when the ban was stored. */
const SILENT: ReadonlySet<CommitOutcome> = new Set(['extended', 'counted', 'unchanged', 'duplicate']);

/** How far a source was read. */
interface Position {
  readonly source: string;
  readonly value: string;
}

/** Decisions as they were stored, and what became of each effect, by `effectOf`. */
interface Stored {
  readonly decided: readonly Decision[];
  readonly outcomes: ReadonlyMap<string, CommitOutcome>;
}

export interface DecisionsOptions {
  readonly context: () => DecisionContext;
  readonly quarantine: Pick<RuleQuarantine, 'admit'>;
  readonly limits: BanLimits;
  readonly store: Pick<Store, 'commit' | 'commitIfNew'>;
  /** Whether this prefix (canonical text) is banned now. */
  readonly isBanned: (prefix: string) => boolean;
  readonly offences: Pick<Offences, 'read'>;
  readonly recent: RecentDecisions;
  /** Takes everything that was decided and stored; never throws. */
  readonly history: { add(decided: Decided): void };
  /** Why nothing may be decided and stored now; `null` when it may. What was seen waits. */
  readonly waitsFor: () => string | null;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Where the alert path and the packet path meet the ban path: what was seen is
 * decided, what was decided is stored together with the position it was read up to.
 */
export class Decisions implements Service {
  readonly name = 'decisions';
  /** By kind of decision: ban, would_ban, flag, note, ignore, refused. */
  readonly counts = new Counters();
  /** By cause, of refused ones. */
  readonly refused = new Counters();
  /** By detector. */
  readonly detections = new Counters();
  readonly outcomes = new Counters<CommitOutcome>();
  /** What deciding remembers of earlier alerts. */
  readonly memory = new PolicyMemory();
  readonly #o: DecisionsOptions;
  readonly #waiting: Detection[] = [];
  readonly #complaints: RateLimitedLog;
  readonly #runner: BoundedRunner;

  constructor(options: DecisionsOptions) {
    this.#o = options;
    this.#complaints = new RateLimitedLog(options.log);
    this.#runner = new BoundedRunner({
      task: () => this.#storeDetections(),
      clock: options.clock,
      atLeast: 2,
      atMost: () => (this.#waiting.length > 0 ? 1000 : 60_000),
      onError: (error) =>
        this.#complaints.warn('detections', { err: messageOf(error) }, 'detections could not be stored yet'),
    });
  }

  async start(): Promise<void> {
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
  }

  /**
   * Decides and stores one batch of alerts.
   * @throws BlocklistError when nothing of it was stored; the same batch is then given again
   */
  async onBatch(batch: EveBatch): Promise<void> {
    const reason = this.#o.waitsFor();
    if (reason !== null) throw new BlocklistError('store decisions', 'refused', reason);
    const context = { ...this.#o.context(), now: this.#o.clock.now() };
    const first = batch.alerts.map((alert) => this.#o.quarantine.admit(decide(alert, context, this.memory)));
    const { source, position } = batch;
    const at = position === null ? null : { source, value: position };
    const { decided, outcomes } =
      (await this.#storeAsNew(first, at, context)) ?? (await this.#store(first, at, context));
    const { policyVersion } = context;
    decided.forEach((decision, i) => {
      this.#remember(decision, nameOf(batch.alerts[i] as EveAlert));
      const alert = batch.alerts[i] ?? null;
      const outcome = outcomes.get(effectOf(decision)) ?? 'none';
      this.#o.history.add({ alert, detection: null, decision, outcome, policyVersion });
    });
  }

  /**
   * Most attackers are new, and the store tells when one is not: that spares
   * asking it first, which every new attacker would wait for.
   * @returns `null` when somebody was banned before, so that nothing was stored
   */
  async #storeAsNew(
    first: readonly Decision[],
    position: Position | null,
    context: DecisionContext,
  ): Promise<Stored | null> {
    if (first.some((one) => one.kind === 'ban' && this.#o.isBanned(one.ban.prefix))) return null;
    const past = new PastBans(Math.max(1, first.length));
    const decided = first.map((one) => admitted(one, past, context, this.#o.limits));
    const decisions = effectsOf(decided);
    const outcomes = await this.#o.store.commitIfNew({ decisions, position });
    return outcomes && { decided, outcomes: this.#settle(decided, decisions, outcomes) };
  }

  async #store(first: readonly Decision[], position: Position | null, context: DecisionContext): Promise<Stored> {
    const past = await this.#o.offences.read(offendersIn(first));
    const decided = first.map((one) => admitted(one, past, context, this.#o.limits));
    return { decided, outcomes: await this.#commit(decided, position) };
  }

  /** Takes a detection of the packet filter; never blocks and never fails. */
  onDetection(detection: Detection): void {
    this.detections.add(detection.detector);
    if (this.#waiting.length >= DETECTIONS_AT_MOST) {
      this.#waiting.shift();
      this.counts.add('given_up');
    }
    this.#waiting.push(detection);
    this.#runner.wake();
  }

  async #storeDetections(): Promise<void> {
    while (this.#waiting.length > 0 && this.#o.waitsFor() === null) {
      const batch = this.#waiting.slice(0, DETECTIONS_AT_ONCE);
      const context = { ...this.#o.context(), now: this.#o.clock.now() };
      const first = batch.map((detection) => decideDetection(detection, context));
      const { decided, outcomes } = await this.#store(first, null, context);
      this.#waiting.splice(0, batch.length);
      const { policyVersion } = context;
      decided.forEach((decision, i) => {
        const detection = batch[i] as Detection;
        this.#remember(decision, detection.detector);
        const outcome = outcomes.get(effectOf(decision)) ?? 'none';
        this.#o.history.add({ alert: null, detection, decision, outcome, policyVersion });
      });
    }
  }

  async #commit(decided: readonly Decision[], position: Position | null): Promise<Stored['outcomes']> {
    const decisions = effectsOf(decided);
    return this.#settle(decided, decisions, await this.#o.store.commit({ decisions, position }));
  }

  /** Counts and says what became of a batch. @returns the outcome of each effect, by `effectOf` */
  #settle(
    decided: readonly Decision[],
    decisions: readonly Decision[],
    outcomes: readonly CommitOutcome[],
  ): Stored['outcomes'] {
    for (const decision of decided) {
      this.counts.add(decision.kind);
      if (decision.kind === 'refused') {
        this.refused.add(decision.cause);
        this.#say(decision, 'none');
      }
    }
    const became = new Map<string, CommitOutcome>();
    decisions.forEach((decision, i) => {
      const outcome = outcomes[i] ?? 'none';
      if (outcome !== 'none') this.outcomes.add(outcome);
      this.#say(decision, outcome);
      became.set(effectOf(decision), outcome);
    });
    return became;
  }

  #remember(decision: Decision, about: string): void {
    if (decision.candidate === null) return;
    this.#o.recent.add(decision.candidate, {
      at: this.#o.clock.now(),
      kind: decision.kind,
      about,
      steps: decision.steps,
    });
  }

  /** One log line for what changes something; the rest is counted. */
  #say(decision: Outcome, outcome: CommitOutcome): void {
    const { log } = this.#o;
    if (decision.kind === 'ban') {
      if (SILENT.has(outcome)) return;
      const { prefix, until, record } = decision.ban;
      const ends = until === Number.POSITIVE_INFINITY ? null : new Date(until).toISOString();
      const { sid, reason, policy, proof, scope } = record;
      log.info({ address: prefix, until: ends, sid, reason, policy, proof, scope, outcome }, `ban ${outcome}`);
    } else if (decision.kind === 'flag') {
      const { inside, outside, sid, why } = decision;
      this.#complaints.warn(
        `flag ${inside} ${sid}`,
        { inside, outside, sid, why },
        'flag: an inside address needs a look',
      );
    } else if (decision.kind === 'refused') {
      const { prefix, cause, why } = decision;
      this.#complaints.warn(
        `refused ${prefix}`,
        { address: prefix, cause, why },
        'an automatic ban was refused by a protection',
      );
    }
  }
}

/** What a batch of decisions asks the store for. */
function effectsOf(decided: readonly Decision[]): Decision[] {
  const batch = new Batch();
  for (const decision of decided) batch.add(decision);
  const { bans, wouldBans, flags } = batch.take();
  const effects: Outcome[] = [
    ...bans.map((ban) => ({ kind: 'ban' as const, ban })),
    ...wouldBans.map(({ why, ...ban }) => ({ kind: 'would_ban' as const, ban, why })),
    ...flags.map((flag) => ({ kind: 'flag' as const, ...flag })),
  ];
  return effects.map((outcome) => ({ ...outcome, candidate: null, steps: [] }));
}

/** What decisions of one batch that ask for the same thing have in common; '' when nothing is asked for. */
function effectOf(decision: Outcome): string {
  if (decision.kind === 'flag') return `flag ${decision.inside} ${decision.outside} ${decision.sid}`;
  if (decision.kind !== 'ban' && decision.kind !== 'would_ban') return '';
  const { prefix, record } = decision.ban;
  const subject = record.sid === null ? record.policy : `${record.gid}:${record.sid}`;
  return `${decision.kind} ${record.scope} ${prefix} ${subject}`;
}

function nameOf({ sid, signature }: EveAlert): string {
  return `sid ${sid} ${signature}`.trimEnd();
}
