import type { Clock, EpochMs } from '../base/clock.js';
import type { BanRecord } from '../policy/ban.js';
import type { RedisConnection } from './connection.js';
import { BlocklistError } from './errors.js';
import { Journal, type JournalEntry, journalFields } from './journal.js';
import { type Keys, parseSuffix } from './keys.js';
import { type Listed, type ListedEntry, Listing } from './listed.js';
import type { Loss } from './loss-guard.js';
import { formatMode, type ModeSetting, parseMode } from './mode.js';
import { NO_PARDON, type PardonArgs, pardonOf } from './pardon.js';
import { encodeValue, endsOf, manualRecord, type StoredRecord } from './record.js';

export type { ListedEntry } from './listed.js';

/** Who acts, and how; goes into the record and the journal. */
export interface Actor {
  readonly by: string | null;
  readonly from: BanRecord['from'];
  /** The host the act was made on. */
  readonly host: string;
}

export interface ActResult {
  /** `unchanged` when it lasts longer already; `absent` when there was nothing to act on. */
  readonly outcome: 'stored' | 'extended' | 'replaced' | 'removed' | 'unchanged' | 'absent';
  readonly before: ListedEntry | null;
  readonly after: ListedEntry | null;
}

/** An entry that a person asks for. */
export interface WantedEntry {
  /** Canonical. */
  readonly address: string;
  readonly until: EpochMs;
  readonly reason: string;
  readonly ticket?: string | null;
  /** Also when the entry there lasts longer. */
  readonly replace?: boolean;
  /** The list that it was imported from. */
  readonly import?: string | null;
}

/** A suppression written with a false positive lasts this long, in seconds. */
const SUPPRESS_LIFETIME = 30 * 86_400;

/**
 * What people do through the command line, the console or the API. Each act
 * reads a key, decides, and writes in one script that does nothing when the key
 * changed meanwhile; it is then tried again. Every act is in the journal with
 * the whole value before and after.
 */
export class ManualActs {
  readonly #connection: RedisConnection;
  readonly #keys: Keys;
  readonly #clock: Clock;
  readonly journal: Journal;
  readonly #listing: Listing;

  constructor(connection: RedisConnection, keys: Keys, clock: Clock) {
    this.#connection = connection;
    this.#keys = keys;
    this.#clock = clock;
    this.journal = new Journal(connection, keys);
    this.#listing = new Listing(connection, keys, clock);
  }

  /**
   * Bans for the whole fleet. Never shortens an existing ban unless `replace`.
   * Whether the address may be banned at all is the caller's question.
   * @throws BlocklistError
   */
  ban(of: WantedEntry, actor: Actor): Promise<ActResult> {
    return this.#put('ban', of, actor);
  }

  /** Never bans while it lasts. The same rules as `ban`. @throws BlocklistError kind `refused` when it is too wide */
  async allow(of: WantedEntry, actor: Actor): Promise<ActResult> {
    const parsed = parseSuffix('allow', of.address);
    if ('problem' in parsed) throw new BlocklistError('allow', 'refused', `${of.address}: ${parsed.detail}`);
    return this.#put('allow', of, actor);
  }

  /**
   * Removes every ban of these prefixes: of the fleet, of any host, in any
   * spelling. Each is pardoned, so that evidence from before does not ban it again.
   *
   * @returns what was removed; a prefix without a ban has no entry
   * @throws BlocklistError
   */
  async unban(
    addresses: readonly string[],
    of: { readonly reason: string; readonly ticket?: string | null; readonly falsePositive?: boolean },
    actor: Actor,
  ): Promise<ListedEntry[]> {
    const removed: ListedEntry[] = [];
    for await (const page of this.#listing.matching('ban', addresses)) {
      for (const entry of page) {
        if (await this.#remove(entry, 'unban', of, actor)) removed.push(entry);
        if (of.falsePositive) await this.#suppress(entry, of.reason, actor);
      }
    }
    return removed;
  }

  /** @throws BlocklistError */
  async allowRemove(address: string, reason: string, actor: Actor): Promise<ListedEntry[]> {
    const removed: ListedEntry[] = [];
    for await (const page of this.#listing.matching('allow', [address])) {
      for (const entry of page) if (await this.#remove(entry, 'disallow', { reason }, actor)) removed.push(entry);
    }
    return removed;
  }

  /** Lengthens a ban, whatever its spelling. `unchanged` when it lasts longer already. @throws BlocklistError */
  async extend(address: string, until: EpochMs, reason: string | null, actor: Actor): Promise<ActResult> {
    return this.#change(await this.#keyOf(address), address, (before) => {
      if (before === null) return 'absent';
      if (before.until >= until) return 'unchanged';
      return { act: 'extend', outcome: 'extended', record: before.record, until, why: reason, actor };
    });
  }

