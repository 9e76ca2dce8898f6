import { prefixArgument } from '../address.js';
import { withBlocklist } from '../blocklist.js';
import { expiry, reporter } from '../change.js';
import { configOf } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { EXIT } from '../output.js';

/** Leaves a note at a ban; its time stays. */
export async function run(
  [address, ...words]: readonly string[],
  options: GlobalOptions & { ticket?: string },
): Promise<number> {
  const config = await configOf(options);
  const report = reporter(options);
  const prefix = prefixArgument(address);
  return withBlocklist(config, options, async ({ acts, actor }) => {
    if (options.dryRun) {
      report({ address: prefix.text, outcome: 'dry_run' }, `would leave a note at ${prefix.text}`);
      return EXIT.done;
    }
    const { outcome, after } = await acts.note(prefix.text, words.join(' '), options.ticket ?? null, actor);
    report(
      { address: prefix.text, outcome, expiresAt: after && expiry(after.until) },
      outcome === 'absent' ? `${prefix.text} is not banned` : `noted at ${prefix.text}`,
    );
    return outcome === 'absent' ? EXIT.no : EXIT.done;
  });
}
