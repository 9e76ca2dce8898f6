import { ControlError, controlRequest, runningDaemon } from '../../daemon/control.js';
import { startOf } from '../../daemon/instance.js';
import { configOf, controlSocket } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, tell } from '../output.js';

const STOPPED_WITHIN_MS = 20_000;

/** Asks the daemon to end and waits until its process is gone. */
export async function run(_args: readonly string[], options: GlobalOptions): Promise<number> {
  const socket = controlSocket(await configOf(options));
  const running = await runningDaemon(socket);
  if (!running) {
    tell('Barricata does not run');
    return EXIT.no;
  }
  const start = await startOf(running.pid);
  await controlRequest(socket, '/stop').catch((error: unknown) => {
    // It ended between the two requests.
    if (!(error instanceof ControlError && error.kind === 'not_running')) throw error;
  });
  const deadline = performance.now() + STOPPED_WITHIN_MS;
  while (start !== '' && (await startOf(running.pid)) === start) {
    if (performance.now() > deadline) {
      throw new CommandExit(
        EXIT.unreachable,
        `process ${running.pid} did not end within ${STOPPED_WITHIN_MS / 1000} s`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  tell(
    running.onStop === 'remove'
      ? 'stopped; rules and sets are removed'
      : 'stopped; the bans stay in the kernel until their own timeouts. To remove them: barricata cleanup',
  );
  return EXIT.done;
}
