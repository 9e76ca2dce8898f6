import type { EpochMs, Seconds } from '../base/clock.js';
import type { Decision } from '../policy/ban.js';
import type { EveAlert } from '../suricata/eve-alert.js';
import type { BannedAddress } from './ban-table.js';
import type { Judge } from './judge.js';

const REASONS = 20_000;

/** An address that only one of two policies bans. */
export interface OnlyHere {
  readonly address: string;
  /** What the other policy makes of the alert that bans it here. */
  readonly why: string;
}

export interface Difference {
  /** Banned by the candidate, not by the present policy. */
  readonly added: readonly OnlyHere[];
  /** Banned by the present policy, no longer by the candidate. */
  readonly removed: readonly OnlyHere[];
  /** Banned by both, for another length of time in all; seconds, `Infinity` = for good. */
  readonly changed: readonly { readonly address: string; readonly before: Seconds; readonly after: Seconds }[];
}

/** Two policies over the same alerts: which addresses they treat differently, and why. */
export class Comparison {
  readonly #candidate: Judge;
  readonly #present: Judge;
  /** By address: what the other policy said when one of the two banned it first. */
  readonly #reasons = new Map<string, string>();

  constructor(candidate: Judge, present: Judge) {
    this.#candidate = candidate;
    this.#present = present;
  }

  /** Takes what both decided about one alert. */
  add(alert: EveAlert, candidate: Decision, present: Decision): void {
    if (candidate.kind === present.kind) return;
    if (candidate.kind === 'ban') this.#remember(candidate.ban.prefix, present, alert);
    else if (present.kind === 'ban') this.#remember(present.ban.prefix, candidate, alert);
  }

  result(): Difference {
    const added = this.#only(this.#candidate, this.#present);
    const removed = this.#only(this.#present, this.#candidate);
    const changed: { address: string; before: Seconds; after: Seconds }[] = [];
    for (const row of this.#candidate.bans.values()) {
      const other = this.#present.bans.get(row.prefix);
      if (other === undefined) continue;
      const before = bannedFor(other);
      const after = bannedFor(row);
      if (before !== after) changed.push({ address: row.prefix, before, after });
    }
    return { added, removed, changed };
  }

  #only(here: Judge, there: Judge): OnlyHere[] {
    const only: OnlyHere[] = [];
    for (const { prefix } of here.bans.values()) {
      if (there.bans.get(prefix) !== undefined) continue;
      only.push({ address: prefix, why: this.#reasons.get(prefix) ?? 'it bans another network around it' });
    }
    return only;
  }

  #remember(prefix: string, other: Decision, alert: EveAlert): void {
    if (this.#reasons.has(prefix) || this.#reasons.size >= REASONS || other.kind === 'ban') return;
    this.#reasons.set(prefix, `sid ${alert.sid}: ${spoken[other.kind]}, ${other.why}`);
  }
}

const spoken: Readonly<Record<Exclude<Decision['kind'], 'ban'>, string>> = {
  would_ban: 'would ban',
  flag: 'flagged',
  note: 'noted',
  ignore: 'ignored',
  refused: 'refused',
};

/** How long an address is banned in all. */
export function bannedFor({ periods }: Pick<BannedAddress, 'periods'>): Seconds {
  return periods.reduce((sum, { from, until }: { from: EpochMs; until: EpochMs }) => sum + (until - from) / 1000, 0);
}
