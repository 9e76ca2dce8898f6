import { type KeptVersion, PolicyVersions, PolicyVersionsError } from '../../daemon/policy-versions.js';
import { confirmed } from '../confirm.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, outputForm, print, printable, tell } from '../output.js';
import { type Base, baseOf } from './base.js';
import { type Candidate, candidateOf, judged } from './candidate.js';
import { screen } from './check.js';
import { type Changes, changesOf, diffLines, isEmpty, refuse } from './diff.js';
import { type Installed, install } from './install.js';
import { journal } from './journal.js';
import { preview, previewLines } from './preview.js';

export interface ApplyOptions extends GlobalOptions {
  readonly yes?: boolean;
  readonly reason?: string;
  readonly ticket?: string;
  readonly to?: string;
}

/** Puts a file in the place of the configuration, or has the daemon take up the one that was edited in place. */
export async function apply(file: string | undefined, options: ApplyOptions): Promise<number> {
  outputForm(options.output);
  const candidate = await candidateOf(file ?? options.config);
  if (candidate.config === null) return refuse(candidate);
  return change(await baseOf(options, candidate.text), candidate, null, options);
}

/** Brings back the configuration before the one that is in force, or the one that `--to` names. */
export async function undo(options: ApplyOptions): Promise<number> {
  outputForm(options.output);
  const base = await baseOf(options, null);
  const versions = await new PolicyVersions(base.place.state).list();
  const target = options.to === undefined ? previous(base, versions) : named(options.to, versions);
  const candidate = await judged(target.text, `version ${target.number}`);
  if (candidate.config === null) return refuse(candidate);
  return change(base, candidate, target.number, options);
}

/** The version before the one in force. After an undo, the one before what that brought back. */
function previous(base: Base, versions: readonly KeptVersion[]): KeptVersion {
  const text = base.running?.text || base.installed;
  const current = versions.find((version) => version.text === text);
  const before = current === undefined ? Number.POSITIVE_INFINITY : (current.restores ?? current.number);
  const target = versions.find((version) => version.inForce && version.number < before && version.text !== text);
  if (target === undefined) throw new CommandExit(EXIT.no, 'no earlier version is kept; see: barricata policy list');
  return target;
}

function named(which: string, versions: readonly KeptVersion[]): KeptVersion {
  const isNumber = /^\d{1,6}$/.test(which);
  const target = versions.find(({ number, version }) => (isNumber ? number === Number(which) : version === which));
  if (target === undefined) throw new CommandExit(EXIT.no, `no version ${which} is kept; see: barricata policy list`);
  return target;
}

/** Shows the change, asks, puts the file in place, and has the daemon take it up. */
async function change(
  base: Base,
  candidate: Candidate,
  restores: number | null,
  options: ApplyOptions,
): Promise<number> {
  const { config } = candidate;
  if (config === null) return refuse(candidate);
  const asJson = outputForm(options.output) === 'json';
  const say = (...lines: readonly string[]) => {
    if (!options.quiet && !asJson) for (const line of lines) print(line);
  };
  const changes = changesOf(base, candidate);
  const past = base.config === null ? { none: 'there is nothing to compare with' } : await preview(base.config, config);
  const report = (outcome: Installed['outcome'] | 'unchanged' | 'dry_run', installed?: Installed) => {
    if (options.quiet || !asJson) return;
    const whole = { outcome, file: base.file, kept: null, problems: [], ...changes };
    print(JSON.stringify({ ...whole, ...installed, preview: past }));
  };
  if (changes !== null && isEmpty(changes) && candidate.text === base.installed) {
    say(`nothing to change: policy ${changes.after} is in force`);
    report('unchanged');
    return EXIT.no;
  }
  refuseMove(base, changes);
  if (candidate.warnings.length > 0) say(...screen(candidate));
  say(...(changes === null ? [] : diffLines(changes, base.name, candidate.file)), ...previewLines(past).map(printable));
  if (options.dryRun) {
    say(`would put ${printable(candidate.file)} in the place of ${printable(base.file)}`);
    report('dry_run');
    return EXIT.done;
  }
  if (!(await confirmed(`Apply this to ${base.file}?`, options))) return EXIT.no;
  const { as: by = null, reason = null, ticket = null } = options;
  const wanted = { text: candidate.text, config, author: { by, reason, ticket }, restores };
  const installed = await install(base, wanted).catch((error: unknown) => {
    if (error instanceof PolicyVersionsError && error.kind === 'locked') throw new CommandExit(EXIT.no, error.message);
    throw error;
  });
  if (base.running === null) await journal(base, wanted, options);
  report(installed.outcome, installed);
  return answer(installed, config.policyVersion, say);
}

function answer(
  { outcome, kept, restartNeeded, problems }: Installed,
  version: string,
  say: (line: string) => void,
): number {
  for (const problem of problems) tell(printable(problem));
  const number = kept === null ? '' : `, kept as version ${kept}`;
  switch (outcome) {
    case 'applied':
      say(`applied: policy ${version}${number}`);
      if (restartNeeded.length > 0) say(`restart needed for: ${restartNeeded.join(', ')}`);
      say('undo: barricata policy undo');
      return EXIT.done;
    case 'written':
      tell(`written, and no daemon has taken it up: policy ${version}${number}`);
      return EXIT.notInKernel;
    case 'refused':
      tell('the daemon did not take it: the configuration before goes on, and is in place unless it was edited there');
      return EXIT.no;
  }
}

/** While a daemon runs, the command line finds it by these. */
function refuseMove(base: Base, changes: Changes | null): void {
  const moved = (changes?.restartNeeded ?? []).filter((key) => key === 'run' || key === 'state');
  if (moved.length === 0) return;
  throw new CommandExit(
    EXIT.usage,
    `${moved.join(' and ')} cannot change while Barricata runs: barricata stop, edit ${base.file}, barricata start`,
  );
}
