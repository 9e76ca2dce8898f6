import { existsSync } from 'node:fs';
import { systemClock } from '../base/clock.js';
import { RedisConnection } from '../blocklist/connection.js';
import { BlocklistError } from '../blocklist/errors.js';
import { Keys } from '../blocklist/keys.js';
import { type Actor, type ListedEntry, ManualActs } from '../blocklist/manual.js';
import type { Config } from '../config/config.js';
import { ControlError, controlRequest } from '../daemon/control.js';
import { embeddedSocket, redisUrl } from '../daemon/redis-url.js';
import { type Prefix, prefix } from '../net/prefix.js';
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
  // The embedded Redis runs with the daemon: there is nothing to wait for.
  if (config.redis.embedded && ![embeddedSocket(config), controlSocket(config)].some((path) => existsSync(path))) {
    const message = 'Barricata does not run, nor does its Redis; start it: barricata start';
    throw new BlocklistError(`connect to ${embeddedSocket(config)}`, 'unreachable', message);
  }
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
 * The bans of this prefix that hold on this host, by itself or by a network
 * around it; the narrowest first. Usual spellings are read by name; of unusual
 * ones the running daemon knows.
 * @throws BlocklistError
 */
export async function bansOf(config: Config, acts: ManualActs, target: Prefix): Promise<ListedEntry[]> {
  const found = [...(await acts.covering(target.text))];
  const names = new Set(found.map(({ address }) => address));
  const path = `/covering?address=${encodeURIComponent(target.text)}`;
  const known = (await controlRequest(controlSocket(config), path, 2000).catch((error: unknown) => {
    if (error instanceof ControlError) return [];
    throw error;
  })) as string[];
  for (const text of known) if (!names.has(text)) found.push(...(await acts.find('ban', text)));
  const order = (entry: ListedEntry) => prefix(entry.address).length;
  return found.sort((a, b) => order(b) - order(a) || (a.until < b.until ? 1 : -1));
}
