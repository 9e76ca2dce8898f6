import type { EpochMs } from '../base/clock.js';
import type { Outcome } from '../policy/ban.js';

/** Flags that are listed one by one; alerts of more are counted. */
const FLAGS = 5000;

/** An inside address that needs a look, with what it was seen doing. */
export interface FlagRow {
  readonly inside: string;
  readonly outside: string;
  readonly sid: number;
  readonly why: string;
  alerts: number;
  first: EpochMs;
  last: EpochMs;
}

/** One row for each inside address, outside address and sid, in the order of the first alert. */
export class FlagTable {
  readonly #rows = new Map<string, FlagRow>();
  /** Alerts of flags for which there was no room. */
  unlisted = 0;

  values(): Iterable<FlagRow> {
    return this.#rows.values();
  }

  add({ inside, outside, sid, why }: Outcome & { readonly kind: 'flag' }, at: EpochMs): void {
    const key = `${inside} ${outside} ${sid}`;
    const row = this.#rows.get(key);
    if (row !== undefined) {
      row.alerts += 1;
      row.first = Math.min(row.first, at);
      row.last = Math.max(row.last, at);
    } else if (this.#rows.size < FLAGS) {
      this.#rows.set(key, { inside, outside, sid, why, alerts: 1, first: at, last: at });
    } else this.unlisted += 1;
  }
}
