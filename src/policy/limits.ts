import type { Clock } from '../base/clock.js';
import type { Decision } from './ban.js';

const MINUTE = 60_000;
/** How long both figures must stay below their limits before automatic bans go on. */
const CALM = 10 * MINUTE;

/** Fewer new bans in a minute say nothing about their share of known good clients. */
const ENOUGH_FOR_A_SHARE = 10;

export type LimitName = 'new_bans_per_minute' | 'total_bans' | 'known_good_share';

export interface LimitsOptions {
  readonly newBansPerMinute: number;
  readonly totalBans: number;
  /** Share (0..1) of a minute's new bans that may be known good clients; `null` = any. */
  readonly knownGoodShare: number | null;
  readonly whenReached: 'stop_and_alert' | 'alert';
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Whether this prefix (canonical text) is banned now: its alerts are no new bans. */
  readonly isBanned: (prefix: string) => boolean;
  /** Entries in the blocklist now. */
  readonly total: () => number;
  /** Whether this address was a well-behaved client lately; `null` while nothing tells: the share is then not limited. */
  readonly isKnownGood: ((prefix: string) => boolean) | null;
  /** Called once when a limit is reached, and not again before bans went on. */
  readonly onReached?: (limit: LimitName, why: string) => void;
}

export interface LimitState {
  /** The limit that was reached, or `null` while all is below. */
  readonly reached: LimitName | null;
  /** What that means, for people. */
  readonly why: string | null;
  /** How long ago it was reached, ms. */
  readonly since: number;
  /** Different addresses that were, or would have been, newly banned within the last minute; counted up to one over the limit. */
  readonly lastMinute: number;
  /** Share of those that are known good clients; `unknown` when nothing tells who is. */
  readonly knownGoodShare: number | 'unknown';
}

interface Newcomer {
  readonly at: number;
  readonly isKnownGood: boolean;
  /** Let through; its further alerts are no new bans, also before the store has it. */
  readonly admitted: boolean;
}

/**
 * The last brake on automatic bans. When more new addresses than allowed come
 * within a minute, or too many of them are known good clients, or the blocklist
 * is full, something is wrong (a bad rule, a forged flood) and automatic bans
 * stop: what follows is recorded as would-be bans, until ten minutes have passed
 * below all limits or somebody resets. With `when_reached: alert` bans go on, and
 * only the alarm is raised. Bans by hand never come here. Memory is bounded by
 * the limit itself.
 */
export class BanLimits {
  readonly #o: LimitsOptions;
  /** What came as new within the last minute, oldest first. */
  readonly #recent = new Map<string, Newcomer>();
  /** How many of those are known good clients. */
  #good = 0;
  #reached: LimitName | null = null;
  #reachedAt = 0;
  #lastOver = 0;

  constructor(options: LimitsOptions) {
    this.#o = options;
  }

  get state(): LimitState {
    const now = this.#settle();
    const reached = this.#reached;
    return {
      reached,
      why: reached === null ? null : this.#why(reached),
      since: reached === null ? 0 : now - this.#reachedAt,
      lastMinute: this.#recent.size,
      knownGoodShare: this.#o.isKnownGood === null ? 'unknown' : this.#good / Math.max(1, this.#recent.size),
    };
  }

  /**
   * Lets a ban through, or makes it a would-be ban with the cause. An address
   * that is banned already, or was let through within this minute, is not new;
   * its ban goes on being extended while others are stopped.
   */
  admit(decision: Decision): Decision {
    if (decision.kind !== 'ban') return decision;
    const { ban } = decision;
    const now = this.#settle();
    if (this.#o.isBanned(ban.prefix) || this.#recent.get(ban.prefix)?.admitted) return decision;
    const isKnownGood = this.#o.isKnownGood?.(ban.prefix) ?? false;
    this.#count(ban.prefix, { at: now, isKnownGood, admitted: false });
    const over = this.#over();
    if (over !== null) {
      this.#lastOver = now;
      if (this.#reached === null) this.#reach(over, now);
    }
    if (this.#reached === null || this.#o.whenReached === 'alert') {
      this.#count(ban.prefix, { at: now, isKnownGood, admitted: true });
      return decision;
    }
    const why = this.#why(this.#reached);
    const steps = [...decision.steps, { check: 'limits', result: this.#reached, detail: why }];
    return { kind: 'would_ban', ban, why, candidate: decision.candidate, steps };
  }

  /** Lets automatic bans go on at once: `barricata mode enforce`. */
  reset(): void {
    this.#reached = null;
    this.#recent.clear();
    this.#good = 0;
  }

  #reach(limit: LimitName, now: number): void {
    this.#reached = limit;
    this.#reachedAt = now;
    this.#o.onReached?.(limit, this.#why(limit));
  }

  #count(prefix: string, newcomer: Newcomer): void {
    this.#forget(prefix);
    this.#recent.set(prefix, newcomer);
    if (newcomer.isKnownGood) this.#good += 1;
    if (this.#recent.size > this.#o.newBansPerMinute + 1) {
      this.#forget(this.#recent.keys().next().value as string);
    }
  }

  #forget(prefix: string): void {
    if (this.#recent.get(prefix)?.isKnownGood) this.#good -= 1;
    this.#recent.delete(prefix);
  }

  #over(): LimitName | null {
    const { newBansPerMinute, totalBans, knownGoodShare } = this.#o;
    const { size } = this.#recent;
    if (size > newBansPerMinute) return 'new_bans_per_minute';
    if (knownGoodShare !== null && size >= ENOUGH_FOR_A_SHARE && this.#good / size > knownGoodShare) {
      return 'known_good_share';
    }
    return this.#o.total() >= totalBans ? 'total_bans' : null;
  }

  /** Forgets what is over a minute old, and ends the stop when it was calm for long enough. */
  #settle(): number {
    const now = this.#o.clock.monotonic();
    for (const [prefix, { at }] of this.#recent) {
      if (now - at < MINUTE) break;
      this.#forget(prefix);
    }
    if (this.#reached !== null) {
      if (this.#over() !== null) this.#lastOver = now;
      else if (now - this.#lastOver >= CALM) this.#reached = null;
    }
    return now;
  }

  #why(limit: LimitName): string {
    const { newBansPerMinute, totalBans, knownGoodShare, whenReached } = this.#o;
    const figure = {
      new_bans_per_minute: newBansPerMinute,
      total_bans: totalBans,
      known_good_share: `${Math.round((knownGoodShare ?? 1) * 100)}%`,
    }[limit];
    const what =
      whenReached === 'alert'
        ? 'automatic bans go on, as when_reached says'
        : 'automatic bans stop until 10 minutes below it, or `barricata mode enforce`';
    return `limits.${limit} ${figure} was reached: ${what}`;
  }
}
