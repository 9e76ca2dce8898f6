import { type KeptVersion, PolicyVersions } from '../../daemon/policy-versions.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, outputForm, printRows } from '../output.js';
import { type ApplyOptions, apply, undo } from '../policy/apply.js';
import { baseOf } from '../policy/base.js';
import { check } from '../policy/check.js';
import { diff } from '../policy/diff.js';

/** Checks, compares, applies or undoes the configuration. Without a file it is the one that `--config` names. */
export async function run([action, file]: readonly string[], options: ApplyOptions): Promise<number> {
  const alone = action === 'undo' || action === 'list';
  if (alone && file !== undefined) throw new CommandExit(EXIT.usage, `policy ${action} takes no file`);
  if (options.to !== undefined && action !== 'undo') throw new CommandExit(EXIT.usage, '--to goes with policy undo');
  switch (action) {
    case 'check':
      return check(file ?? options.config, options);
    case 'diff':
      return diff(file, options);
    case 'apply':
      return apply(file, options);
    case 'undo':
      return undo(options);
    case 'list':
      return list(options);
    default:
      throw new CommandExit(EXIT.usage, `policy ${action}: check, diff, apply, undo or list`);
  }
}

/** The configurations that are kept, newest first. */
async function list(options: GlobalOptions): Promise<number> {
  const form = outputForm(options.output);
  const { place, running } = await baseOf(options, null);
  const versions = await new PolicyVersions(place.state).list();
  if (options.quiet) return EXIT.done;
  const state = ({ number, inForce }: KeptVersion) =>
    running?.kept === number ? 'runs' : inForce ? '-' : 'never taken up';
  printRows(
    form,
    versions,
    [
      { title: 'VERSION', value: ({ number }) => String(number), align: 'right' },
      { title: 'POLICY', value: ({ version }) => version },
      { title: 'SINCE', value: ({ at }) => at },
      { title: 'STATE', value: state },
      { title: 'BY', value: ({ by }) => by ?? '-' },
      { title: 'TICKET', value: ({ ticket }) => ticket ?? '-' },
      {
        title: 'REASON',
        value: ({ reason, restores }) => (restores === null ? (reason ?? '-') : `undo: back to ${restores}`),
        elastic: true,
      },
    ],
    ({ number, version, at, by, ticket, reason, restores, inForce }) => ({
      number,
      version,
      at,
      runs: running?.kept === number,
      by,
      ticket,
      reason,
      restores,
      inForce,
    }),
  );
  return EXIT.done;
}
