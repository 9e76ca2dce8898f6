import type { EpochMs } from '../base/clock.js';
import type { Ban, BanRecord } from '../policy/ban.js';

/** Addresses that are listed one by one; more are counted. */
const ADDRESSES = 20_000;
/** Separate bans kept of one address; what follows lengthens the last. */
const PERIODS = 500;

/** One ban of an address: from the alert that made it until its end, alerts in between having lengthened it. */
export interface Period {
  readonly from: EpochMs;
  until: EpochMs;
}

/** What a policy does to one address, or network where it bans networks. */
export interface BannedAddress {
  /** Canonical prefix text. */
  readonly prefix: string;
  /** Of the alert that made the first ban. */
  readonly cause: Pick<
    BanRecord,
    'gid' | 'sid' | 'rev' | 'signature' | 'category' | 'policy' | 'target' | 'resolved_by' | 'proof' | 'scope'
  >;
  /** Why it is only what would be banned; `null` for a ban. */
  readonly why: string | null;
  /** One of its bans at least rests on proof. */
  proven: boolean;
  /** Alerts that asked for the ban. */
  alerts: number;
  readonly periods: Period[];
}

/** The addresses that one policy bans in a replay, in the order of their first ban. */
export class BanTable {
  readonly #rows = new Map<string, BannedAddress>();
  readonly #most: number;
  /** Alerts that asked for a ban of an address for which there was no room. */
  unlisted = 0;
  #living = 0;
  #countedAt: EpochMs = Number.NEGATIVE_INFINITY;

  constructor(most = ADDRESSES) {
    this.#most = most;
  }

  get size(): number {
    return this.#rows.size;
  }

  get(prefix: string): BannedAddress | undefined {
    return this.#rows.get(prefix);
  }

  values(): Iterable<BannedAddress> {
    return this.#rows.values();
  }

  isBanned(prefix: string, at: EpochMs): boolean {
    const last = this.#rows.get(prefix)?.periods.at(-1);
    return last !== undefined && at < last.until;
  }

  /**
   * Bans that have not ended, for a limit.
   * @param limit below it nothing is looked up; from it on the bans are counted each minute of the events' time
   */
  living(at: EpochMs, limit: number): number {
    if (this.#rows.size < limit) return this.#rows.size;
    if (at - this.#countedAt >= 60_000) {
      this.#countedAt = at;
      this.#living = 0;
      for (const { prefix } of this.#rows.values()) if (this.isBanned(prefix, at)) this.#living += 1;
    }
    return this.#living;
  }

  /** @param at the time of the alert, from which on packets would have been dropped */
  add({ prefix, until, record, proven }: Ban, at: EpochMs, why: string | null = null): void {
    const row = this.#rows.get(prefix);
    if (row === undefined) {
      if (this.#rows.size >= this.#most) {
        this.unlisted += 1;
        return;
      }
      const { gid, sid, rev, signature, category, policy, target, resolved_by, proof, scope } = record;
      const cause = { gid, sid, rev, signature, category, policy, target, resolved_by, proof, scope };
      this.#rows.set(prefix, { prefix, cause, why, proven, alerts: 1, periods: [{ from: at, until }] });
      this.#living += 1;
      return;
    }
    row.alerts += 1;
    row.proven ||= proven;
    const last = row.periods.at(-1) as Period;
    if (at <= last.until || row.periods.length >= PERIODS) last.until = Math.max(last.until, until);
    else {
      row.periods.push({ from: at, until });
      this.#living += 1;
    }
  }
}
