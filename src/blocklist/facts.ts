import { type Clock, type EpochMs, FOREVER } from '../base/clock.js';
import type { Log } from '../base/log.js';
import { contains, isProblem, type Prefix, parsePrefix, prefix } from '../net/prefix.js';
import type { RedisConnection } from './connection.js';
import { blocklistError } from './errors.js';
import type { Keys } from './keys.js';
import { parseMode } from './mode.js';
import type { ModeMemory } from './mode-memory.js';

/** What a person's unban says about later automatic bans of that address. */
export interface Pardon {
  /** When the unban happened. */
  readonly at: EpochMs;
  /** The signatures that are pardoned; `null` = all. */
  readonly sids: readonly number[] | null;
}

interface Suppression {
  /** `null` = everywhere (`*`). */
  readonly inside: Prefix | null;
  readonly until: EpochMs;
}

export function parsePardon(value: string): Pardon {
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed === 'object' && parsed !== null) {
      const { at, sids } = parsed as { at?: unknown; sids?: unknown };
      return {
        at: typeof at === 'number' ? at : 0,
        sids: Array.isArray(sids) ? sids.filter((sid) => typeof sid === 'number') : null,
      };
    }
  } catch {
    // Typed by hand: pardons everything, from the start of time on.
  }
  return { at: 0, sids: null };
}

/**
 * The few keys whose values the daemon must know at once: pardons, suppressions
 * and the mode. Read at every walk and whenever an event names one.
 */
export class Facts {
  readonly #connection: RedisConnection;
  readonly #keys: Keys;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #pardons = new Map<string, Pardon & { readonly of: Prefix; readonly until: EpochMs }>();
  /** `gid:sid` to suffix to suppression. */
  readonly #suppressions = new Map<string, Map<string, Suppression>>();
  #seen: Set<string> | null = null;
  readonly modes: ModeMemory;
  /** When a person last accepted a held loss, in Redis time. */
  accepted: EpochMs = 0;

  constructor(connection: RedisConnection, keys: Keys, clock: Clock, log: Log, modes: ModeMemory) {
    this.modes = modes;
    this.#connection = connection;
    this.#keys = keys;
    this.#clock = clock;
    this.#log = log;
  }

  /** The pardon of this canonical prefix, while it lasts. */
  pardon(text: string): Pardon | null {
    const known = this.#pardons.get(text);
    return known !== undefined && known.until > this.#clock.now() ? known : null;
  }

  /** The pardon of an address, or the suppression of a signature, that lies inside this network: its key, or `null`. */
  exceptionInside(network: Prefix): string | null {
    const now = this.#clock.now();
    for (const { of, until } of this.#pardons.values()) {
      if (until > now && contains(network, of)) return this.#keys.pardon(of.text);
    }
    for (const of of this.#suppressions.values()) {
      for (const [suffix, { inside, until }] of of) {
        if (until > now && inside !== null && contains(network, inside)) {
          return `${this.#keys.prefix}:suppress:${suffix}`;
        }
      }
    }
    return null;
  }

  /** The suppress key that keeps this signature from banning this prefix; `null` when none does. */
  suppressed(gid: number, sid: number, text: string): string | null {
    const of = this.#suppressions.get(`${gid}:${sid}`);
    if (of === undefined) return null;
    const banned = prefix(text);
    const now = this.#clock.now();
    for (const [suffix, { inside, until }] of of) {
      if (until > now && (inside === null || contains(inside, banned)))
        return `${this.#keys.prefix}:suppress:${suffix}`;
    }
    return null;
  }

