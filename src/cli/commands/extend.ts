import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import { durationArgument, endOf, prefixArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { configOf } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, print, utc } from '../output.js';

/** Makes a ban last longer; never shorter. */
export async function run(
  [address]: readonly string[],
  options: GlobalOptions & { to?: string; reason?: string },
): Promise<number> {
  const config = await configOf(options);
  const prefix = prefixArgument(address);
  const until = endOf(durationArgument('--to', options.to));
  const say = options.quiet ? () => {} : print;
  const ends = until === FOREVER ? 'for good' : `until ${utc(until)}`;
  return withBlocklist(config, options, async ({ acts, actor }) => {
    if (options.dryRun) {
      say(`would make the ban of ${prefix.text} last ${ends}`);
      return EXIT.done;
    }
    const result = await acts.extend(prefix.text, until, options.reason ?? null, actor);
    if (result.outcome === 'absent') {
      say(`${prefix.text} is not banned; to ban it: barricata ban ${prefix.text} --for ${options.to} --reason "..."`);
      return EXIT.no;
    }
    if (result.outcome === 'unchanged') {
      const lasts =
        result.before?.until === FOREVER
          ? 'for good'
          : `another ${formatDuration(((result.before?.until ?? 0) - Date.now()) / 1000)}`;
      say(`it lasts ${lasts} already; to shorten: barricata ban ${prefix.text} --replace`);
      return EXIT.no;
    }
    say(`the ban of ${prefix.text} lasts ${ends}`);
    return EXIT.done;
  });
}
