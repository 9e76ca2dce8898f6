import type { Clock } from '../base/clock.js';
import type { Decision } from './ban.js';

const MINUTE = 60_000;
/** How long both figures must stay below their limits before automatic bans go on. */
const CALM = 10 * MINUTE;

export type LimitName = 'new_bans_per_minute' | 'total_bans';

export interface LimitsOptions {
  readonly newBansPerMinute: number;
  readonly totalBans: number;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Whether this prefix (canonical text) is banned now: its alerts are no new bans. */
  readonly isBanned: (prefix: string) => boolean;
  /** Entries in the blocklist now. */
  readonly total: () => number;
}

export interface LimitState {
  /** The limit that stopped automatic bans, or `null` while they go on. */
  readonly reached: LimitName | null;
  /** Different addresses that were, or would have been, newly banned within the last minute; counted up to one over the limit. */
  readonly lastMinute: number;
}

interface Newcomer {
  readonly at: number;
  /** Let through; its further alerts are no new bans, also before the store has it. */
  readonly admitted: boolean;
}

/**
 * The last brake on automatic bans. When more new addresses than allowed come
 * within a minute, or the blocklist is full, something is wrong (a bad rule, a
 * forged flood) and automatic bans stop: what follows is recorded as would-be
 * bans, until ten minutes have passed below both limits or somebody resets.
 * Bans by hand never come here. Memory is bounded by the limit itself.
 */
export class BanLimits {
  readonly #o: LimitsOptions;
  /** What came as new within the last minute, oldest first. */
  readonly #recent = new Map<string, Newcomer>();
  #reached: LimitName | null = null;
  #lastOver = 0;

  constructor(options: LimitsOptions) {
    this.#o = options;
  }

  get state(): LimitState {
    this.#settle();
    return { reached: this.#reached, lastMinute: this.#recent.size };
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
    this.#count(ban.prefix, { at: now, admitted: false });
    const over = this.#over();
    if (over !== null) {
      this.#lastOver = now;
      this.#reached ??= over;
    }
    if (this.#reached === null) {
      this.#count(ban.prefix, { at: now, admitted: true });
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
  }

  #count(prefix: string, newcomer: Newcomer): void {
    this.#recent.delete(prefix);
    this.#recent.set(prefix, newcomer);
    if (this.#recent.size > this.#o.newBansPerMinute + 1) {
      this.#recent.delete(this.#recent.keys().next().value as string);
    }
  }

  #over(): LimitName | null {
    if (this.#recent.size > this.#o.newBansPerMinute) return 'new_bans_per_minute';
    return this.#o.total() >= this.#o.totalBans ? 'total_bans' : null;
  }

  /** Forgets what is over a minute old, and ends the stop when it was calm for long enough. */
  #settle(): number {
    const now = this.#o.clock.monotonic();
    for (const [prefix, { at }] of this.#recent) {
      if (now - at < MINUTE) break;
      this.#recent.delete(prefix);
    }
    if (this.#reached !== null) {
      if (this.#over() !== null) this.#lastOver = now;
      else if (now - this.#lastOver >= CALM) this.#reached = null;
    }
    return now;
  }

  #why(limit: LimitName): string {
    const figure =
      limit === 'total_bans' ? `total_bans ${this.#o.totalBans}` : `new_bans_per_minute ${this.#o.newBansPerMinute}`;
    return `limits.${figure} was reached: automatic bans stop until 10 minutes below it, or \`barricata mode enforce\``;
  }
}
