import type { RedisConnection } from './connection.js';
import type { Keys } from './keys.js';

const LIFETIME = 30;

/**
 * Writes `barricata:host:<name>`, a hash that lives 30 s.
 *
 * @param machine what tells two machines with one name apart, such as /etc/machine-id
 * @returns `false` when another machine uses this name now; nothing was written then
 * @throws BlocklistError
 */
export async function writeHeartbeat(
  connection: RedisConnection,
  keys: Keys,
  machine: string,
  fields: Readonly<Record<string, string | number>>,
): Promise<boolean> {
  const args = Object.entries({ ...fields, machine }).flat();
  return (await connection.script('heartbeat-1', [keys.heartbeat()], [machine, LIFETIME, ...args])) === 1;
}
