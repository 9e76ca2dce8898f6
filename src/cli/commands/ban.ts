import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import { controlRequest } from '../../daemon/control.js';
import { warning } from '../../protection/admits.js';
import { durationArgument, endOf, prefixArgument, textArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { expiry, type Report, reporter } from '../change.js';
import { configOf, controlSocket } from '../context.js';
import { droppedUntil, refusalFor, waitForKernel } from '../kernel-check.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, tell, utc } from '../output.js';

interface Options extends GlobalOptions {
  readonly for?: string;
  readonly reason?: string;
  readonly ticket?: string;
  readonly replace?: boolean;
  readonly held?: boolean;
}

/** Bans by hand, for the whole fleet; or writes the keys of a held loss back. */
export async function run([address]: readonly string[], options: Options): Promise<number> {
  const config = await configOf(options);
  const report = reporter(options);
  if (options.held) return restoreHeld(controlSocket(config), options, report);
  const prefix = prefixArgument(address);
  const seconds = durationArgument('--for', options.for);
  const reason = textArgument('--reason', options.reason);
  return withBlocklist(config, options, async ({ acts, actor }) => {
    const refusal = await refusalFor(config, prefix, acts);
    if (refusal !== null) {
      report({ address: prefix.text, outcome: 'refused' });
      throw new CommandExit(EXIT.refused, `refused: ${prefix.text} ${refusal.detail}. See: barricata allow list`);
    }
    const caution = warning(prefix);
    if (caution !== null) tell(`careful: ${caution}`);
    const until = endOf(seconds);
    const about = { address: prefix.text, expiresAt: expiry(until) };
    const ends = until === FOREVER ? 'for good' : `until ${utc(until)} (${formatDuration(seconds)})`;
    if (options.dryRun) {
      report({ ...about, outcome: 'dry_run' }, `would ban ${prefix.text} ${ends}`);
      return EXIT.done;
    }
    const { outcome, before } = await acts.ban(
      { address: prefix.text, until, reason, ticket: options.ticket ?? null, replace: options.replace === true },
      actor,
    );
    if (outcome === 'unchanged' && before) {
      const left = before.until === FOREVER ? 'for good' : `${formatDuration((before.until - Date.now()) / 1000)} left`;
      report(
        { address: prefix.text, outcome, expiresAt: expiry(before.until) },
        `already banned, ${left}; to shorten: --replace`,
      );
      return EXIT.no;
    }
    const { kernel, milliseconds, problem } = await waitForKernel(config, prefix.text, droppedUntil(until));
    const change = { ...about, outcome, kernel, milliseconds };
    if (problem !== null) {
      tell(`banned ${prefix.text} ${ends} in Redis, but not in the kernel: ${problem}`);
      report(change);
      return EXIT.notInKernel;
    }
    report(
      change,
      `banned ${prefix.text} ${ends}, in the kernel set after ${milliseconds} ms`,
      `undo: barricata unban ${prefix.text} --reason "..."`,
    );
    return EXIT.done;
  });
}

async function restoreHeld(socket: string, options: Options, report: Report): Promise<number> {
  if (options.dryRun) {
    const { held } = (await controlRequest(socket, '/held')) as { held: number };
    report({ outcome: 'dry_run' }, `would write ${held} keys back`);
    return held > 0 ? EXIT.done : EXIT.no;
  }
  const by = encodeURIComponent(options.as ?? '');
  const { written } = (await controlRequest(socket, `/held/restore?by=${by}`, 60_000)) as { written: number };
  report(
    { outcome: written > 0 ? 'stored' : 'absent' },
    written > 0 ? `${written} keys written back` : 'nothing is held',
  );
  return written > 0 ? EXIT.done : EXIT.no;
}
