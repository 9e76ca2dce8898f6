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
  #index: { readonly of: readonly NeverBanEntry[]; readonly byText: ReadonlyMap<string, NeverBanEntry> } | null = null;

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
    const listed = this.#byText().get(text);
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

  /** The listed networks by text, made anew when the configuration is another. */
  #byText(): ReadonlyMap<string, NeverBanEntry> {
    const of = this.#listed();
    if (this.#index?.of !== of) this.#index = { of, byText: new Map(of.map((entry) => [entry.prefix.text, entry])) };
    return this.#index.byText;
  }
}
