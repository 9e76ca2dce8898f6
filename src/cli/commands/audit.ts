import { ACTS, type JournalEntry } from '../../blocklist/journal.js';
import { contains, isProblem, type Prefix, parsePrefix } from '../../net/prefix.js';
import { durationArgument, prefixArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { configOf } from '../context.js';
import { lasts } from '../journal-line.js';
import type { GlobalOptions } from '../options.js';
import { type Column, CommandExit, EXIT, outputForm, printRows, tell, utc } from '../output.js';

/** More lines than a person reads; the journal keeps about 100,000. */
const AT_MOST = 100_000;

const COLUMNS: readonly Column<JournalEntry>[] = [
  { title: 'TIME', value: ({ at }) => timeOf(at) },
  { title: 'ACT', value: ({ act }) => act },
  { title: 'ADDRESS', value: ({ address }) => address },
  { title: 'BY', value: ({ by }) => by ?? '-' },
  { title: 'FROM', value: ({ from }) => from ?? '-' },
  { title: 'HOST', value: ({ host }) => host ?? '-' },
  { title: 'BEFORE', value: ({ before }) => lasts(before), elastic: true },
  { title: 'AFTER', value: ({ after }) => lasts(after), elastic: true },
  { title: 'TICKET', value: ({ ticket }) => ticket ?? '-' },
  { title: 'WHY', value: ({ why }) => why ?? '-', elastic: true },
];

/** Who did what, newest first, from the journal in Redis. */
export async function run(
  [address]: readonly string[],
  options: GlobalOptions & { since?: string; by?: string; act?: string },
): Promise<number> {
  const config = await configOf(options);
  const form = outputForm(options.output);
  const prefix = address === undefined ? null : prefixArgument(address);
  const since = options.since === undefined ? 0 : Date.now() - durationArgument('--since', options.since) * 1000;
  const { by, act } = options;
  if (act !== undefined && !ACTS.some((known) => known === act))
    throw new CommandExit(EXIT.usage, `--act ${act}: one of ${ACTS.join(', ')}`);
  const wanted = (line: JournalEntry): boolean =>
    (by === undefined || line.by === by) &&
    (act === undefined || line.act === act) &&
    (prefix === null || concerns(line, prefix));
  const lines = await withBlocklist(config, options, ({ acts }) => acts.journal.read(AT_MOST, wanted, AT_MOST, since));
  if (options.quiet) return EXIT.done;
  printRows(form, lines, COLUMNS, ({ id: _, ...line }) => line);
  if (lines.length === 0 && form === 'table') tell('the journal has no such line');
  return EXIT.done;
}

/** A line about the address itself, a network around it, or something inside it. */
function concerns({ address }: JournalEntry, asked: Prefix): boolean {
  if (address === asked.text) return true;
  const prefix = parsePrefix(address);
  return !isProblem(prefix) && (contains(prefix, asked) || contains(asked, prefix));
}

function timeOf(at: string): string {
  return Number.isNaN(Date.parse(at)) ? at : utc(at);
}
