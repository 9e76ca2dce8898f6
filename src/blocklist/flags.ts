import type { Clock } from '../base/clock.js';
import { parseAddress } from '../net/address.js';
import type { RedisConnection } from './connection.js';
import { journalFields } from './journal.js';
import type { Keys } from './keys.js';
import type { Actor } from './manual.js';

/** `acknowledged`: a person has seen it, and it stays seen while it goes on. */
export type FlagState = 'open' | 'acknowledged';

/** An own host that needs a look: it called out to an attacker, or moves through the inside. Never a ban. */
export interface Flag {
  /** The own host; canonical. */
  readonly inside: string;
  readonly sid: number;
  /** The other end of the last alert. */
  readonly outside: string | null;
  /** ISO 8601 UTC. */
  readonly first: string | null;
  readonly last: string | null;
  readonly count: number;
  /** Who looks after it. */
  readonly owner: string | null;
  readonly state: FlagState;
}

const PAGE = 1000;
/** Flags in one answer; what is beyond is not shown. */
const AT_MOST = 10_000;

/**
 * The flags, `barricata:flag:<inside address>:<sid>`: written by the commit
 * script, kept 30 days after the last alert, acknowledged by people.
 */
export class Flags {
  readonly #connection: RedisConnection;
  readonly #keys: Keys;
  readonly #clock: Clock;

  constructor(connection: RedisConnection, keys: Keys, clock: Clock) {
    this.#connection = connection;
    this.#keys = keys;
    this.#clock = clock;
  }

  /** The flags, last alert first. @param state only those @throws BlocklistError */
  async list(state?: FlagState): Promise<Flag[]> {
    const prefix = `${this.#keys.prefix}:flag:`;
    const found = new Map<string, Flag>();
    let cursor = '0';
    do {
      const page = await this.#connection.call('SCAN', cursor, 'MATCH', `${prefix}*`, 'COUNT', PAGE);
      const [next, keys] = page as [string, string[]];
      cursor = next;
      if (keys.length === 0) continue;
      // MGET gives null for a key that is gone or holds something else.
      const values = (await this.#connection.call('MGET', ...keys)) as (string | null)[];
      keys.forEach((key, i) => {
        const flag = flagOf(key.slice(prefix.length), values[i] ?? null);
        if (flag !== null && (state === undefined || flag.state === state)) found.set(key, flag);
      });
    } while (cursor !== '0' && found.size < AT_MOST);
    const flags = [...found.values()].sort((a, b) => ((a.last ?? '') < (b.last ?? '') ? 1 : -1));
    return flags.slice(0, AT_MOST);
  }

  /**
   * Sets the state of a flag, and who looks after it; journaled.
   * @param inside canonical
   * @returns the flag as it is now; `null` when there is none
   * @throws BlocklistError
   */
  async mark(
    inside: string,
    sid: number,
    of: { readonly state: FlagState; readonly owner?: string; readonly reason?: string },
    { by, from, host }: Actor,
  ): Promise<Flag | null> {
    const key = this.#keys.flag(inside, sid);
    const act = of.state === 'acknowledged' ? 'acknowledge' : 'reopen';
    const at = new Date(this.#clock.now()).toISOString();
    const line = { at, act, address: inside, by, from, host, why: of.reason ?? `sid ${sid}` };
    const args = [of.state, of.owner ?? '', ...journalFields({ ...line, before: null, after: null })];
    const value = await this.#connection.script('flag-2', [key, this.#keys.journal], args);
    return flagOf(`${inside}:${sid}`, typeof value === 'string' ? value : null);
  }
}

/** Reads `<inside address>:<sid>` and its value; `null` for what nobody of ours wrote. */
function flagOf(suffix: string, value: string | null): Flag | null {
  const [, address, digits] = /^(.+):(\d{1,10})$/.exec(suffix) ?? [];
  const inside = parseAddress(address);
  const fields = value === null ? null : fieldsIn(value);
  if (inside === null || fields === null) return null;
  const text = (name: string) => (typeof fields[name] === 'string' ? (fields[name] as string) : null);
  const count = fields['count'];
  return {
    inside,
    sid: Number(digits),
    outside: text('outside'),
    first: text('first'),
    last: text('last'),
    count: typeof count === 'number' ? count : 0,
    owner: text('owner'),
    state: fields['state'] === 'acknowledged' ? 'acknowledged' : 'open',
  };
}

function fieldsIn(value: string): Readonly<Record<string, unknown>> | null {
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
