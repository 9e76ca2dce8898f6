import type { EpochMs } from '../base/clock.js';
import type { ListName } from './set-backend.js';

/**
 * What the blocklist wants, as the reconciler sees it: level, not edges. Read
 * synchronously from memory; whoever implements it tells the reconciler which
 * prefixes to look at again, never what happened to them.
 */
export interface Desired {
  /** False until the store has been read completely once; until then nothing is removed from the kernel. */
  readonly complete: boolean;
  /** When the wanted entry for this canonical prefix ends; `undefined` when it is not wanted. */
  get(list: ListName, text: string): EpochMs | undefined;
  entries(list: ListName): Iterable<readonly [text: string, until: EpochMs]>;
}

/** Prefixes (canonical text) to compare again, or everything. */
export type Changed = { readonly list: ListName; readonly texts: Iterable<string> } | 'all';
