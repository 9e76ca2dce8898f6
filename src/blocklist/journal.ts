import type { EpochMs } from '../base/clock.js';
import type { RedisConnection } from './connection.js';
import type { Keys } from './keys.js';
import { decodeValue, type StoredRecord } from './record.js';

/** What a line of the journal can say was done. */
export const ACTS = [
  ...['ban', 'extend', 'would', 'unban', 'edit', 'note', 'allow', 'disallow', 'mode', 'policy'],
  ...['flag', 'acknowledge', 'reopen', 'loss_held', 'loss_accepted', 'restore', 'pardon', 'suppress'],
  ...['baseline', 'quarantine', 'promote'],
] as const;

/**
 * One line of `barricata:journal`, a stream of about 100,000 entries: fields
 * `at act address by from host why ticket before after`, empty when unknown.
 * `before` and `after` are whole values as stored (ban JSON with `until`).
 */
export interface JournalEntry {
  /** ISO 8601 UTC. */
  readonly at: string;
  /** One of `ACTS`. */
  readonly act: string;
  /** Canonical prefix text, or what the act is about. */
  readonly address: string;
  readonly by?: string | null;
  readonly from?: string | null;
  readonly host?: string | null;
  readonly why?: string | null;
  readonly ticket?: string | null;
  readonly before?: string | null;
  readonly after?: string | null;
}

/** Field names and values in the order in which the scripts hand them to XADD. */
export function journalFields(entry: JournalEntry): string[] {
  const { at, act, address, by, from, host, why, ticket, before, after } = entry;
  return Object.entries({ at, act, address, by, from, host, why, ticket, before, after }).flatMap(([name, value]) => [
    name,
    value ?? '',
  ]);
}

const PAGE = 1000;

export class Journal {
  readonly #connection: RedisConnection;
  readonly #keys: Keys;

  constructor(connection: RedisConnection, keys: Keys) {
    this.#connection = connection;
    this.#keys = keys;
  }

  /**
   * Newest first, at most `count` of those that `wanted` admits, within the last `depth` and not older than `since`.
   * @throws BlocklistError
   */
  async read(
    count: number,
    wanted: (entry: JournalEntry) => boolean = () => true,
    depth = 100_000,
    since: EpochMs = 0,
  ): Promise<(JournalEntry & { readonly id: string })[]> {
    const found: (JournalEntry & { readonly id: string })[] = [];
    const start = since > 0 ? Math.floor(since) : '-';
    let end = '+';
    for (let read = 0; read < depth && found.length < count; read += PAGE) {
      const page = (await this.#connection.call('XREVRANGE', this.#keys.journal, end, start, 'COUNT', PAGE)) as [
        string,
        string[],
      ][];
      for (const [id, fields] of page) {
        const entry: Record<string, string | null> = {};
        for (let i = 0; i < fields.length; i += 2) entry[fields[i] as string] = fields[i + 1] || null;
        const line = { id, at: '', act: '', address: '', ...entry } as JournalEntry & { id: string };
        if (wanted(line)) found.push(line);
        if (found.length === count) break;
      }
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) break;
      end = `(${last[0]}`;
    }
    return found;
  }

  /**
   * What is last known of these addresses.
   * @param removed what to give for one whose last act removed it: nothing, or what it was
   * @throws BlocklistError
   */
  async lastRecords(
    texts: Iterable<string>,
    depth = 20_000,
    removed: 'nothing' | 'what it was' = 'nothing',
  ): Promise<Map<string, StoredRecord | null>> {
    const open = new Set(texts);
    const known = new Map<string, StoredRecord | null>();
    await this.read(
      Number.POSITIVE_INFINITY,
      ({ address, act, before, after }) => {
        if (!open.has(address) || act === 'would' || act === 'pardon' || act === 'suppress') return false;
        open.delete(address);
        const value = after ?? (removed === 'nothing' ? null : before);
        known.set(address, value ? (decodeValue(value)?.record ?? null) : null);
        return false;
      },
      open.size === 0 ? 0 : depth,
    );
    return known;
  }

  /** @throws BlocklistError */
  async write(entry: JournalEntry): Promise<void> {
    await this.#connection.call('XADD', this.#keys.journal, 'MAXLEN', '~', 100_000, '*', ...journalFields(entry));
  }
}
