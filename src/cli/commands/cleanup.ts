import { runningDaemon } from '../../daemon/control.js';
import { removeFromKernel } from '../../daemon/kernel.js';
import { configOf, controlSocket } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, tell } from '../output.js';

/** Removes rules, then sets; works after a kill -9, and refuses while a daemon would put them back. */
export async function run(_args: readonly string[], options: GlobalOptions): Promise<number> {
  const config = await configOf(options);
  const running = await runningDaemon(controlSocket(config));
  if (running) {
    throw new CommandExit(
      EXIT.no,
      `Barricata runs (process ${running.pid}) and would put everything back; stop it first: barricata stop`,
    );
  }
  if (options.dryRun) {
    tell(
      'would remove every chain that Barricata made (BARRICATA, BARRICATA-OUT, BARRICATA-QUEUE...), and every set whose name begins with barricata',
    );
    return EXIT.done;
  }
  await removeFromKernel(config);
  tell('removed: every rule and set that Barricata made, and nothing else');
  return EXIT.done;
}
