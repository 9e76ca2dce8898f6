import { FOREVER, type Seconds } from '../base/clock.js';
import { formatDuration } from '../base/duration.js';
import type { ListedEntry, ManualActs } from '../blocklist/manual.js';
import type { Config } from '../config/config.js';
import { controlRequest } from '../daemon/control.js';
import type { OpenBlocklist } from './blocklist.js';
import type { Report } from './change.js';
import { confirmed } from './confirm.js';
import { controlSocket } from './context.js';
import { MANY_WITHIN_MS, settles } from './kernel-check.js';
import type { GlobalOptions } from './options.js';
import { EXIT, printable, tell } from './output.js';

/** What is written down about bans that are lifted. */
export interface Reasons {
  readonly reason: string;
  readonly ticket: string | null;
  readonly falsePositive: boolean;
}

/** As many are shown before the question. */
const SHOWN = 10;

/** Every signature that asked for these bans. */
export function sidsOf(entries: readonly ListedEntry[]): number[] {
  return [...new Set(entries.flatMap(({ record }) => [...(record.sid === null ? [] : [record.sid]), ...record.sids]))];
}

/**
 * Bans that one of these signatures asked for.
 * @param since only those whose last alert is at most this old; `null` for all
 * @throws BlocklistError
 */
export async function bansBySid(
  acts: ManualActs,
  sids: readonly number[],
  since: Seconds | null,
): Promise<ListedEntry[]> {
  const from = since === null ? Number.NEGATIVE_INFINITY : Date.now() - since * 1000;
  const found: ListedEntry[] = [];
  for await (const page of acts.list('ban')) {
    for (const entry of page)
      if (Date.parse(entry.record.last) >= from && sidsOf([entry]).some((sid) => sids.includes(sid))) found.push(entry);
  }
  return found;
}

/** Counts, previews, asks, lifts, and waits until the kernel holds none of them. */
export async function liftMany(
  config: Config,
  { acts, actor }: OpenBlocklist,
  entries: readonly ListedEntry[],
  what: string,
  of: Reasons,
  options: GlobalOptions & { readonly yes?: boolean },
  report: Report,
): Promise<number> {
  const byAddress = new Map(entries.map((entry) => [entry.address, entry]));
  const addresses = [...byAddress.keys()];
  const count = `${addresses.length} ban${addresses.length === 1 ? '' : 's'}`;
  if (addresses.length === 0) {
    report({ outcome: 'absent' }, `no ban ${what}`);
    return EXIT.no;
  }
  if (!options.quiet) preview(`${count} ${what}:`, [...byAddress.values()]);
  if (options.dryRun) {
    report({ outcome: 'dry_run', addresses }, `would lift ${count}`);
    return EXIT.done;
  }
  if (!(await confirmed(`Lift ${count}?`, options))) {
    report({ outcome: 'unchanged' }, 'nothing was changed');
    return EXIT.no;
  }
  const removed = await acts.unban(addresses, of, actor);
  const gone = new Set(removed.map(({ address }) => address));
  const { kernel, milliseconds, problem } = await settles(async () => {
    const { packets } = (await controlRequest(controlSocket(config), '/elements', 30_000)) as {
      packets: Readonly<Record<string, number>>;
    };
    const left = [...gone].filter((address) => packets[address] !== undefined).length;
    return left === 0 ? null : `${left} of them are still in the kernel`;
  }, MANY_WITHIN_MS);
  if (problem !== null) tell(`lifted in Redis; the kernel does not follow: ${problem}`);
  report(
    { outcome: 'removed', addresses: [...gone], kernel, milliseconds },
    ...(problem === null ? [`${gone.size} lifted, out of the kernel after ${milliseconds} ms`] : []),
  );
  return problem === null ? EXIT.done : EXIT.notInKernel;
}

function preview(title: string, entries: readonly ListedEntry[]): void {
  tell(title);
  for (const { address, until, record } of entries.slice(0, SHOWN)) {
    const left = until === FOREVER ? 'forever' : formatDuration((until - Date.now()) / 1000);
    tell(`  ${address.padEnd(18)} ${left.padEnd(8)} ${printable(record.reason)}`);
  }
  if (entries.length > SHOWN) tell(`  and ${entries.length - SHOWN} more`);
}
