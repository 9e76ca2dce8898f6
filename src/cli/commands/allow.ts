import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import type { ListedEntry } from '../../blocklist/manual.js';
import type { Config } from '../../config/config.js';
import { durationArgument, endOf, prefixArgument, textArgument } from '../address.js';
import { type OpenBlocklist, withBlocklist } from '../blocklist.js';
import { configOf } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, outputForm, print, printRows, utc } from '../output.js';

interface Options extends GlobalOptions {
  readonly for?: string;
  readonly reason?: string;
  readonly ticket?: string;
}

/** `allow ADDRESS`, `allow list`, `allow remove ADDRESS`. */
export async function run([first, second, ...rest]: readonly string[], options: Options): Promise<number> {
  const config = await configOf(options);
  if (rest.length > 0 || (second !== undefined && first !== 'remove')) {
    throw new CommandExit(EXIT.usage, 'one address at a time: allow ADDRESS, allow list, allow remove ADDRESS');
  }
  return withBlocklist(config, options, (blocklist) => {
    if (first === 'list') return list(config, options, blocklist);
    if (first === 'remove') return remove(second, options, blocklist);
    return allow(first, options, blocklist);
  });
}

async function allow(address: string | undefined, options: Options, { acts, actor }: OpenBlocklist): Promise<number> {
  const prefix = prefixArgument(address);
  const seconds = durationArgument('--for', options.for);
  const reason = textArgument('--reason', options.reason);
  const until = endOf(seconds);
  const ends = until === FOREVER ? 'for good' : `until ${utc(until)} (${formatDuration(seconds)})`;
  if (options.dryRun) {
    print(`would allow ${prefix.text} ${ends}`);
    return EXIT.done;
  }
  const result = await acts
    .allow({ address: prefix.text, until, reason, ticket: options.ticket ?? null }, actor)
    .catch((error) => {
      if (error?.kind === 'refused') throw new CommandExit(EXIT.refused, `refused: ${error.message}`);
      throw error;
    });
  if (!options.quiet) {
    print(
      result.outcome === 'unchanged'
        ? `${prefix.text} is allowed for longer already`
        : `allowed ${prefix.text} ${ends}; it beats every ban`,
    );
    print(`undo: barricata allow remove ${prefix.text}`);
  }
  return result.outcome === 'unchanged' ? EXIT.no : EXIT.done;
}

async function remove(address: string | undefined, options: Options, { acts, actor }: OpenBlocklist): Promise<number> {
  const prefix = prefixArgument(address);
  if (options.dryRun) return EXIT.done;
  const removed = await acts.allowRemove(prefix.text, options.reason ?? 'removed by hand', actor);
  if (!options.quiet)
    print(removed.length > 0 ? `${prefix.text} is allowed no longer` : `${prefix.text} was not allowed`);
  return removed.length > 0 ? EXIT.done : EXIT.no;
}

interface Row {
  readonly address: string;
  readonly until: number;
  readonly reason: string;
  readonly ticket: string | null;
  /** Where it comes from: a key in Redis, or `never_ban` of the configuration. */
  readonly from: 'redis' | 'configuration';
}

async function list(config: Config, options: Options, { acts }: OpenBlocklist): Promise<number> {
  const rows: Row[] = config.neverBan.listed.map(({ prefix, until, reason, ticket }) => ({
    address: prefix.text,
    until: until ?? FOREVER,
    reason,
    ticket,
    from: 'configuration',
  }));
  for await (const page of acts.list('allow')) rows.push(...page.map(rowOf));
  printRows(
    outputForm(options.output),
    rows,
    [
      { title: 'ADDRESS', value: (row) => row.address },
      {
        title: 'LEFT',
        value: (row) => (row.until === FOREVER ? 'forever' : formatDuration((row.until - Date.now()) / 1000)),
      },
      { title: 'FROM', value: (row) => row.from },
      { title: 'REASON', value: (row) => row.reason, elastic: true },
      { title: 'TICKET', value: (row) => row.ticket ?? '-' },
    ],
    (row) => ({
      ...row,
      until: undefined,
      expiresAt: row.until === FOREVER ? null : new Date(row.until).toISOString(),
    }),
  );
  return EXIT.done;
}

function rowOf({ address, until, record }: ListedEntry): Row {
  return { address, until, reason: record.reason, ticket: record.ticket, from: 'redis' };
}
