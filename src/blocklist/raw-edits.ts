import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import type { RedisConnection } from './connection.js';
import type { EditSink, WrittenKey } from './intake.js';
import { Journal, type JournalEntry, journalFields } from './journal.js';
import { type EntryId, type Keys, kindOf, parseSuffix, suffixOf } from './keys.js';
import type { Loss } from './loss-guard.js';
import { NO_PARDON, pardonOf } from './pardon.js';
import { decodeValue, digestOf, encodeValue, recordOfText, type StoredRecord, ticketOf, untilOf } from './record.js';

const AT_ONCE = 200;
/** The keys found at start wait this long (ms): the kernel comes first, and it wants the same processor. */
const FOUND_AFTER = 3000;
/** Removals journaled in one turn: they share one reading of the journal. */
const UNBANS_AT_ONCE = 2000;
/** Keys waiting to be looked at; what is beyond is not journaled, and the log tells how many. */
const AT_MOST = 200_000;

export interface RawEditsOptions {
  readonly connection: RedisConnection;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Journals what people do to keys with redis-cli, once for the fleet, with the
 * value before and after; pardons what they unban. Our own writers leave the end
 * they meant in the value, so that a key whose value is none of ours, or whose
 * end is another, was edited by hand. Runs after the kernel was told, in small
 * pieces.
 */
export class RawEdits implements Service, EditSink {
  readonly name = 'raw edits';
  readonly #o: RawEditsOptions;
  readonly #journal: Journal;
  /** Keys to look at, and whether there was no key before. */
  readonly #written = new Map<EntryId, boolean>();
  #searches = 0;
  #searchesSince = 0;
  /** The keys found at start that are still to be looked at. */
  #found: Iterator<WrittenKey> | null = null;
  #foundFrom = 0;
  readonly #unbanned = new Map<EntryId, Loss>();
  readonly #modes = new Map<string, string>();
  #revoke: Loss[] = [];
  #lost = 0;
  #missed = 0;
  /** Keys taken out of `#written` whose inspection is under way. */
  #inHand = 0;
  readonly #runner: BoundedRunner;

