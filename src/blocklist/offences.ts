import { FOREVER } from '../base/clock.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import { type PastBan, PastBans } from '../policy/past-bans.js';
import type { RedisConnection } from './connection.js';
import { blocklistError } from './errors.js';
import type { Keys } from './keys.js';

const AT_ONCE = 500;

export interface OffencesOptions {
  readonly connection: Pick<RedisConnection, 'up' | 'script'>;
  readonly keys: Keys;
  /** Redis time minus our time, ms. */
  readonly skew: () => number;
  readonly log: Log;
}

/**
 * Reads what the fleet knows of earlier bans: `barricata:offence:<address or
 * /64>`, a sorted set that the commit script writes together with the ban it
 * counts. Asked when a batch cannot be stored as one of new attackers, so that no
 * copy is held here.
 */
export class Offences {
  readonly #o: OffencesOptions;
  readonly #complaints: RateLimitedLog;

  constructor(options: OffencesOptions) {
    this.#o = options;
    this.#complaints = new RateLimitedLog(options.log);
  }

  /**
   * The past bans of these offenders. Never fails: while Redis is away nothing is
   * known of anybody, and each ban is as short as a first one.
   */
  async read(offenders: Iterable<string>): Promise<PastBans> {
    const { connection, keys, skew } = this.#o;
    const wanted = [...offenders];
    const past = new PastBans(Math.max(1, wanted.length));
    if (!connection.up) return past;
    try {
      for (let at = 0; at < wanted.length; at += AT_ONCE) {
        const part = wanted.slice(at, at + AT_ONCE);
        const found = (await connection.script('offences-1', [keys.ban('')], part.map(keys.offence))) as unknown[][];
        found.forEach((flat, i) => {
          if (flat.length > 0) past.set(part[i] as string, bansIn(flat, skew()));
        });
      }
    } catch (error) {
      const { message } = blocklistError('read offences', error);
      this.#complaints.warn(
        'read',
        { err: message },
        'earlier bans could not be read: repeat offenders are banned as the first time',
      );
    }
    return past;
  }
}

function bansIn(flat: readonly unknown[], skew: number): PastBan[] {
  const bans: PastBan[] = [];
  for (let i = 0; i < flat.length; i += 3) {
    const ends = Number(flat[i + 2]);
    const until = ends === -1 ? FOREVER : ends === 0 ? 0 : ends - skew;
    bans.push({ prefix: String(flat[i]), madeAt: Number(flat[i + 1]), until });
  }
  return bans;
}
