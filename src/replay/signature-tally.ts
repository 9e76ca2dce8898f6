import type { Decision } from '../policy/ban.js';
import { plainLine } from '../policy/record.js';
import type { EveAlert } from '../suricata/eve-alert.js';

/** Signatures that are listed one by one; alerts of more are counted together. */
const SIGNATURES = 5000;

/** What became of the alerts of one signature, and why, in the words of the first of each kind. */
export interface SignatureRow {
  readonly gid: number;
  readonly sid: number;
  readonly signature: string;
  readonly outcomes: Partial<Record<Decision['kind'], { alerts: number; readonly why: string | null }>>;
}

/** Counts decisions by signature. */
export class SignatureTally {
  readonly #rows = new Map<string, SignatureRow>();
  /** Alerts of signatures for which there was no room. */
  unlisted = 0;

  add(alert: EveAlert, decision: Decision): void {
    const key = `${alert.gid}:${alert.sid}`;
    let row = this.#rows.get(key);
    if (row === undefined) {
      if (this.#rows.size >= SIGNATURES) {
        this.unlisted += 1;
        return;
      }
      row = { gid: alert.gid, sid: alert.sid, signature: plainLine(alert.signature), outcomes: {} };
      this.#rows.set(key, row);
    }
    const outcome = row.outcomes[decision.kind];
    if (outcome !== undefined) outcome.alerts += 1;
    else row.outcomes[decision.kind] = { alerts: 1, why: decision.kind === 'ban' ? null : decision.why };
  }

  /** Most alerts first. */
  rows(): SignatureRow[] {
    return [...this.#rows.values()].sort((a, b) => alertsOf(b) - alertsOf(a) || a.sid - b.sid || a.gid - b.gid);
  }
}

/** Alerts of one signature. */
export function alertsOf({ outcomes }: SignatureRow): number {
  return Object.values(outcomes).reduce((sum, outcome) => sum + outcome.alerts, 0);
}
