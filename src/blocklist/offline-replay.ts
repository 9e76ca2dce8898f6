import type { Log } from '../base/log.js';
import type { RedisConnection } from './connection.js';
import { BlocklistError, blocklistError } from './errors.js';
import type { Keys } from './keys.js';
import type { OfflineBatch } from './offline-journal.js';

/** Arguments of the commit script before the effects: source, sequence, position, host, time. */
const BEFORE_EFFECTS = 5;

/** Runs the commit script. @throws BlocklistError */
type Send = (args: readonly string[]) => Promise<unknown>;

/** What a Redis says that is too old for the script: another one may take the same entries. */
const TOO_OLD = /unknown (redis )?command|syntax error/i;

/**
 * Applies one batch of the offline journal. When Redis refuses it, its effects
 * are sent one by one, and only those are given up that Redis refuses alone:
 * they would be refused for ever, and the others must not wait behind them.
 * @returns how many effects were given up; each is in the log
 * @throws BlocklistError when Redis takes nothing now: the batch has to be kept
 */
export async function applyOffline({ args }: OfflineBatch, send: Send, log: Log): Promise<number> {
  if ((await refusalOf(send, args)) === null) return 0;
  const [, , , host, at] = args as [string, string, string, string, string];
  let givenUp = 0;
  for (const effect of args.slice(BEFORE_EFFECTS)) {
    const refusal = await refusalOf(send, ['', '0', 'null', host, at, effect]);
    if (refusal === null) continue;
    givenUp += 1;
    log.error(
      { err: refusal.message, effect },
      'Redis refuses an entry of the offline journal for good; it is given up',
    );
  }
  await send(args.slice(0, BEFORE_EFFECTS));
  return givenUp;
}

/** Why Redis refused, if it did; whatever passes by itself is thrown. */
async function refusalOf(send: Send, args: readonly string[]): Promise<BlocklistError | null> {
  try {
    await send(args);
    return null;
  } catch (error) {
    const failure = blocklistError('replay', error);
    if (failure.passing || TOO_OLD.test(failure.message)) throw failure;
    return failure;
  }
}

/**
 * Every batch would be refused, and nothing can be stored, while a key that all
 * of them write is of another type.
 * @throws BlocklistError kind `refused`, naming the key
 */
export async function checkSharedKeys(connection: RedisConnection, keys: Keys): Promise<void> {
  const expected = [
    [keys.journal, 'stream'],
    [keys.told, 'zset'],
    [keys.raw, 'hash'],
    [keys.position(), 'hash'],
  ] as const;
  const types = await connection.pipeline(expected.map(([key]) => ['TYPE', key]));
  for (const [i, [key, type]] of expected.entries()) {
    const found = types[i] as string;
    if (found === type || found === 'none') continue;
    const message = `${key} holds a ${found} and should hold a ${type}: remove it (redis-cli DEL ${key})`;
    throw new BlocklistError('replay', 'refused', message);
  }
}
