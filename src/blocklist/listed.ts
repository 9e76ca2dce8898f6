import type { Clock, EpochMs } from '../base/clock.js';
import { prefix, prefixOf } from '../net/prefix.js';
import type { RedisConnection } from './connection.js';
import { type EntryKind, type Keys, parseSuffix } from './keys.js';
import { recordIn } from './raw-edits.js';
import { decodeValue, recordOfText, type StoredRecord, untilOf } from './record.js';
import { spellingPatterns, usualSpellings } from './spellings.js';

/** One key of a list, with what is known about it. */
export interface ListedEntry {
  readonly kind: EntryKind;
  /** The host of a `local:` key, else `null`. */
  readonly host: string | null;
  readonly key: string;
  /** Canonical prefix text. */
  readonly address: string;
  readonly until: EpochMs;
  readonly record: StoredRecord;
}

/** The lists of keys that can be asked for; `ban` includes the bans of single hosts. */
export type Listed = 'ban' | 'allow' | 'would';

const PAGE = 5000;
/** Keys whose values one script reads. */
const READ_AT_ONCE = 500;

/** Reads entries with their records, for people who ask. */
export class Listing {
  readonly #connection: RedisConnection;
  readonly #keys: Keys;
  readonly #clock: Clock;

  constructor(connection: RedisConnection, keys: Keys, clock: Clock) {
    this.#connection = connection;
    this.#keys = keys;
    this.#clock = clock;
  }

  /**
   * The keys that name exactly this prefix. Its usual spellings, of the fleet
   * and of this host, are read by name; only when none exists are all keys searched.
   * @throws BlocklistError
   */
  async find(list: Listed, address: string): Promise<ListedEntry[]> {
    const named = await this.read(this.#keysOf(list, usualSpellings(address)));
    if (named.length > 0) return named.map(({ entry }) => entry);
    const found: ListedEntry[] = [];
    for await (const page of this.matching(list, [address])) found.push(...page);
    return found;
  }

  /**
   * The entries that ban this prefix on this host, exactly or by a wider
   * network, the narrowest first; in one round trip. Finds canonical spellings
   * and those of `find`.
   * @throws BlocklistError
   */
  async covering(address: string): Promise<ListedEntry[]> {
    const inner = prefix(address);
    const texts = usualSpellings(address);
    for (let length = inner.length - 1; length >= 0; length--) texts.push(prefixOf(inner, length).text);
    const found = await this.read(this.#keysOf('ban', texts));
    return found.map(({ entry }) => entry);
  }

  #keysOf(list: Listed, texts: readonly string[]): string[] {
    const { ban, local, allow, would } = this.#keys;
    return texts.flatMap((text) =>
      list === 'ban' ? [ban(text), local(text)] : [list === 'allow' ? allow(text) : would(text)],
    );
  }

  /** Values and ends of entry keys, as pairs that belong together; keys that are gone are left out. */
  async read(keys: readonly string[]): Promise<{ value: string; ends: number; entry: ListedEntry }[]> {
    if (keys.length === 0) return [];
    const flat = (await this.#connection.script('values-1', [this.#keys.raw], keys)) as (string | number)[];
    const found = [];
    for (let i = 0; i < flat.length; i += 4) {
      const key = String(flat[i]);
      const value = String(flat[i + 1]);
      const ends = Number(flat[i + 2]);
      const record =
        decodeValue(value)?.record ?? recordIn(String(flat[i + 3])) ?? recordOfText(value, this.#clock.now());
      const address = this.#addressIn(key);
      if (address !== '')
        found.push({ value, ends, entry: { ...this.named(key, address), until: untilOf(ends), record } });
    }
    return found;
  }

  /** What a key's name says of its entry. */
  named(key: string, address: string): Omit<ListedEntry, 'until' | 'record'> {
    const { kind, host } = this.#partsOf(key);
    return { kind: kind === 'would' ? 'ban' : (kind as EntryKind), host, key, address };
  }

  #partsOf(key: string): { readonly kind: string; readonly host: string | null; readonly suffix: string } {
    const rest = key.slice(this.#keys.prefix.length + 1);
    const [kind = 'ban', second = ''] = rest.split(':', 2);
    const host = kind === 'local' ? second : null;
    return { kind, host, suffix: rest.slice(kind.length + 1 + (host === null ? 0 : host.length + 1)) };
  }

  /** The canonical prefix that a key's name means; '' when it means none. */
  #addressIn(key: string): string {
    const { kind, suffix } = this.#partsOf(key);
    const parsed = parseSuffix(kind === 'allow' ? 'allow' : 'ban', suffix);
    return 'problem' in parsed ? '' : parsed.text;
  }

  /** Every entry of a list, in pages as Redis gives them; in no order. @throws BlocklistError */
  all(list: Listed): AsyncGenerator<ListedEntry[]> {
    return this.#scan(list, '*', () => true);
  }

  /**
   * Every key of these prefixes, whoever wrote it and in any spelling, in pages:
   * those with a usual name at once, then what a search of all keys finds.
   * @param addresses canonical
   * @throws BlocklistError
   */
  async *matching(list: Listed, addresses: readonly string[]): AsyncGenerator<ListedEntry[]> {
    const given = new Set<string>();
    const named = this.#keysOf(list, addresses.flatMap(usualSpellings));
    for (let at = 0; at < named.length; at += READ_AT_ONCE) {
      const found = await this.read(named.slice(at, at + READ_AT_ONCE));
      for (const { entry } of found) given.add(entry.key);
      if (found.length > 0) yield found.map(({ entry }) => entry);
    }
    const wanted = new Set(addresses);
    const [only] = addresses;
    const patterns = addresses.length === 1 ? spellingPatterns(only as string) : ['*'];
    for (const pattern of patterns) {
      yield* this.#scan(list, pattern, (key) => {
        if (given.has(key) || !wanted.has(this.#addressIn(key))) return false;
        given.add(key);
        return true;
      });
    }
  }

  /** The keys of a list that match a pattern and are wanted, each once. */
  async *#scan(list: Listed, pattern: string, wanted: (key: string) => boolean): AsyncGenerator<ListedEntry[]> {
    const { prefix } = this.#keys;
    const kinds = list === 'ban' ? ['ban', 'local'] : [list];
    const match = `${prefix}:${list === 'ban' ? '[bl]' : list[0]}*:${pattern}`;
    const done = new Set<string>();
    let cursor = '0';
    do {
      const [next, keys] = (await this.#connection.call('SCAN', cursor, 'MATCH', match, 'COUNT', PAGE)) as [
        string,
        string[],
      ];
      cursor = next;
      const mine = keys.filter((key) => {
        const kind = key.slice(prefix.length + 1).split(':', 1)[0] as string;
        // SCAN may name a key twice (its documentation, "Scan guarantees").
        if (!kinds.includes(kind) || done.has(key) || !wanted(key)) return false;
        done.add(key);
        return true;
      });
      for (let at = 0; at < mine.length; at += READ_AT_ONCE) {
        const found = await this.read(mine.slice(at, at + READ_AT_ONCE));
        if (found.length > 0) yield found.map(({ entry }) => entry);
      }
    } while (cursor !== '0');
  }
}
