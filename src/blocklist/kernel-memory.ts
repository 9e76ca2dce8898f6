import type { Clock, EpochMs } from '../base/clock.js';
import type { ListName } from '../enforcement/set-backend.js';
import type { RedisConnection } from './connection.js';
import { breathe, DUE, GONE } from './intake.js';
import { type Keys, LETTER } from './keys.js';
import type { Level } from './level.js';
import type { Loss } from './loss-guard.js';

/** An element that a kernel set held when this process started. */
export type KernelEntry = readonly [list: ListName, text: string, until: EpochMs];

const READ_AT_MOST = 1000;

/**
 * Compares what the kernel held at start with what Redis was found to hold. Of
 * the elements that Redis lacks, those removed by a journaled command are no
 * loss, nor are those about to end.
 *
 * @returns per list the elements that the kernel held, and those lost
 * @throws BlocklistError
 */
export async function kernelLosses(
  kernel: Iterable<KernelEntry> | AsyncIterable<KernelEntry>,
  level: Level,
  { connection, keys, clock }: { readonly connection: RedisConnection; readonly keys: Keys; readonly clock: Clock },
): Promise<Record<ListName, { readonly count: number; readonly losses: Loss[] }>> {
  const count = { ban: 0, allow: 0 };
  const missing: Record<ListName, Loss[]> = { ban: [], allow: [] };
  for await (const [list, text, until] of kernel) {
    count[list] += 1;
    if ((count.ban + count.allow) % READ_AT_MOST === 0) await breathe();
    if (until <= clock.now() + DUE || level.get(list, text) !== undefined) continue;
    // Whether it was a ban of the fleet is no longer known; the narrower scope is the safe one to restore.
    missing[list].push({ id: (list === 'ban' ? LETTER.local : LETTER.allow) + text, text, until });
  }
  const lost = async (list: ListName): Promise<Loss[]> => {
    const losses: Loss[] = [];
    for (let at = 0; at < missing[list].length; at += READ_AT_MOST) {
      const part = missing[list].slice(at, at + READ_AT_MOST);
      const names = part.flatMap(({ text }) =>
        list === 'ban' ? [keys.ban(text), keys.local(text)] : [keys.allow(text), keys.allow(text)],
      );
      const [, ...ends] = (await connection.script('read-1', [keys.told], names)) as (number | string)[];
      losses.push(...part.filter((_, i) => ends[2 * i] === GONE && ends[2 * i + 1] === GONE));
    }
    return losses;
  };
  return {
    ban: { count: count.ban, losses: await lost('ban') },
    allow: { count: count.allow, losses: await lost('allow') },
  };
}
