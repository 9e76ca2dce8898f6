import type { Clock, EpochMs } from '../base/clock.js';
import type { ListName } from '../enforcement/set-backend.js';
import { EntryTable } from './entry-table.js';
import { type EntryId, type EntryKind, kindOf } from './keys.js';
import type { Loss } from './loss-guard.js';

export function listOf(id: EntryId): ListName {
  return kindOf(id) === 'allow' ? 'allow' : 'ban';
}

/**
 * What is wanted now, in memory: the keys found in Redis, the entries held after
 * a mass loss, and the bans that wait in the offline journal. The end of a
 * prefix is the latest of all of them.
 */
export class Level {
  readonly tables: Readonly<Record<EntryKind, EntryTable>> = {
    ban: new EntryTable(),
    local: new EntryTable(),
    allow: new EntryTable(),
  };
  readonly #clock: Clock;
  readonly #held = new Map<EntryId, Loss>();
  readonly #heldIds: Readonly<Record<ListName, Map<string, EntryId[]>>> = { ban: new Map(), allow: new Map() };
  /** Canonical text to end, of bans that Redis does not have yet. */
  readonly #offline = new Map<string, EpochMs>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  tableOf(id: EntryId): EntryTable {
    return this.tables[kindOf(id)];
  }

  /** Keys of a list. */
  sizeOf(list: ListName): number {
    return list === 'allow' ? this.tables.allow.size : this.tables.ban.size + this.tables.local.size;
  }

  get(list: ListName, text: string): EpochMs | undefined {
    const { ban, local, allow } = this.tables;
    let until = list === 'allow' ? allow.get(text) : later(ban.get(text), local.size > 0 ? local.get(text) : undefined);
    if (this.#offline.size > 0 && list === 'ban') until = later(until, this.#offline.get(text));
    if (this.#held.size > 0) {
      for (const id of this.#heldIds[list].get(text) ?? []) until = later(until, this.#held.get(id)?.until);
    }
    return until === undefined || until <= this.#clock.now() ? undefined : until;
  }

  *entries(list: ListName): Generator<readonly [string, EpochMs]> {
    const table = list === 'allow' ? this.tables.allow : this.tables.ban;
    const others = this.#held.size + (list === 'allow' ? 0 : this.tables.local.size + this.#offline.size);
    if (others === 0) {
      // One table says it all: nothing need be looked up again.
      const now = this.#clock.now();
      for (const entry of table.entries()) if (entry[1] > now) yield entry;
      return;
    }
    for (const text of this.#texts(list)) {
      const until = this.get(list, text);
      if (until !== undefined) yield [text, until];
    }
  }

  /** The end of a ban that Redis does not have yet. */
  offline(text: string): EpochMs | undefined {
    const until = this.#offline.get(text);
    return until === undefined || until <= this.#clock.now() ? undefined : until;
  }

  *offlineEntries(): Generator<readonly [string, EpochMs]> {
    for (const text of this.#offline.keys()) {
      const until = this.offline(text);
      if (until !== undefined) yield [text, until];
    }
  }

  *#texts(list: ListName): Generator<string> {
    if (list === 'allow') {
      yield* this.tables.allow.texts();
    } else {
      const { ban, local } = this.tables;
      yield* ban.texts();
      for (const text of local.texts()) if (ban.get(text) === undefined) yield text;
      for (const text of this.#offline.keys()) {
        if (ban.get(text) === undefined && local.get(text) === undefined) yield text;
      }
    }
    for (const text of this.#heldIds[list].keys()) if (this.#known(list, text) === undefined) yield text;
  }

  #known(list: ListName, text: string): EpochMs | undefined {
    const { ban, local, allow } = this.tables;
    return list === 'allow' ? allow.get(text) : (ban.get(text) ?? local.get(text) ?? this.#offline.get(text));
  }

  /** Number of entries that are held and not yet over. */
  get heldCount(): number {
    return this.#held.size;
  }

  held(): IterableIterator<Loss> {
    return this.#held.values();
  }

  hold(loss: Loss): void {
    if (this.#held.has(loss.id)) return;
    this.#held.set(loss.id, loss);
    const ids = this.#heldIds[listOf(loss.id)];
    ids.set(loss.text, [...(ids.get(loss.text) ?? []), loss.id]);
  }

  /** Lets a held entry go. Returns whether it was held. */
  release(id: EntryId): boolean {
    const loss = this.#held.get(id);
    if (loss === undefined) return false;
    this.#held.delete(id);
    const ids = this.#heldIds[listOf(id)];
    const rest = (ids.get(loss.text) ?? []).filter((other) => other !== id);
    if (rest.length > 0) ids.set(loss.text, rest);
    else ids.delete(loss.text);
    return true;
  }

  /** Lets every held entry of this prefix go. Returns whether there was one. */
  releaseText(list: ListName, text: string): boolean {
    const ids = this.#heldIds[list].get(text) ?? [];
    for (const id of ids) this.release(id);
    return ids.length > 0;
  }

  /** Forgets held and offline entries whose time is over. */
  forgetEnded(): void {
    const now = this.#clock.now();
    for (const { id, until } of [...this.#held.values()]) if (until <= now) this.release(id);
    for (const [text, until] of this.#offline) if (until <= now) this.#offline.delete(text);
  }

  setOffline(text: string, until: EpochMs): void {
    this.#offline.set(text, Math.max(until, this.#offline.get(text) ?? 0));
  }

  clearOffline(): string[] {
    const texts = [...this.#offline.keys()];
    this.#offline.clear();
    return texts;
  }
}

function later(a: EpochMs | undefined, b: EpochMs | undefined): EpochMs | undefined {
  if (a === undefined) return b;
  return b === undefined || a >= b ? a : b;
}
