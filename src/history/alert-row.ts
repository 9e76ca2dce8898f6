import { type EpochMs, FOREVER } from '../base/clock.js';
import type { CommitOutcome } from '../blocklist/store.js';
import type { Detection } from '../filter/detection.js';
import type { Decision, Step } from '../policy/ban.js';
import type { EveAlert } from '../suricata/eve-alert.js';

export type DecisionKind = Decision['kind'];

/** In the order of their bits in an index; only ever append. */
export const KINDS: readonly DecisionKind[] = ['ban', 'would_ban', 'flag', 'note', 'ignore', 'refused'];

/** In the order of their numbers in a block; only ever append. */
export const OUTCOMES: readonly CommitOutcome[] = [
  'none',
  'stored',
  'extended',
  'unchanged',
  'pardoned',
  'suppressed',
  'wrong_type',
  'duplicate',
  'offline',
];

/** Something that was seen, what was decided about it, and what the blocklist made of that. */
export interface Decided {
  /** What was seen: exactly one of the two. */
  readonly alert: EveAlert | null;
  readonly detection: Detection | null;
  readonly decision: Decision;
  readonly outcome: CommitOutcome;
  /** Of the policy in force, 12 hex digits. */
  readonly policyVersion: string;
}

/**
 * One row of history: all that was seen, within a few seconds, of the same
 * signature between the same two ends with the same decision. The alert and the
 * steps are those of the first.
 */
export interface AlertRow {
  readonly first: EpochMs;
  readonly last: EpochMs;
  readonly count: number;
  readonly kind: DecisionKind;
  readonly outcome: CommitOutcome;
  /** The address that was judged; a prefix text for detections over a /64. */
  readonly candidate: string | null;
  readonly alert: EveAlert | null;
  readonly detection: Detection | null;
  readonly steps: readonly Step[];
  /** When the ban or the would-be ban ends; `FOREVER` is permanent, `null` where there is none. */
  readonly until: EpochMs | null;
  readonly policyVersion: string;
}

/** What rows are joined by. */
function keyOf({ alert, detection, decision, outcome }: Decided): string {
  const { kind, candidate } = decision;
  if (alert === null) return `${kind} ${outcome} ${candidate} ${detection?.detector} ${detection?.target}`;
  const { gid, sid, rev, src, dest } = alert;
  // Of the ports the server's tells what was attacked; the other is chosen anew for each connection.
  const port = Math.min(src?.port ?? 0, dest?.port ?? 0);
  return `${kind} ${outcome} ${candidate} ${gid}:${sid}:${rev} ${src?.address} ${dest?.address} ${port}`;
}

interface Joined {
  readonly sample: Decided;
  readonly first: EpochMs;
  readonly last: EpochMs;
  readonly count: number;
}

/** Gathers what was decided into rows. Of bounded size. */
export class AlertBuffer {
  readonly #atMost: number;
  readonly #rows = new Map<string, Joined>();

  /** @param atMost rows */
  constructor(atMost: number) {
    this.#atMost = atMost;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** @returns whether there was room */
  add(decided: Decided, now: EpochMs): boolean {
    const seen = decided.alert?.at ?? decided.detection?.at ?? now;
    // A sensor whose clock is ahead must not put rows where nobody looks for them.
    const at = Math.min(seen, now);
    const key = keyOf(decided);
    const known = this.#rows.get(key);
    if (known === undefined) {
      if (this.#rows.size >= this.#atMost) return false;
      this.#rows.set(key, { sample: decided, first: at, last: at, count: 1 });
    } else {
      const { sample, first, last, count } = known;
      this.#rows.set(key, { sample, first: Math.min(first, at), last: Math.max(last, at), count: count + 1 });
    }
    return true;
  }

  /** All rows so far, oldest first; empty afterwards. */
  take(): AlertRow[] {
    const rows = [...this.#rows.values()].map(rowOf);
    this.#rows.clear();
    return rows.sort((a, b) => a.first - b.first);
  }
}

function rowOf({ sample, first, last, count }: Joined): AlertRow {
  const { alert, detection, decision, outcome, policyVersion } = sample;
  const { kind, candidate, steps } = decision;
  const until = decision.kind === 'ban' || decision.kind === 'would_ban' ? decision.ban.until : null;
  return { first, last, count, kind, outcome, candidate, alert, detection, steps, until, policyVersion };
}

/** JSON knows no infinity. */
export const untilToJson = (until: EpochMs | null): EpochMs | 'forever' | null =>
  until === FOREVER ? 'forever' : until;
export const untilFromJson = (value: EpochMs | 'forever' | null): EpochMs | null =>
  value === 'forever' ? FOREVER : value;
