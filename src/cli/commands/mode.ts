import { FOREVER } from '../../base/clock.js';
import type { ModeSetting, RunMode } from '../../blocklist/mode.js';
import { effectiveMode } from '../../blocklist/mode.js';
import { durationArgument, endOf, textArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { configOf, daemonStatus } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, outputForm, print, tell, utc } from '../output.js';

const MODES: readonly string[] = ['enforce', 'observe', 'off', 'pause'];
const EFFECTIVE_WITHIN_MS = 2000;

/** Shows the mode, or sets it for the fleet or one host. */
export async function run(
  [mode, duration]: readonly string[],
  options: GlobalOptions & { host?: string; reason?: string },
): Promise<number> {
  const config = await configOf(options);
  return withBlocklist(config, options, async ({ acts, actor }) => {
    if (mode === undefined) {
      const [fleet, host] = [await acts.mode(), await acts.mode(options.host ?? config.host)];
      const now = effectiveMode(config.mode, fleet, host, Date.now());
      const text = now.until === null ? now.mode : `${now.mode} until ${utc(now.until)}`;
      print(
        outputForm(options.output) === 'json'
          ? JSON.stringify({ mode: now.mode, until: now.until && new Date(now.until).toISOString(), from: now.from })
          : text,
      );
      return EXIT.done;
    }
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
    const before = await acts.mode(options.host);
    const setting: ModeSetting = {
      mode: mode as RunMode,
      until,
      after: before && before.mode !== 'pause' ? before.mode : null,
    };
    if (options.dryRun) {
      print(`would set mode ${mode}`);
      return EXIT.done;
    }
    await acts.setMode(setting, reason, actor, options.host);
    const mine = options.host === undefined || options.host === config.host;
    const effective = mine ? await isEffective(config, mode) : true;
    if (!options.quiet) {
      const where = options.host ? `on ${options.host}` : 'for the fleet';
      print(`mode ${mode}${until === FOREVER ? '' : ` until ${utc(until)}`} ${where}`);
      print(
        `undo: barricata mode ${before?.mode === 'pause' ? 'enforce' : (before?.mode ?? config.mode)}${options.host ? ` --host ${options.host}` : ''} --reason "..."`,
      );
    }
    return effective ? EXIT.done : EXIT.notInKernel;
  });
}

async function isEffective(config: Parameters<typeof daemonStatus>[0], mode: string): Promise<boolean> {
  const end = performance.now() + EFFECTIVE_WITHIN_MS;
  while (performance.now() < end) {
    const status = await daemonStatus(config, 1000).catch(() => null);
    if (status === null || status.mode === mode) return status !== null;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  tell('the daemon has not taken it up yet; another setting may come before it: barricata status');
  return false;
}
