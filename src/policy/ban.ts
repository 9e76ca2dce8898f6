/**
 * policy: from what was seen to what is done. `attribution` finds who the
 * attacker is, `evidence` whether that is proven, `decide` asks the policy lines
 * and gives a `Decision`. All pure; time and facts are arguments.
 */
import type { EpochMs, Seconds } from '../base/clock.js';
import type { RefusalCause } from '../protection/admits.js';

export type BanSource = 'suricata' | 'filter' | 'manual' | 'import';
export type BanFrom = 'cli' | 'console' | 'api' | 'redis' | 'daemon';
export type Role = 'inbound' | 'outbound' | 'lateral' | 'unknown';
export type Proof = 'app' | 'flow' | 'conntrack';

/** The ban of a client behind a proxy: other hosts may meet its packets, this one does not. */
export const NO_EFFECT = 'none at layer 3';

/** Everything known about one ban; stored as the JSON value of its key (CONTRACT section 3). */
export interface BanRecord {
  readonly v: 1;
  readonly reason: string;
  readonly source: BanSource;
  readonly sid: number | null;
  readonly gid: number | null;
  readonly rev: number | null;
  readonly signature: string | null;
  readonly category: string | null;
  /** Name of the policy line or the detector. */
  readonly policy: string | null;
  readonly policy_version: string | null;
  readonly host: string | null;
  readonly sensor: string | null;
  readonly scope: 'fleet' | 'host';
  readonly role: Role | null;
  readonly resolved_by: string | null;
  readonly proof: Proof | null;
  /** Set when our own packets carry another address (a proxy's), so that this ban drops none of them here. */
  readonly effect?: typeof NO_EFFECT;
  /** The address that was attacked. */
  readonly target: string | null;
  readonly flow_id: number | null;
  readonly by: string | null;
  readonly from: BanFrom;
  readonly ticket: string | null;
  readonly import: string | null;
  /** ISO 8601 UTC. */
  readonly first: string;
  readonly last: string;
  readonly count: number;
  /** Bans of the same offender that were made before, where there were any. */
  readonly earlier_bans?: number;
  /** The attacking address, where its whole /64 is banned. */
  readonly widened_from?: string;
}

/** An automatic ban, ready to be stored. */
export interface Ban {
  /** Canonical prefix text. */
  readonly prefix: string;
  readonly until: EpochMs;
  readonly record: BanRecord;
  /** When the flow that carried the evidence began; a pardon is lifted only by a later one. */
  readonly flowStart: EpochMs | null;
  readonly proven: boolean;
  /** Whom this ban counts against later, and for how long; left out where it does not count. */
  readonly offence?: { readonly offender: string; readonly keepFor: Seconds };
}

/** One check that a decision went through, in order; `why` shows them. */
export interface Step {
  readonly check: string;
  readonly result: string;
  readonly detail: string;
}

/** What is done about one alert or detection. */
export type Outcome =
  | { readonly kind: 'ban'; readonly ban: Ban }
  | { readonly kind: 'would_ban'; readonly ban: Ban; readonly why: string }
  | {
      readonly kind: 'flag';
      readonly inside: string;
      readonly outside: string;
      readonly sid: number;
      readonly why: string;
      /** Alerts that this flag stands for; 1 unless given. */
      readonly count?: number;
    }
  | { readonly kind: 'note'; readonly why: string }
  | { readonly kind: 'ignore'; readonly why: string }
  /** A protection refused what the policy asked for. */
  | { readonly kind: 'refused'; readonly prefix: string; readonly cause: RefusalCause; readonly why: string };

/** An outcome with how it came about. */
export type Decision = Outcome & {
  /** The address that was judged, canonical; `null` when none was found. */
  readonly candidate: string | null;
  readonly steps: readonly Step[];
};
