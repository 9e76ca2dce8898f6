import type { Config } from '../config/config.js';

/** The socket of the embedded Redis. */
export function embeddedSocket(config: Pick<Config, 'run'>): string {
  return `${config.run}/redis.sock`;
}

/** Where the blocklist is: the embedded Redis's socket, or the configured address. */
export function redisUrl(config: Pick<Config, 'run' | 'redis'>): string {
  return config.redis.url ?? `unix://${embeddedSocket(config)}`;
}
