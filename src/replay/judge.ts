import type { EpochMs } from '../base/clock.js';
import type { Config } from '../config/config.js';
import type { Decision } from '../policy/ban.js';
import { contextOf, type DecisionContext } from '../policy/context.js';
import { decide } from '../policy/decide.js';
import { BanLimits } from '../policy/limits.js';
import { PolicyMemory } from '../policy/memory.js';
import { PastBans } from '../policy/past-bans.js';
import { admitted } from '../policy/repeat.js';
import { admits, type ProtectionFacts } from '../protection/admits.js';
import { nextExpiry, protectionFacts } from '../protection/facts.js';
import { isInfrastructure } from '../protection/infrastructure.js';
import type { EveAlert } from '../suricata/eve-alert.js';
import { BanTable } from './ban-table.js';
import { FlagTable } from './flag-table.js';
import { NewRules } from './new-rules.js';
import { SignatureTally } from './signature-tally.js';

/** Addresses and networks whose earlier bans are remembered, so that a further one lasts longer. */
const OFFENDERS = 20_000;

/** Alerts by what was decided about them. */
export type Tally = Readonly<Record<Decision['kind'], number>>;

/**
 * Decides alerts as the daemon would with one configuration, with the clock of
 * the alerts themselves. Neither this machine nor what Redis holds has a say:
 * the mode is `enforce`, no address is this machine's own, nobody is allowed,
 * pardoned or banned before the first alert.
 */
export class Judge {
  readonly config: Config;
  readonly bans = new BanTable();
  readonly wouldBans = new BanTable();
  readonly flags = new FlagTable();
  readonly signatures = new SignatureTally();
  readonly #tally: Record<Decision['kind'], number> = { ban: 0, would_ban: 0, flag: 0, note: 0, ignore: 0, refused: 0 };
  readonly #limits: BanLimits;
  readonly #newRules: NewRules | null;
  readonly #memory = new PolicyMemory();
  readonly #past = new PastBans(OFFENDERS);
  readonly #context: { -readonly [Key in keyof DecisionContext]: DecisionContext[Key] };
  #facts: ProtectionFacts;
  /** When a listed network stops being protected, so that the facts are made anew. */
  #factsFrom: EpochMs = Number.NEGATIVE_INFINITY;
  #factsUntil: EpochMs = Number.NEGATIVE_INFINITY;
  /** The latest time seen: the clock of the limits only ever goes forward. */
  #latest: EpochMs = Number.NEGATIVE_INFINITY;

  /**
   * @param ruleFacts what the texts of the rules say, where rules were given
   * @param newRules whether every rule that was given is taken for new, as after an update
   */
  constructor(config: Config, ruleFacts: DecisionContext['ruleFacts'], newRules = false) {
    this.config = config;
    const marks = newRules ? config.quarantine : null;
    this.#newRules = marks === null ? null : new NewRules(marks, (sid, gid) => ruleFacts(sid, gid) !== null);
    this.#facts = protectionFacts(config, [], null, Number.NEGATIVE_INFINITY);
    this.#context = {
      ...contextOf(config, {
        now: 0,
        mode: 'enforce',
        refuse: (prefix) => admits(prefix, this.#facts),
        isInfrastructure: (prefix) => isInfrastructure(prefix) !== null,
        ruleFacts,
      }),
    };
    this.#limits = new BanLimits({
      newBansPerMinute: config.limits.newBansPerMinute,
      totalBans: config.limits.totalBans,
      knownGoodShare: config.limits.knownGoodShare,
      whenReached: config.limits.whenReached,
      clock: { monotonic: () => this.#latest },
      isBanned: (prefix) => this.bans.isBanned(prefix, this.#latest),
      total: () => this.bans.living(this.#latest, config.limits.totalBans),
      // Who was a good client before the first record, nobody knows.
      isKnownGood: null,
    });
  }

  get tally(): Tally {
    return this.#tally;
  }

  judge(alert: EveAlert): Decision {
    if (alert.at > this.#latest) this.#latest = alert.at;
    if (alert.at < this.#factsFrom || alert.at >= this.#factsUntil) this.#protectAt(alert.at);
    this.#context.now = alert.at;
    const asked = decide(alert, this.#context, this.#memory);
    const kept = this.#newRules?.admit(asked, alert.at) ?? asked;
    const decision = admitted(kept, this.#past, this.#context, this.#limits);
    this.#tally[decision.kind] += 1;
    this.signatures.add(alert, decision);
    if (decision.kind === 'ban') this.bans.add(decision.ban, alert.at);
    else if (decision.kind === 'would_ban') this.wouldBans.add(decision.ban, alert.at, decision.why);
    else if (decision.kind === 'flag') this.flags.add(decision, alert.at);
    return decision;
  }

  /** Listed networks protect until a day of their own, which is compared with the time of the alert. */
  #protectAt(at: EpochMs): void {
    this.#facts = protectionFacts(this.config, [], null, at);
    this.#factsFrom = at;
    this.#factsUntil = nextExpiry(this.config, at) ?? Number.POSITIVE_INFINITY;
  }
}
