import { type Clock, type EpochMs, FOREVER } from '../base/clock.js';
import { prefix, prefixOf } from '../net/prefix.js';
import type { RedisConnection } from './connection.js';
import { type EntryKind, type Keys, parseSuffix } from './keys.js';
import { recordIn } from './raw-edits.js';
import { decodeValue, recordOfText, type StoredRecord, untilOf } from './record.js';

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
    const named = await this.read(this.#keysOf(list, spellings(address)));
    if (named.length > 0) return named.map(({ entry }) => entry);
    const found: ListedEntry[] = [];
    for await (const page of this.pages(list, (text) => text === address)) found.push(...page);
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
    const texts = spellings(address);
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
      const about = this.entryOf(key, null);
      if (about.address !== '') found.push({ value, ends, entry: { ...about, until: untilOf(ends), record } });
    }
    return found;
  }

  /** What the key's name says. */
  entryOf(key: string, address: string | null): ListedEntry {
    const rest = key.slice(this.#keys.prefix.length + 1);
    const [kind = 'ban', second = ''] = rest.split(':', 2);
    const host = kind === 'local' ? second : null;
    const suffix = rest.slice(kind.length + 1 + (host === null ? 0 : host.length + 1));
    const parsed = address === null ? parseSuffix(kind === 'allow' ? 'allow' : 'ban', suffix) : null;
    const text = parsed === null ? address : 'problem' in parsed ? '' : parsed.text;
    const record = recordOfText('', this.#clock.now());
    return {
      kind: kind === 'would' ? 'ban' : (kind as EntryKind),
      host,
      key,
      address: text as string,
      until: FOREVER,
      record,
    };
  }

  /** Every entry of a list that is wanted, in pages as Redis gives them; in no order. @throws BlocklistError */
  async *pages(list: Listed, wanted: (address: string) => boolean): AsyncGenerator<ListedEntry[]> {
    const kinds = list === 'ban' ? ['ban', 'local'] : [list];
    const done = new Set<string>();
    let cursor = '0';
    do {
      const pattern = `${this.#keys.prefix}:${list === 'ban' ? '[bl]' : list[0]}*`;
      const [next, keys] = (await this.#connection.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', PAGE)) as [
        string,
        string[],
      ];
      cursor = next;
      const mine = keys.filter((key) => {
        const kind = key.slice(this.#keys.prefix.length + 1).split(':', 1)[0] as string;
        // SCAN may name a key twice (its documentation, "Scan guarantees").
        if (!kinds.includes(kind) || done.has(key) || !wanted(this.entryOf(key, null).address)) return false;
        done.add(key);
        return true;
      });
      for (let at = 0; at < mine.length; at += 500) {
        const found = await this.read(mine.slice(at, at + 500));
        if (found.length > 0) yield found.map(({ entry }) => entry);
      }
    } while (cursor !== '0');
  }
}

/** The ways in which people usually write this canonical prefix. */
function spellings(text: string): string[] {
  if (text.includes('/')) return [text];
  return text.includes(':') ? [text, `${text}/128`] : [text, `${text}/32`, `::ffff:${text}`];
}
