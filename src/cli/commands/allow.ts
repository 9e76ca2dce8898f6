import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import type { ListedEntry } from '../../blocklist/manual.js';
import type { Config } from '../../config/config.js';
import { overlaps } from '../../net/prefix.js';
import { durationArgument, endOf, prefixArgument, textArgument } from '../address.js';
import { type OpenBlocklist, withBlocklist } from '../blocklist.js';
import { expiry, type Report, reporter } from '../change.js';
import { configOf } from '../context.js';
import { type KernelView, waitForKernel } from '../kernel-check.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, outputForm, printRows, tell, utc } from '../output.js';

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
  const report = reporter(options);
  return withBlocklist(config, options, (blocklist) => {
    if (first === 'list') return list(config, options, blocklist);
    if (first === 'remove') return remove(config, second, options, blocklist, report);
    return allow(config, first, options, blocklist, report);
  });
}

async function allow(
  config: Config,
  address: string | undefined,
  options: Options,
  { acts, actor }: OpenBlocklist,
  report: Report,
): Promise<number> {
  const prefix = prefixArgument(address);
  const seconds = durationArgument('--for', options.for);
  const reason = textArgument('--reason', options.reason);
  const until = endOf(seconds);
  const about = { address: prefix.text, expiresAt: expiry(until) };
  const ends = until === FOREVER ? 'for good' : `until ${utc(until)} (${formatDuration(seconds)})`;
  if (options.dryRun) {
    report({ ...about, outcome: 'dry_run' }, `would allow ${prefix.text} ${ends}`);
    return EXIT.done;
  }
  const { outcome, before } = await acts
    .allow({ address: prefix.text, until, reason, ticket: options.ticket ?? null }, actor)
    .catch((error) => {
      if (error?.kind === 'refused') throw new CommandExit(EXIT.refused, `refused: ${error.message}`);
      throw error;
    });
  const undo = `undo: barricata allow remove ${prefix.text}`;
  if (outcome === 'unchanged') {
    report(
      { ...about, outcome, expiresAt: before && expiry(before.until) },
      `${prefix.text} is allowed for longer already`,
      undo,
    );
    return EXIT.no;
  }
  const { kernel, milliseconds, problem } = await waitForKernel(config, prefix.text, isAllowed);
  if (problem !== null) tell(`allowed ${prefix.text} ${ends} in Redis, but not in the kernel: ${problem}`);
  report(
    { ...about, outcome, kernel, milliseconds },
    ...(problem === null ? [`allowed ${prefix.text} ${ends}; it beats every ban, after ${milliseconds} ms`, undo] : []),
  );
  return problem === null ? EXIT.done : EXIT.notInKernel;
}

/** In the allow set, and its own ban out of the other. */
const isAllowed = ({ allowed, inKernel }: KernelView): boolean => allowed && !inKernel;

async function remove(
  config: Config,
  address: string | undefined,
  options: Options,
  { acts, actor }: OpenBlocklist,
  report: Report,
): Promise<number> {
  const prefix = prefixArgument(address);
  const { text } = prefix;
  const listed = config.neverBan.listed.find((entry) => overlaps(entry.prefix, prefix));
  const goesOn = listed ? [`${listed.prefix.text} stays allowed by never_ban in ${config.file}`] : [];
  if (options.dryRun) {
    const found = await acts.find('allow', text);
    report(
      { address: text, outcome: 'dry_run' },
      found.length > 0 ? `would allow ${text} no longer` : `${text} is not allowed`,
    );
    return found.length > 0 ? EXIT.done : EXIT.no;
  }
  const removed = await acts.allowRemove(text, options.reason ?? 'removed by hand', actor);
  if (removed.length === 0) {
    report({ address: text, outcome: 'absent' }, `${text} was not allowed`, ...goesOn);
    return EXIT.no;
  }
  const { kernel, milliseconds, problem } = await waitForKernel(
    config,
    text,
    (view) => !view.allowed || listed?.prefix.text === text,
  );
  if (problem !== null) tell(`${text} is allowed no longer in Redis; the kernel does not follow: ${problem}`);
  report(
    { address: text, outcome: 'removed', kernel, milliseconds },
    ...(problem === null ? [`${text} is allowed no longer, after ${milliseconds} ms`, ...goesOn] : []),
  );
  return problem === null ? EXIT.done : EXIT.notInKernel;
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
