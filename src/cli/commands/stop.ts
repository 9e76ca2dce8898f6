import { endedWithin, processWith } from '../../base/process.js';
import { ControlError, controlRequest, runningDaemon } from '../../daemon/control.js';
import { configOf, controlSocket } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, print, tell } from '../output.js';

const STOPPED_WITHIN_MS = 20_000;

/** Asks the daemon to end and waits until its process is gone. */
export async function run(_args: readonly string[], options: GlobalOptions): Promise<number> {
  const socket = controlSocket(await configOf(options));
  const running = await runningDaemon(socket);
  if (!running) {
    tell('Barricata does not run');
    return EXIT.no;
  }
  if (options.dryRun) {
    if (!options.quiet) print(`would stop process ${running.pid}`);
    return EXIT.done;
  }
  const daemon = await processWith(running.pid);
  await controlRequest(socket, '/stop').catch((error: unknown) => {
    // It ended between the two requests.
    if (!(error instanceof ControlError && error.kind === 'not_running')) throw error;
  });
  if (daemon !== null && !(await endedWithin(daemon, STOPPED_WITHIN_MS))) {
    throw new CommandExit(EXIT.unreachable, `process ${running.pid} did not end within ${STOPPED_WITHIN_MS / 1000} s`);
  }
  tell(
    running.onStop === 'remove'
      ? 'stopped; rules and sets are removed'
      : 'stopped; the bans stay in the kernel until their own timeouts. To remove them: barricata cleanup',
  );
  return EXIT.done;
}
