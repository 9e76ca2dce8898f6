import { prefixArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { configOf } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, print } from '../output.js';

/** Leaves a note at a ban; its time stays. */
export async function run(
  [address, ...words]: readonly string[],
  options: GlobalOptions & { ticket?: string },
): Promise<number> {
  const config = await configOf(options);
  const prefix = prefixArgument(address);
  return withBlocklist(config, options, async ({ acts, actor }) => {
    if (options.dryRun) return EXIT.done;
    const result = await acts.note(prefix.text, words.join(' '), options.ticket ?? null, actor);
    if (!options.quiet) print(result.outcome === 'absent' ? `${prefix.text} is not banned` : `noted at ${prefix.text}`);
    return result.outcome === 'absent' ? EXIT.no : EXIT.done;
  });
}
