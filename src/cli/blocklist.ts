import { systemClock } from '../base/clock.js';
import { RedisConnection } from '../blocklist/connection.js';
import { Keys } from '../blocklist/keys.js';
import { type Actor, type ListedEntry, ManualActs } from '../blocklist/manual.js';
import type { Config } from '../config/config.js';
import { redisUrl } from '../daemon/redis-url.js';
import { contains, type Prefix, prefix } from '../net/prefix.js';
import type { GlobalOptions } from './options.js';

/** What a command needs of the blocklist. */
export interface OpenBlocklist {
  readonly acts: ManualActs;
  readonly keys: Keys;
  readonly connection: RedisConnection;
  readonly actor: Actor;
}

/**
 * Connects to the blocklist, lets `use` work with it, and disconnects.
 * @throws BlocklistError kind `unreachable` when Redis does not answer
 */
export async function withBlocklist<T>(
  config: Config,
  options: GlobalOptions,
  use: (blocklist: OpenBlocklist) => Promise<T>,
): Promise<T> {
  const connection = new RedisConnection(redisUrl(config), 'barricata-cli');
  const keys = new Keys(config.redis.prefix, config.host);
  try {
    await connection.start();
    await connection.ready();
    const actor: Actor = { by: options.as ?? null, from: 'cli', host: config.host };
    return await use({ acts: new ManualActs(connection, keys, systemClock), keys, connection, actor });
  } finally {
    await connection.stop();
  }
}

/** The bans of this prefix, by itself or by a network around it, of every host; the narrowest first. @throws BlocklistError */
export async function bansOf(acts: ManualActs, target: Prefix): Promise<ListedEntry[]> {
  const found: ListedEntry[] = [];
  for await (const page of acts.list('ban'))
    found.push(...page.filter(({ address }) => contains(prefix(address), target)));
  const order = (entry: ListedEntry) => prefix(entry.address).length;
  return found.sort((a, b) => order(b) - order(a) || (a.until < b.until ? 1 : -1));
}
