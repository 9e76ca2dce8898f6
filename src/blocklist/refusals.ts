import type { Log } from '../base/log.js';
import type { RedisConnection } from './connection.js';
import { type EntryId, type Keys, suffixOf } from './keys.js';

/** How long `barricata:refused:<suffix>` stays, in seconds. */
const LIFETIME = 3600;
/** Refusals explained one by one; what is beyond is only counted. */
const AT_MOST = 10_000;
/** Log lines of single refusals in a row; the explanations in Redis are complete all the same. */
const LINES_AT_MOST = 50;

/**
 * Says in Redis why a key found there is not enforced. Each reason is written
 * once, not at every walk, and removed when the key becomes fine or goes.
 */
export class Refusals {
  readonly #connection: RedisConnection;
  readonly #keys: Keys;
  readonly #log: Log;
  readonly #said = new Map<EntryId, string>();
  #lines = 0;
  #beyond = 0;
  #beyondSaid = false;

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
    if (this.#said.size >= AT_MOST && !this.#said.has(id)) {
      this.#beyond += 1;
      return;
    }
    this.#said.set(id, detail);
    this.#lines += 1;
    if (this.#lines <= LINES_AT_MOST) {
      this.#log.warn({ key: this.#keys.entry(id), cause }, `not enforced: ${detail}`);
    }
    this.#send(id, 'SET', this.#keys.refused(suffixOf(id)), detail, 'EX', LIFETIME);
  }

  /** The key is fine now, or gone. */
  forget(id: EntryId): void {
    if (this.#said.size === 0 || !this.#said.delete(id)) return;
    const suffix = suffixOf(id);
    if (['b', 'l', 'a'].some((letter) => this.#said.has(letter + suffix))) return;
    this.#send(id, 'DEL', this.#keys.refused(suffix));
  }

  /** A walk begins: what it finds beyond those remembered is counted anew. */
  beginWalk(): void {
    this.#beyond = 0;
  }

  /** A walk is over: says once what was not said key by key. */
  endWalk(): void {
    if (this.#lines > LINES_AT_MOST) {
      this.#log.warn({ keys: this.#lines - LINES_AT_MOST }, 'more keys are not enforced; barricata:refused:* says why');
    }
    this.#lines = 0;
    if (this.#beyond === 0) this.#beyondSaid = false;
    else if (!this.#beyondSaid) {
      this.#beyondSaid = true;
      this.#log.error(
        { keys: this.#beyond },
        `more than ${AT_MOST} keys are not enforced; these are not explained one by one`,
      );
    }
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
