import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import type { ListedEntry } from '../../blocklist/manual.js';
import type { Config } from '../../config/config.js';
import { controlRequest } from '../../daemon/control.js';
import { contains, prefix } from '../../net/prefix.js';
import type { BanRecord } from '../../policy/ban.js';
import { prefixArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { configOf, controlSocket } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, outputForm, print, printRows, tell } from '../output.js';

const SOURCES: readonly string[] = ['suricata', 'filter', 'manual', 'import'] satisfies BanRecord['source'][];

interface Options extends GlobalOptions {
  readonly by: string;
  readonly would?: boolean;
  readonly source?: string;
  readonly sid?: number;
  readonly ticket?: string;
  readonly inside?: string;
  readonly watch?: boolean;
}

interface Row extends ListedEntry {
  /** `null` when the daemon could not be asked. */
  readonly packets: number | null;
}

/** Packets dropped by element: canonical text to count. */
type Elements = Readonly<Record<string, number>>;

/** What is banned, with what the kernel says of each. Exit 4 when the kernel could not be asked. */
export async function run(_args: readonly string[], options: Options): Promise<number> {
  const config = await configOf(options);
  if (options.by !== 'expiry' && options.by !== 'address')
    throw new CommandExit(EXIT.usage, `--by ${options.by}: expiry or address`);
  if (options.source !== undefined && !SOURCES.includes(options.source))
    throw new CommandExit(EXIT.usage, `--source ${options.source}: ${SOURCES.join(', ')}`);
  outputForm(options.output);
  // Nobody looks any more.
  if (options.watch) process.stdout.once('error', () => process.exit(EXIT.done));
  for (;;) {
    const rows = await collect(config, options);
    if (options.watch) print('\u001b[2J\u001b[H');
    if (!options.quiet) show(rows.entries, options, config.host);
    if (rows.unused) tell(rows.unused);
    if (!options.watch) {
      if (rows.problem) tell(rows.problem);
      return rows.problem ? EXIT.unreachable : EXIT.done;
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

async function collect(
  config: Config,
  options: Options,
): Promise<{ entries: Row[]; problem: string | null; unused: string | null }> {
  let elements: Elements | null = null;
  let problem: string | null = null;
  let unused: string | null = null;
  try {
    const { rules, packets } = (await controlRequest(controlSocket(config), '/elements', 30_000)) as {
      rules: string;
      packets: Elements;
    };
    elements = packets;
    // The sets hold what they hold, and no rule looks at them.
    if (rules !== 'in place') unused = `nothing is dropped: the rules are ${rules}. See: barricata doctor`;
  } catch (error) {
    problem = `the kernel column is unknown: ${error instanceof Error ? error.message : error}`;
  }
  const wanted = filterOf(options);
  const entries: Row[] = [];
  await withBlocklist(config, options, async ({ acts }) => {
    for await (const page of acts.list(options.would ? 'would' : 'ban')) {
      for (const entry of page) {
        if (wanted(entry))
          entries.push({ ...entry, packets: elements === null ? null : (elements[entry.address] ?? -1) });
      }
    }
  });
  entries.sort((a, b) =>
    options.by === 'address' || a.until === b.until ? (a.address < b.address ? -1 : 1) : a.until < b.until ? -1 : 1,
  );
  return { entries, problem, unused };
}

function filterOf(options: Options): (entry: ListedEntry) => boolean {
  const inside = options.inside === undefined ? null : prefixArgument(options.inside);
  return ({ address, record }) =>
    (options.source === undefined || record.source === options.source) &&
    (options.sid === undefined || record.sid === options.sid || record.sids.includes(options.sid)) &&
    (options.ticket === undefined || record.ticket === options.ticket) &&
    (inside === null || contains(inside, prefix(address)));
}

const inKernel = (row: Row): boolean => row.packets !== null && row.packets >= 0;

/** The set may hold an address whose packets never come here, since a proxy speaks for it. */
function kernelWord(row: Row): string {
  if (row.packets === null) return '?';
  if (!inKernel(row)) return 'no';
  return row.record.effect === undefined ? 'yes' : 'proxied';
}

function show(rows: readonly Row[], options: Options, host: string): void {
  printRows(
    outputForm(options.output),
    rows,
    [
      { title: 'ADDRESS', value: (row) => row.address },
      {
        title: 'LEFT',
        value: (row) => (row.until === FOREVER ? 'forever' : formatDuration((row.until - Date.now()) / 1000)),
      },
      { title: 'KERNEL', value: kernelWord },
      { title: 'PACKETS', value: (row) => (inKernel(row) ? String(row.packets) : '-'), align: 'right' },
      { title: 'SOURCE', value: (row) => row.record.source },
      { title: 'SID', value: (row) => (row.record.sid === null ? '-' : String(row.record.sid)) },
      { title: 'SCOPE', value: (row) => (row.host === null ? 'fleet' : 'host') },
      { title: 'REASON', value: (row) => row.record.reason, elastic: true },
      { title: 'TICKET', value: (row) => row.record.ticket ?? '-' },
    ],
    (row) => {
      const { sids: _sids, ...record } = row.record;
      return {
        ...record,
        address: row.address,
        expiresAt: row.until === FOREVER ? null : new Date(row.until).toISOString(),
        scope: row.host === null ? 'fleet' : 'host',
        host: row.host ?? row.record.host ?? host,
        kernel: row.packets === null ? null : inKernel(row),
        packets: inKernel(row) ? row.packets : 0,
      };
    },
  );
}
