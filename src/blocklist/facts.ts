import { type Clock, type EpochMs, FOREVER } from '../base/clock.js';
import type { Log } from '../base/log.js';
import { contains, isProblem, type Prefix, parsePrefix, prefix } from '../net/prefix.js';
import type { RedisConnection } from './connection.js';
import type { Keys } from './keys.js';
import { type ModeSetting, parseMode } from './mode.js';

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
  readonly #pardons = new Map<string, Pardon & { readonly until: EpochMs }>();
  /** `gid:sid` to suffix to suppression. */
  readonly #suppressions = new Map<string, Map<string, Suppression>>();
  #seen: Set<string> | null = null;
  fleetMode: ModeSetting | null = null;
  hostMode: ModeSetting | null = null;
  /** When a person last accepted a held loss, in Redis time. */
  accepted: EpochMs = 0;

  constructor(connection: RedisConnection, keys: Keys, clock: Clock, log: Log) {
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
      this.#pardons.set(parsed.text, { ...parsePardon(value), until });
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

  /** Reads the mode keys and the last acceptance. @throws BlocklistError */
  async readModes(): Promise<void> {
    const [fleet, host, accept] = await Promise.all(
      [this.#keys.mode(), this.#keys.mode(this.#keys.host), this.#keys.accept].map((key) =>
        this.#connection.call('GET', key).catch(() => null),
      ),
    );
    this.fleetMode = this.#mode(this.#keys.mode(), fleet, this.fleetMode);
    this.hostMode = this.#mode(this.#keys.mode(this.#keys.host), host, this.hostMode);
    this.accepted = Number(/"at":(\d+)/.exec(String(accept))?.[1] ?? this.accepted);
  }

  /** A value that is no mode leaves the mode as it was: a typing error must not lift or impose anything. */
  #mode(key: string, value: unknown, before: ModeSetting | null): ModeSetting | null {
    if (typeof value !== 'string') return null;
    const setting = parseMode(value);
    if (setting === null) {
      this.#log.warn({ key, value: value.slice(0, 80) }, 'not a mode; write enforce, observe, off or pause');
      return before;
    }
    return setting;
  }
}