  constructor(options: RawEditsOptions) {
    this.#o = options;
    this.#journal = new Journal(options.connection, options.keys);
    this.#runner = new BoundedRunner({
      task: () => this.#run(),
      clock: options.clock,
      // Lets a command's several events come together, and leaves Redis to others between two pieces.
      atLeast: 20,
      atMost: () => (this.waiting > 0 ? 1000 : 60_000),
      onError: (error) => {
        if (options.connection.up) options.log.warn({ err: messageOf(error) }, 'raw edits could not be journaled yet');
      },
    });
  }

  /** Keys and removals not yet looked at. */
  get waiting(): number {
    return (
      this.#written.size +
      this.#inHand +
      this.#unbanned.size +
      this.#revoke.length +
      this.#modes.size +
      (this.#lost > 0 ? 1 : 0) +
      (this.#found === null ? 0 : 1)
    );
  }

  async start(): Promise<void> {
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
  }

  written(ids: readonly WrittenKey[]): void {
    for (const [id, isNew] of ids) {
      if (this.#written.size < AT_MOST) this.#written.set(id, isNew && (this.#written.get(id) ?? true));
      else this.#missed += 1;
    }
    this.#runner.wake();
  }

  all(ids: Iterable<WrittenKey>): void {
    this.#found = ids[Symbol.iterator]();
    this.#foundFrom = this.#o.clock.monotonic() + FOUND_AFTER;
  }

  mode(key: string, value: string): void {
    this.#modes.set(key, value);
    this.#runner.wake();
  }

  unbanned(losses: readonly Loss[]): void {
    for (const loss of losses) {
      if (this.#unbanned.size < AT_MOST) this.#unbanned.set(loss.id, loss);
      else this.#missed += 1;
    }
    this.#runner.wake();
  }

  held(losses: readonly Loss[], total: number): void {
    for (const loss of losses) {
      this.#unbanned.delete(loss.id);
      if (this.#revoke.length < AT_MOST) this.#revoke.push(loss);
    }
    this.#lost = Math.max(this.#lost, total);
    this.#runner.wake();
  }

  async #run(): Promise<void> {
    if (this.#missed > 0) {
      this.#o.log.error({ edits: this.#missed }, 'too many edits by hand at once: these are obeyed and not journaled');
      this.#missed = 0;
    }
    if (!this.#o.connection.up) return;
    if (this.#lost > 0) await this.#revokePardons();
    for (const [key, value] of this.#modes) {
      await this.#journalMode(key, value);
      if (this.#modes.get(key) === value) this.#modes.delete(key);
    }
    if (this.#unbanned.size > 0) {
      const part = first(this.#unbanned.values(), UNBANS_AT_ONCE);
      await this.#journalUnbans(part);
      for (const loss of part) if (this.#unbanned.get(loss.id) === loss) this.#unbanned.delete(loss.id);
    }
    const part: WrittenKey[] = first(this.#written, AT_ONCE);
    for (const [id] of part) this.#written.delete(id);
    const foundDue = this.#o.clock.monotonic() >= this.#foundFrom;
    while (foundDue && this.#found !== null && part.length < AT_ONCE) {
      const next = this.#found.next();
      if (next.done) this.#found = null;
      else part.push(next.value);
    }
    if (part.length > 0) {
      this.#inHand = part.length;
      try {
        await this.#inspect(part);
      } catch (error) {
        this.written(part);
        throw error;
      } finally {
        this.#inHand = 0;
      }
    }
    if (foundDue || this.#written.size + this.#unbanned.size + this.#modes.size + this.#lost > 0) {
      if (this.waiting > 0) this.#runner.wake();
    }
  }

  async #inspect(part: readonly WrittenKey[]): Promise<void> {
    const { connection, keys } = this.#o;
    const byKey = new Map(part.map(([id, isNew]) => [keys.entry(id), { id, isNew }]));
    const flat = (await connection.script('inspect-2', [keys.raw, keys.told], [...byKey.keys()])) as (
      | string
      | number
    )[];
    if (flat.length === 0) return;
    const edits = [];
    for (let i = 0; i < flat.length; i += 4) {
      const key = String(flat[i]);
      const { id, isNew } = byKey.get(key) as { id: EntryId; isNew: boolean };
      const parsed = parseSuffix(kindOf(id), suffixOf(id));
      if ('problem' in parsed) continue;
      edits.push({
        key,
        id,
        isNew,
        text: parsed.text,
        value: String(flat[i + 1]),
        ends: Number(flat[i + 2]),
        known: String(flat[i + 3]),
      });
    }
    // Free text over something: the journal knows what. A key that is new has nothing before it, unless the
    // daemon was away; so that a bulk import does not search the journal for each key, those share a few searches.
    const unknown = edits.filter(({ value, known }) => decodeValue(value) === null && recordIn(known) === null);
    const search = unknown.some(({ isNew }) => !isNew) || this.#maySearch(unknown.length);
    const last = search ? await this.#journal.lastRecords(unknown.map(({ text }) => text)) : new Map();
    await Promise.all(
      edits.map(({ key, id, text, value, ends, known }) => {
        const own = decodeValue(value);
        const former = own?.record ?? recordIn(known) ?? last.get(text) ?? null;
        const before = own ? value : former ? encodeValue(former, untilOf(ends)) : null;
        const record = own?.record ?? merged(former, value, this.#o.clock.now());
        const after = encodeValue(record, untilOf(ends));
        const digest = digestOf(value, ends);
        const field = own ? digest : `${digest} ${JSON.stringify(record)}`;
        const act = former !== null || known !== '' ? 'edit' : kindOf(id) === 'allow' ? 'allow' : 'ban';
        return connection.script(
          'raw-edit-3',
          [key, keys.raw, keys.journal],
          [
            digest,
            field,
            ...journalFields({ ...this.#byHand(text, act), why: record.reason, ticket: record.ticket, before, after }),
          ],
        );
      }),
    );
  }

  /** At most five searches a minute on behalf of new keys. */
  #maySearch(count: number): boolean {
    const now = this.#o.clock.monotonic();
    if (now - this.#searchesSince > 60_000) {
      this.#searchesSince = now;
      this.#searches = 0;
    }
    if (count === 0 || this.#searches >= 5) return false;
    this.#searches += 1;
    return true;
  }

  async #journalUnbans(losses: readonly Loss[]): Promise<void> {
    const { connection, keys } = this.#o;
    const raw = (await connection.call('HMGET', keys.raw, ...losses.map(({ id }) => keys.entry(id)))) as (
      | string
      | null
    )[];
    const last = await this.#journal.lastRecords(
      losses.filter((_, i) => recordIn(raw[i] ?? '') === null).map(({ text }) => text),
    );
    for (let at = 0; at < losses.length; at += AT_ONCE) {
      const part = losses.slice(at, at + AT_ONCE);
      await Promise.all(
        // One that a mass loss has claimed meanwhile is no unban.
        part.map((loss, i) =>
          this.#unbanned.get(loss.id) === loss
            ? this.#journalUnban(loss, recordIn(raw[at + i] ?? '') ?? last.get(loss.text) ?? null)
            : null,
        ),
      );
    }
  }

  #journalUnban({ id, text, until }: Loss, record: StoredRecord | null): Promise<unknown> {
    const { connection, keys } = this.#o;
    const isAllow = kindOf(id) === 'allow';
    const key = keys.entry(id);
    const entry = {
      ...this.#byHand(text, isAllow ? 'disallow' : 'unban'),
      why: 'the key was removed',
      before: record ? encodeValue(record, until) : null,
    };
    return connection.script(
      'raw-unban-5',
      [key, kindOf(id) === 'local' ? keys.ban(text) : key, keys.told, keys.raw, keys.journal],
      [...(isAllow ? NO_PARDON : pardonOf(keys, text, record, { by: null, from: 'redis' })), ...journalFields(entry)],
    );
  }

  /** A mass loss pardons nobody: what was written for its first keys is taken back. */
  async #revokePardons(): Promise<void> {
    const { connection, keys, clock } = this.#o;
    const losses = this.#revoke;
    const { length } = losses;
    for (let at = 0; at < length; at += AT_ONCE) {
      const part = losses.slice(at, Math.min(at + AT_ONCE, length));
      const pardons = part.filter(({ id }) => kindOf(id) !== 'allow').map(({ text }) => keys.pardon(text));
      if (pardons.length > 0) await connection.call('DEL', ...pardons);
      await connection.call('ZREM', keys.told, ...part.map(({ id }) => `r ${keys.entry(id)}`));
    }
    this.#revoke = this.#revoke.slice(length);
    const first = await connection.call('SET', `${keys.prefix}:loss`, clock.now(), 'NX', 'EX', 60);
    if (first === 'OK') {
      await this.#journal.write({
        ...this.#byHand(`${this.#lost} entries`, 'loss_held'),
        why: 'most keys went at once',
      });
    }
    if (this.#revoke.length === 0) this.#lost = 0;
  }

  #journalMode(key: string, value: string): Promise<unknown> {
    const { connection, keys } = this.#o;
    const of = key === keys.mode() ? 'fleet' : keys.host;
    const line = { ...this.#byHand(of, 'mode'), why: 'the key was written by hand', before: '', after: value };
    return connection.script('mode-3', [key, keys.raw, keys.journal], ['noticed', value, ...journalFields(line)]);
  }

  #byHand(address: string, act: string): JournalEntry {
    const { clock, keys } = this.#o;
    return { at: new Date(clock.now()).toISOString(), act, address, from: 'redis', host: keys.host };
  }
}

function first<T>(of: Iterable<T>, count: number): T[] {
  const part: T[] = [];
  for (const item of of) {
    if (part.push(item) >= count) break;
  }
  return part;
}

/** The record in a field of the raw hash: what was known before free text replaced it, with that text as reason. */
export function recordIn(field: string): StoredRecord | null {
  if (field[40] !== ' ') return null;
  try {
    return JSON.parse(field.slice(41)) as StoredRecord;
  } catch {
    return null;
  }
}

/** Free text replaces the reason only, and the ticket where it names one. */
function merged(former: StoredRecord | null, text: string, at: number): StoredRecord {
  if (former === null) return recordOfText(text, at);
  return { ...former, reason: text.slice(0, 1000), ticket: ticketOf(text) ?? former.ticket };
}
