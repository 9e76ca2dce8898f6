import type { EpochMs } from '../base/clock.js';
import type { RunMode } from '../blocklist/mode.js';
import type { NeverBanEntry } from '../config/config.js';
import type { Desired } from '../enforcement/desired.js';
import type { ListName } from '../enforcement/set-backend.js';

const NOT_YET_OVER = Number.POSITIVE_INFINITY;

/**
 * What the kernel should hold: the blocklist as the mirror knows it, the listed
 * networks of `never_ban` beside its allow entries, and no ban at all in mode
 * `off`, the emergency brake, which keeps every key.
 */
export class Wanted implements Desired {
  readonly #blocklist: Desired;
  readonly #mode: () => RunMode;
  readonly #listed: () => readonly NeverBanEntry[];

  constructor(blocklist: Desired, mode: () => RunMode, listed: () => readonly NeverBanEntry[]) {
    this.#blocklist = blocklist;
    this.#mode = mode;
    this.#listed = listed;
  }

  get complete(): boolean {
    return this.#blocklist.complete;
  }

  get(list: ListName, text: string): EpochMs | undefined {
    if (list === 'ban') return this.#mode() === 'off' ? undefined : this.#blocklist.get(list, text);
    const listed = this.#listed().find(({ prefix }) => prefix.text === text);
    const own = listed && (listed.until ?? NOT_YET_OVER);
    const stored = this.#blocklist.get(list, text);
    if (own === undefined || stored === undefined) return own ?? stored;
    return Math.max(own, stored);
  }

  *entries(list: ListName): Generator<readonly [string, EpochMs]> {
    if (list === 'ban') {
      if (this.#mode() !== 'off') yield* this.#blocklist.entries(list);
      return;
    }
    for (const { prefix, until } of this.#listed()) yield [prefix.text, until ?? NOT_YET_OVER];
    yield* this.#blocklist.entries(list);
  }
}
