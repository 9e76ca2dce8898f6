import { createLog } from '../../base/log.js';
import { loadConfig } from '../../config/load.js';
import { Daemon } from '../../daemon/daemon.js';
import { type GlobalOptions, VERSION } from '../options.js';
import { EXIT, print, printable } from '../output.js';

/** Runs the daemon until SIGINT or SIGTERM; SIGHUP reads the configuration again. */
export async function run(
  _args: readonly string[],
  options: GlobalOptions & { onStop?: 'keep' | 'remove'; embeddedRedis?: boolean },
): Promise<number> {
  const { onStop } = options;
  if (options.dryRun) {
    const { policyVersion } = loadConfig(options.config);
    if (!options.quiet) print(`would run with ${printable(options.config)}, policy ${policyVersion}`);
    return EXIT.done;
  }
  const daemon = new Daemon({
    file: options.config,
    version: VERSION,
    log: createLog(process.env['BARRICATA_LOG'] ?? 'info'),
    ...(onStop === undefined ? {} : { onStop }),
    embeddedRedis: options.embeddedRedis === true,
  });
  await daemon.start();
  if ((await daemon.ended) === 'asked') return EXIT.done;
  // What failed may have left something behind that would keep the process alive.
  process.exit(EXIT.unreachable);
}