  /** Leaves a note and perhaps a ticket at a ban, whatever its spelling; its time stays. @throws BlocklistError */
  async note(address: string, text: string, ticket: string | null, actor: Actor): Promise<ActResult> {
    return this.#change(await this.#keyOf(address), address, (before) => {
      if (before === null) return 'absent';
      const record = { ...before.record, note: text, ticket: ticket ?? before.record.ticket };
      return { act: 'note', outcome: 'stored', record, until: before.until, why: text, actor };
    });
  }

  /** The key of the ban that lasts longest; of those that last as long, the fleet's. */
  async #keyOf(address: string): Promise<string> {
    const found = await this.find('ban', address);
    let best = found[0];
    for (const entry of found) if (best && entry.until > best.until) best = entry;
    return best?.key ?? this.#keys.ban(address);
  }

  /** Every ban (or allow) in pages as Redis gives them; in no order. @throws BlocklistError */
  list(list: Listed): AsyncGenerator<ListedEntry[]> {
    return this.#listing.all(list);
  }

  /** The keys that name exactly this prefix; see `Listing.find`. @throws BlocklistError */
  find(list: Listed, address: string): Promise<ListedEntry[]> {
    return this.#listing.find(list, address);
  }

  /** The entries that ban this prefix on this host, exactly or by a wider network. @throws BlocklistError */
  covering(address: string): Promise<ListedEntry[]> {
    return this.#listing.covering(address);
  }

  /** The fleet's or a host's mode key; `null` when it is not set or not understood. @throws BlocklistError */
  async mode(host?: string): Promise<ModeSetting | null> {
    const value = await this.#connection.call('GET', this.#keys.mode(host));
    return typeof value === 'string' ? parseMode(value) : null;
  }

  /** Sets the fleet's mode, or that of one host; `null` goes back to the file's. @throws BlocklistError */
  async setMode(setting: ModeSetting | null, reason: string, actor: Actor, host?: string): Promise<void> {
    const key = this.#keys.mode(host);
    const value = setting === null ? '' : formatMode(setting);
    const line = { ...this.#act('mode', host ?? 'fleet', actor), why: reason, before: null, after: value };
    const { raw, journal } = this.#keys;
    await this.#connection.script('mode-3', [key, raw, journal], ['set', value, ...journalFields(line)]);
  }

  /** Accepts a held mass loss on every host: the entries leave the kernels. @throws BlocklistError */
  async acceptHeld(reason: string, actor: Actor): Promise<void> {
    const now = (await this.#connection.call('TIME')) as string[];
    const at = Number(now[0]) * 1000 + Math.floor(Number(now[1]) / 1000);
    await this.#connection.call('SET', this.#keys.accept, JSON.stringify({ at, by: actor.by }), 'EX', 3600);
    await this.journal.write({ ...this.#act('loss_accepted', 'held entries', actor), why: reason });
  }

  /**
   * Writes the keys of a held loss back, with what the journal knows of them.
   * @returns how many were written; keys that exist again are left alone
   * @throws BlocklistError
   */
  async writeBackHeld(held: Iterable<Loss>, reason: string, actor: Actor): Promise<number> {
    const losses = [...held].filter(({ until }) => until > this.#clock.now());
    const known = await this.journal.lastRecords(
      losses.map(({ text }) => text),
      100_000,
      'what it was',
    );
    let written = 0;
    for (const { id, text, until } of losses) {
      const record =
        known.get(text) ?? manualRecord({ reason: 'restored after a mass loss', ...actor, at: this.#now() });
      const isLocal = id.startsWith('l') && !(known.get(text) && record.scope === 'fleet');
      const key = id.startsWith('a') ? this.#keys.allow(text) : isLocal ? this.#keys.local(text) : this.#keys.ban(text);
      const result = await this.#change(key, text, (before) =>
        before === null ? { act: 'restore', outcome: 'stored', record, until, why: reason, actor } : 'unchanged',
      );
      if (result.outcome === 'stored') written += 1;
    }
    return written;
  }

  #put(kind: 'ban' | 'allow', of: WantedEntry, actor: Actor): Promise<ActResult> {
    const key = kind === 'ban' ? this.#keys.ban(of.address) : this.#keys.allow(of.address);
    return this.#change(key, of.address, (before) => {
      if (before !== null && before.until > of.until && !of.replace) return 'unchanged';
      const record = manualRecord({ ...of, ...actor, at: this.#now() });
      const first = before?.record.first ?? record.first;
      const outcome = before === null ? 'stored' : of.until < before.until ? 'replaced' : 'extended';
      return { act: kind, outcome, record: { ...record, first }, until: of.until, why: of.reason, actor };
    });
  }

  async #change(
    key: string,
    address: string,
    decide: (before: ListedEntry | null) =>
      | 'absent'
      | 'unchanged'
      | {
          readonly act: string;
          readonly outcome: ActResult['outcome'];
          readonly record: StoredRecord;
          readonly until: EpochMs;
          readonly why: string | null;
          readonly actor: Actor;
        },
  ): Promise<ActResult> {
    for (let attempt = 0; attempt < 8; attempt++) {
      const [seen] = await this.#listing.read([key]);
      const before = seen?.entry ?? null;
      const wish = decide(before);
      if (typeof wish === 'string') return { outcome: wish, before, after: null };
      const value = encodeValue(wish.record, wish.until);
      const line = {
        ...this.#act(wish.act, address, wish.actor),
        why: wish.why,
        ticket: wish.record.ticket,
        before: before && encodeValue(before.record, before.until),
        after: value,
      };
      if (await this.#edit(key, seen ?? null, value, endsOf(wish.until), NO_PARDON, line)) {
        const after = { ...(before ?? this.#listing.named(key, address)), until: wish.until, record: wish.record };
        return { outcome: wish.outcome, before, after };
      }
    }
    throw new BlocklistError('edit', 'refused', `${key} changes too often; try again`);
  }

  async #remove(
    entry: ListedEntry,
    act: 'unban' | 'disallow',
    of: { readonly reason: string; readonly ticket?: string | null },
    actor: Actor,
  ): Promise<boolean> {
    for (let attempt = 0; attempt < 8; attempt++) {
      const [seen] = await this.#listing.read([entry.key]);
      if (seen === undefined) return attempt > 0;
      const { record, until } = seen.entry;
      const line = {
        ...this.#act(act, entry.address, actor),
        why: of.reason,
        ticket: of.ticket ?? null,
        before: encodeValue(record, until),
      };
      const pardon = act === 'unban' ? pardonOf(this.#keys, entry.address, record, actor) : NO_PARDON;
      if (await this.#edit(entry.key, seen, '', 0, pardon, line)) return true;
    }
    throw new BlocklistError(act, 'refused', `${entry.key} changes too often; try again`);
  }

  async #suppress({ address, record }: ListedEntry, reason: string, actor: Actor): Promise<void> {
    for (const sid of new Set([...(record.sid === null ? [] : [record.sid]), ...record.sids])) {
      const key = this.#keys.suppress(record.gid ?? 1, sid, address);
      await this.#connection.call(
        'SET',
        key,
        JSON.stringify({ reason, by: actor.by, at: this.#now() }),
        'EX',
        SUPPRESS_LIFETIME,
      );
      await this.journal.write({ ...this.#act('suppress', address, actor), why: reason, after: key });
    }
  }

  async #edit(
    key: string,
    seen: { readonly value: string; readonly ends: number } | null,
    value: string,
    ends: number,
    pardon: PardonArgs,
    line: JournalEntry,
  ): Promise<boolean> {
    const { told, raw, journal } = this.#keys;
    const args = [seen?.value ?? '', seen?.ends ?? -2, value, ends, ...pardon, ...journalFields(line)];
    return (await this.#connection.script('edit-4', [key, told, raw, journal], args)) === 1;
  }

  #act(act: string, address: string, { by, from, host }: Actor): JournalEntry {
    return { at: this.#now(), act, address, by, from, host };
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}
