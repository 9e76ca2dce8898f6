import { systemClock } from '../../base/clock.js';
import { type Flag, type FlagState, Flags } from '../../blocklist/flags.js';
import { prefixArgument } from '../address.js';
import { type OpenBlocklist, withBlocklist } from '../blocklist.js';
import { reporter } from '../change.js';
import { configOf } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { type Column, CommandExit, EXIT, outputForm, printRows, tell, utc } from '../output.js';

interface Options extends GlobalOptions {
  readonly state?: string;
  readonly owner?: string;
  readonly reason?: string;
}

const STATES: readonly FlagState[] = ['open', 'acknowledged'];
const FORMS = 'flags, flags ack ADDRESS SID, flags reopen ADDRESS SID';

const COLUMNS: readonly Column<Flag>[] = [
  { title: 'INSIDE', value: ({ inside }) => inside },
  { title: 'SID', value: ({ sid }) => String(sid) },
  { title: 'OUTSIDE', value: ({ outside }) => outside ?? '-' },
  { title: 'COUNT', value: ({ count }) => String(count) },
  { title: 'FIRST', value: ({ first }) => timeOf(first) },
  { title: 'LAST', value: ({ last }) => timeOf(last) },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'OWNER', value: ({ owner }) => owner ?? '-', elastic: true },
];

/** `flags`: own hosts that need a look; `flags ack`, `flags reopen`: that a person has seen one, or wants to see it again. */
export async function run([act, address, sid, ...rest]: readonly string[], options: Options): Promise<number> {
  const config = await configOf(options);
  return withBlocklist(config, options, (blocklist) => {
    if (act === undefined) return list(options, blocklist);
    if ((act !== 'ack' && act !== 'reopen') || rest.length > 0) {
      throw new CommandExit(EXIT.usage, `flags ${act}: write one of ${FORMS}`);
    }
    return mark(act === 'ack' ? 'acknowledged' : 'open', { address, sid }, options, blocklist);
  });
}

async function list({ state, output, quiet }: Options, { connection, keys }: OpenBlocklist): Promise<number> {
  const form = outputForm(output);
  const wanted = STATES.find((known) => known === state);
  if (state !== undefined && wanted === undefined) {
    throw new CommandExit(EXIT.usage, `--state ${state}: one of ${STATES.join(', ')}`);
  }
  const flags = await new Flags(connection, keys, systemClock).list(wanted);
  if (quiet) return EXIT.done;
  printRows(form, flags, COLUMNS, (flag) => flag);
  if (flags.length === 0 && form === 'table') tell('no own host is flagged');
  return EXIT.done;
}

async function mark(
  state: FlagState,
  { address, sid }: { readonly address: string | undefined; readonly sid: string | undefined },
  options: Options,
  { connection, keys, actor }: OpenBlocklist,
): Promise<number> {
  const inside = prefixArgument(address).text;
  if (!/^[1-9]\d{0,9}$/.test(sid ?? '')) throw new CommandExit(EXIT.usage, `a sid is missing: write one of ${FORMS}`);
  const report = reporter(options);
  const flags = new Flags(connection, keys, systemClock);
  const known = (await flags.list()).find((flag) => flag.inside === inside && flag.sid === Number(sid));
  if (known === undefined || known.state === state) {
    const why = known === undefined ? `${inside} has no flag for sid ${sid}` : `the flag is ${state} already`;
    report({ address: inside, outcome: known === undefined ? 'absent' : 'unchanged' }, why);
    return EXIT.no;
  }
  const done = state === 'open' ? 'reopened' : 'acknowledged';
  if (options.dryRun) {
    report({ address: inside, outcome: 'dry_run' }, `would be ${done}: ${inside}, sid ${sid}, ${known.count} alerts`);
    return EXIT.done;
  }
  const { owner, reason } = options;
  await flags.mark(inside, Number(sid), { state, ...(owner && { owner }), ...(reason && { reason }) }, actor);
  const undo = `undo: barricata flags ${state === 'open' ? 'ack' : 'reopen'} ${inside} ${sid}`;
  report({ address: inside, outcome: 'stored' }, `${done}: ${inside}, sid ${sid}`, undo);
  return EXIT.done;
}

function timeOf(at: string | null): string {
  return at === null || Number.isNaN(Date.parse(at)) ? '-' : utc(at);
}
