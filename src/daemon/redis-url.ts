import { BlocklistError } from '../blocklist/errors.js';
import type { Config } from '../config/config.js';

/** The socket of the embedded Redis. */
export function embeddedSocket(config: Pick<Config, 'run'>): string {
  return `${config.run}/redis.sock`;
}

/**
 * Where the blocklist is: the embedded Redis's socket, or the configured address.
 * @throws BlocklistError kind `refused` for what the configuration accepts and this version cannot connect to
 */
export function redisUrl(config: Pick<Config, 'run' | 'redis'>): string {
  if (config.redis.embedded) return `unix://${embeddedSocket(config)}`;
  if (config.redis.url !== null) return config.redis.url;
  const message =
    'redis: this version connects to one Redis; write redis: { url: "redis://..." } in place of sentinels or cluster';
  throw new BlocklistError('redis address', 'refused', message);
}
