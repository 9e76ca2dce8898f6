import type { Log } from '../base/log.js';
import type { RedisConnection } from './connection.js';
import { type EntryId, type Keys, suffixOf } from './keys.js';

/** How long `barricata:refused:<suffix>` stays, in seconds. */
const LIFETIME = 3600;
/** Refusals remembered; what is beyond is enforced no more, only said again. */
const AT_MOST = 10_000;

/**
 * Says in Redis why a key found there is not enforced. Each reason is written
 * once, not at every walk, and removed when the key becomes fine or goes.
 */
export class Refusals {
  readonly #connection: RedisConnection;
  readonly #keys: Keys;
  readonly #log: Log;
  readonly #said = new Map<EntryId, string>();

  constructor(connection: RedisConnection, keys: Keys, log: Log) {
    this.#connection = connection;
    this.#keys = keys;
    this.#log = log;
  }

  get size(): number {
    return this.#said.size;
  }

  /** @param detail one sentence, the value of the refused key */
  refuse(id: EntryId, cause: string, detail: string): void {
    if (this.#said.get(id) === detail) return;
    if (this.#said.size >= AT_MOST) this.#said.delete(this.#said.keys().next().value as string);
    this.#said.set(id, detail);
    this.#log.warn({ key: this.#keys.entry(id), cause }, `not enforced: ${detail}`);
    this.#send(id, 'SET', this.#keys.refused(suffixOf(id)), detail, 'EX', LIFETIME);
  }

  /** The key is fine now, or gone. */
  forget(id: EntryId): void {
    if (this.#said.size === 0 || !this.#said.delete(id)) return;
    const suffix = suffixOf(id);
    if (['b', 'l', 'a'].some((letter) => this.#said.has(letter + suffix))) return;
    this.#send(id, 'DEL', this.#keys.refused(suffix));
  }

  /** Refused ids now; the walk forgets those that are gone. */
  ids(): IterableIterator<EntryId> {
    return this.#said.keys();
  }

  /** An explanation that cannot be written is written when the key is next looked at. */
  #send(id: EntryId, command: string, ...args: (string | number)[]): void {
    this.#connection.call(command, ...args).catch(() => {
      this.#said.delete(id);
    });
  }
}
