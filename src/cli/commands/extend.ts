import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import { durationArgument, endOf, prefixArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { expiry, reporter } from '../change.js';
import { configOf } from '../context.js';
import { droppedUntil, waitForKernel } from '../kernel-check.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, tell, utc } from '../output.js';

/** Makes a ban last longer; never shorter. */
export async function run(
  [address]: readonly string[],
  options: GlobalOptions & { to?: string; reason?: string },
): Promise<number> {
  const config = await configOf(options);
  const report = reporter(options);
  const prefix = prefixArgument(address);
  const until = endOf(durationArgument('--to', options.to));
  const about = { address: prefix.text, expiresAt: expiry(until) };
  const ends = until === FOREVER ? 'for good' : `until ${utc(until)}`;
  return withBlocklist(config, options, async ({ acts, actor }) => {
    if (options.dryRun) {
      report({ ...about, outcome: 'dry_run' }, `would make the ban of ${prefix.text} last ${ends}`);
      return EXIT.done;
    }
    const { outcome, before } = await acts.extend(prefix.text, until, options.reason ?? null, actor);
    if (outcome === 'absent') {
      report(
        { address: prefix.text, outcome },
        `${prefix.text} is not banned; to ban it: barricata ban ${prefix.text} --for ${options.to} --reason "..."`,
      );
      return EXIT.no;
    }
    if (outcome === 'unchanged') {
      const end = before?.until ?? 0;
      const lasts = end === FOREVER ? 'for good' : `another ${formatDuration((end - Date.now()) / 1000)}`;
      report(
        { address: prefix.text, outcome, expiresAt: expiry(end) },
        `it lasts ${lasts} already; to shorten: barricata ban ${prefix.text} --replace`,
      );
      return EXIT.no;
    }
    const { kernel, milliseconds, problem } = await waitForKernel(config, prefix.text, droppedUntil(until));
    if (problem !== null) tell(`the ban lasts ${ends} in Redis, but not in the kernel: ${problem}`);
    report(
      { ...about, outcome, kernel, milliseconds },
      ...(problem === null
        ? [`the ban of ${prefix.text} lasts ${ends}, in the kernel too after ${milliseconds} ms`]
        : []),
    );
    return problem === null ? EXIT.done : EXIT.notInKernel;
  });
}
