import { controlRequest } from '../../daemon/control.js';
import { configOf, controlSocket } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, tell } from '../output.js';

const STOPPED_WITHIN_MS = 20_000;

/** Asks the daemon to end and waits until its process is gone. */
export async function run(_args: readonly string[], options: GlobalOptions): Promise<number> {
  const socket = controlSocket(await configOf(options));
  const running = (await controlRequest(socket, '/pid', 2000).catch(() => null)) as {
    pid: number;
    onStop: string;
  } | null;
  if (!running) {
    tell('Barricata does not run');
    return EXIT.no;
  }
  await controlRequest(socket, '/stop');
  const deadline = performance.now() + STOPPED_WITHIN_MS;
  while (isAlive(running.pid)) {
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

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
