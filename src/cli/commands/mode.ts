import { type EpochMs, FOREVER } from '../../base/clock.js';
import { type EffectiveMode, effectiveMode, type ModeSetting, type RunMode } from '../../blocklist/mode.js';
import type { Config } from '../../config/config.js';
import { ControlError, controlRequest } from '../../daemon/control.js';
import { durationArgument, endOf, textArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { expiry, reporter } from '../change.js';
import { configOf, controlSocket } from '../context.js';
import { settles } from '../kernel-check.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, outputForm, print, tell, utc } from '../output.js';

const MODES: readonly string[] = ['enforce', 'observe', 'off', 'pause'];

interface Options extends GlobalOptions {
  readonly host?: string;
  readonly reason?: string;
}

/** Shows the mode, or sets it for the fleet or one host. */
export async function run([mode, duration]: readonly string[], options: Options): Promise<number> {
  const config = await configOf(options);
  if (mode === undefined) return show(config, options);
  const report = reporter(options);
  if (!MODES.includes(mode))
    throw new CommandExit(EXIT.usage, `mode ${mode}: observe, enforce, off, or pause with a duration`);
  if ((mode === 'pause') !== (duration !== undefined)) {
    throw new CommandExit(
      EXIT.usage,
      mode === 'pause' ? 'pause needs a duration: barricata mode pause 15m' : `${mode} takes no duration`,
    );
  }
  const reason = textArgument('--reason', options.reason);
  const until = duration === undefined ? FOREVER : endOf(durationArgument('pause', duration));
  const about = { mode, expiresAt: expiry(until) };
  const where = options.host ? `on ${options.host}` : 'for the fleet';
  const what = `mode ${mode}${until === FOREVER ? '' : ` until ${utc(until)}`} ${where}`;
  if (options.dryRun) {
    report({ ...about, outcome: 'dry_run' }, `would set ${what}`);
    return EXIT.done;
  }
  return withBlocklist(config, options, async ({ acts, actor }) => {
    const before = await acts.mode(options.host);
    const lasting = lastingOf(before);
    const setting: ModeSetting = { mode: mode as RunMode, until, after: lasting };
    await acts.setMode(setting, reason, actor, options.host);
    const otherwise = options.host === undefined ? null : lastingOf(await acts.mode());
    const undo = `barricata mode ${lasting ?? otherwise ?? config.mode}${options.host ? ` --host ${options.host}` : ''}`;
    const lines = [what, `undo: ${undo} --reason "..."`];
    if (options.host !== undefined && options.host !== config.host) {
      report({ ...about, outcome: 'stored' }, ...lines);
      return EXIT.done;
    }
    const { kernel, milliseconds, problem } = await settles(async () =>
      (await daemonMode(config)).mode === mode ? null : 'the daemon has not taken it up yet',
    );
    if (problem !== null) tell(`${problem}; another setting may come before it: barricata status`);
    else if (mode === 'enforce') lines.push(...(await resetLimits(config)));
    report({ ...about, outcome: 'stored', kernel, milliseconds }, ...lines);
    return problem === null ? EXIT.done : EXIT.notInKernel;
  });
}

/** What a setting stands for once a pause in it is over; `null` when that is left to others. */
function lastingOf(setting: ModeSetting | null): Exclude<RunMode, 'pause'> | null {
  if (setting === null) return null;
  return setting.mode === 'pause' ? setting.after : setting.mode;
}

interface DaemonMode {
  readonly mode: RunMode;
  readonly until: EpochMs | null;
  readonly from: EffectiveMode['from'];
}

function daemonMode(config: Config): Promise<DaemonMode> {
  return controlRequest(controlSocket(config), '/mode', 2000) as Promise<DaemonMode>;
}

/** A limit that was reached stops automatic bans also while the mode is enforce; whoever says enforce wants them. */
async function resetLimits(config: Config): Promise<string[]> {
  const { reached } = (await controlRequest(controlSocket(config), '/limits/reset')) as { reached: string | null };
  return reached === null ? [] : [`automatic bans go on: limits.${reached} had been reached`];
}

/** The mode as the daemon has it; without a daemon, as the keys and the file ask for. */
async function show(config: Config, options: Options): Promise<number> {
  const form = outputForm(options.output);
  const mine = options.host === undefined || options.host === config.host;
  const known = mine ? await daemonMode(config).catch(unlessNotRunning) : null;
  const { mode, until, from } =
    known ??
    (await withBlocklist(config, options, async ({ acts }) =>
      effectiveMode(config.mode, await acts.mode(), await acts.mode(options.host ?? config.host), Date.now()),
    ));
  if (options.quiet) return EXIT.done;
  if (form === 'json')
    print(JSON.stringify({ mode, until: until === null ? null : new Date(until).toISOString(), from }));
  else print(until === null ? mode : `${mode} until ${utc(until)}`);
  return EXIT.done;
}

function unlessNotRunning(error: unknown): null {
  if (error instanceof ControlError) return null;
  throw error;
}