  /** Whether a suppress key names this signature, for whichever network. */
  isSuppressedSomewhere(gid: number, sid: number): boolean {
    const now = this.#clock.now();
    for (const { until } of this.#suppressions.get(`${gid}:${sid}`)?.values() ?? []) if (until > now) return true;
    return false;
  }

  /** The signatures that pardons name. */
  pardonedSids(): Set<number> {
    const now = this.#clock.now();
    const sids = new Set<number>();
    for (const { sids: named, until } of this.#pardons.values()) {
      if (until > now) for (const sid of named ?? []) sids.add(sid);
    }
    return sids;
  }

  beginWalk(): void {
    this.#seen = new Set();
  }

  /** Forgets what a complete walk did not see. */
  endWalk(): void {
    const seen = this.#seen;
    this.#seen = null;
    if (seen === null) return;
    for (const text of this.#pardons.keys()) if (!seen.has(`p${text}`)) this.#pardons.delete(text);
    for (const [sid, of] of this.#suppressions) {
      for (const suffix of of.keys()) if (!seen.has(`s${suffix}`)) of.delete(suffix);
      if (of.size === 0) this.#suppressions.delete(sid);
    }
  }

  /**
   * Reads these again.
   * @param names class letter (`p`, `s`) and suffix
   * @throws BlocklistError
   */
  async read(names: readonly string[]): Promise<void> {
    const now = this.#clock.now();
    await Promise.all(
      names.map(async (name) => {
        const suffix = name.slice(1);
        const key = name.startsWith('p') ? this.#keys.pardon(suffix) : `${this.#keys.prefix}:suppress:${suffix}`;
        const [value, left] = await Promise.all([
          this.#connection.call('GET', key).catch(() => null),
          this.#connection.call('PTTL', key),
        ]);
        const until = Number(left) === -1 ? FOREVER : now + Number(left);
        if (name.startsWith('p')) this.#setPardon(suffix, typeof value === 'string' ? value : null, until);
        else this.#setSuppression(suffix, typeof value === 'string', until);
      }),
    );
  }

  #setPardon(suffix: string, value: string | null, until: EpochMs): void {
    const parsed = parsePrefix(suffix);
    if (isProblem(parsed)) return;
    if (value === null) this.#pardons.delete(parsed.text);
    else {
      this.#pardons.set(parsed.text, { ...parsePardon(value), of: parsed, until });
      this.#seen?.add(`p${parsed.text}`);
    }
  }

  #setSuppression(suffix: string, exists: boolean, until: EpochMs): void {
    const match = /^(\d{1,10}):(\d{1,10}):(.+)$/s.exec(suffix);
    const inside = match?.[3] === '*' ? null : parsePrefix(match?.[3] ?? '');
    if (!match || (inside !== null && isProblem(inside))) {
      if (exists) this.#log.warn({ key: suffix }, 'not a suppress key: it must end in <gid>:<sid>:<network or *>');
      return;
    }
    const sid = `${match[1]}:${match[2]}`;
    const of = this.#suppressions.get(sid) ?? new Map<string, Suppression>();
    if (exists) {
      of.set(suffix, { inside, until });
      this.#suppressions.set(sid, of);
      this.#seen?.add(`s${suffix}`);
    } else of.delete(suffix);
  }

  /**
   * Reads the mode keys and the last acceptance. A value that is no mode leaves
   * the mode as it was: a typing error must not lift or impose anything.
   *
   * @param missing what it means when a key is not there, unless the store was emptied
   * @returns the mode keys and their values as they are, `null` = not there and nobody's wish
   * @throws BlocklistError
   */
  async readModes(missing: 'removed' | 'emptied' | 'unclear'): Promise<readonly (readonly [string, string])[]> {
    const keys = [this.#keys.mode(), this.#keys.mode(this.#keys.host), this.#keys.accept];
    const [journaled, ...values] = await Promise.all([
      this.#connection.call('EXISTS', this.#keys.journal),
      ...keys.map((key) => this.#get(key)),
    ]);
    // Every act is journaled: a store without a journal was emptied, or is not the one that held the mode.
    const how = missing === 'unclear' && journaled === 0 ? 'emptied' : missing;
    const accepted = Number(/"at":(\d+)/.exec(values[2] ?? '')?.[1] ?? this.accepted);
    const said: [string, string][] = [];
    for (const [i, which] of (['fleet', 'host'] as const).entries()) {
      const value = values[i] ?? null;
      if (value === null) this.modes.missing(which, how, this.#clock.now());
      else this.#setMode(which, keys[i] as string, value);
      if (value !== null || how === 'removed') said.push([keys[i] as string, value ?? '']);
    }
    if (accepted > this.accepted && this.modes.lost) this.modes.accepted();
    this.accepted = accepted;
    return said;
  }

  async #get(key: string): Promise<string | null> {
    try {
      return (await this.#connection.call('GET', key)) as string | null;
    } catch (error) {
      const failure = blocklistError('read modes', error);
      // A key of a wrong type is one that is mistyped; anything else says nothing about the mode.
      if (failure.kind !== 'refused') throw failure;
      return '(not a string)';
    }
  }

  #setMode(which: 'fleet' | 'host', key: string, value: string): void {
    const setting = parseMode(value);
    if (setting !== null) this.modes.set(which, setting);
    else this.#log.warn({ key, value: value.slice(0, 80) }, 'not a mode; write enforce, observe, off or pause');
  }
}
