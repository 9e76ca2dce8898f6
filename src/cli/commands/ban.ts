import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import { controlRequest } from '../../daemon/control.js';
import { refusalOf } from '../../daemon/gate.js';
import { warning } from '../../protection/admits.js';
import { durationArgument, endOf, prefixArgument, textArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { configOf, controlSocket } from '../context.js';
import { waitForKernel } from '../kernel-check.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, print, tell, utc } from '../output.js';

interface Options extends GlobalOptions {
  readonly for?: string;
  readonly reason?: string;
  readonly ticket?: string;
  readonly replace?: boolean;
  readonly held?: boolean;
  readonly yes?: boolean;
}

/** Bans by hand, for the whole fleet; or writes the keys of a held loss back. */
export async function run([address]: readonly string[], options: Options): Promise<number> {
  const config = await configOf(options);
  const say = options.quiet ? () => {} : print;
  if (options.held) {
    const { written } = (await controlRequest(
      controlSocket(config),
      `/held/restore?by=${encodeURIComponent(options.as ?? '')}`,
      60_000,
    )) as { written: number };
    say(`${written} keys written back`);
    return written > 0 ? EXIT.done : EXIT.no;
  }
  const prefix = prefixArgument(address);
  const seconds = durationArgument('--for', options.for);
  const reason = textArgument('--reason', options.reason);
  return withBlocklist(config, options, async ({ acts, actor }) => {
    const refusal = await refusalOf(config, prefix, acts);
    if (refusal !== null)
      throw new CommandExit(EXIT.refused, `refused: ${prefix.text} ${refusal.detail}. See: barricata allow list`);
    const caution = warning(prefix);
    if (caution !== null) tell(`careful: ${caution}`);
    const until = endOf(seconds);
    const ends = until === FOREVER ? 'for good' : `until ${utc(until)} (${formatDuration(seconds)})`;
    if (options.dryRun) {
      say(`would ban ${prefix.text} ${ends}`);
      return EXIT.done;
    }
    const result = await acts.ban(
      { address: prefix.text, until, reason, ticket: options.ticket ?? null, replace: options.replace === true },
      actor,
    );
    if (result.outcome === 'unchanged' && result.before) {
      const left =
        result.before.until === FOREVER
          ? 'for good'
          : `${formatDuration((result.before.until - Date.now()) / 1000)} left`;
      say(`already banned, ${left}; to shorten: --replace`);
      return EXIT.no;
    }
    const kernel = await waitForKernel(config, prefix.text, true);
    if (typeof kernel === 'string') {
      tell(`banned ${prefix.text} ${ends} in Redis, but not in the kernel: ${kernel}`);
      return EXIT.notInKernel;
    }
    say(`banned ${prefix.text} ${ends}, in the kernel set after ${kernel} ms`);
    say(`undo: barricata unban ${prefix.text} --reason "..."`);
    return EXIT.done;
  });
}
