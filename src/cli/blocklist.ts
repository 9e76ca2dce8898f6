import { systemClock } from '../base/clock.js';
import { RedisConnection } from '../blocklist/connection.js';
import { Keys } from '../blocklist/keys.js';
import { type Actor, type ListedEntry, ManualActs } from '../blocklist/manual.js';
import type { Config } from '../config/config.js';
import { ControlError, controlRequest } from '../daemon/control.js';
import { redisUrl } from '../daemon/redis-url.js';
import { contains, type Prefix, prefix } from '../net/prefix.js';
import { controlSocket } from './context.js';
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

/**
 * The bans of this prefix, by itself or by a network around it; the narrowest
 * first. The running daemon knows which networks those are; without it the
 * whole list is read.
 * @throws BlocklistError
 */
export async function bansOf(
  config: Config,
  acts: ManualActs,
  target: Prefix,
  which: 'own and wider' | 'wider' = 'own and wider',
): Promise<ListedEntry[]> {
  const path = `/covering?address=${encodeURIComponent(target.text)}`;
  let found: ListedEntry[] = [];
  try {
    const known = (await controlRequest(controlSocket(config), path, 2000)) as string[];
    // The daemon may not have heard yet of a key of this very address.
    const texts = new Set([target.text, ...known]);
    if (which === 'wider') texts.delete(target.text);
    for (const text of texts) found.push(...(await acts.find('ban', text)));
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    found = (await bansAmongAll(acts, target)).filter(({ address }) => which !== 'wider' || address !== target.text);
  }
  const order = (entry: ListedEntry) => prefix(entry.address).length;
  return found.sort((a, b) => order(b) - order(a) || (a.until < b.until ? 1 : -1));
}

async function bansAmongAll(acts: ManualActs, target: Prefix): Promise<ListedEntry[]> {
  const found: ListedEntry[] = [];
  for await (const page of acts.list('ban'))
    found.push(...page.filter(({ address }) => contains(prefix(address), target)));
  return found;
}
