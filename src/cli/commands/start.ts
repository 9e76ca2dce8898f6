import { execFile, spawn } from 'node:child_process';
import { type FileHandle, mkdir, open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../../base/errors.js';
import { runningDaemon } from '../../daemon/control.js';
import { configOf, controlSocket, daemonStatus } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, print, printable, tell } from '../output.js';

const execute = promisify(execFile);
const READY_WITHIN_MS = 30_000;

/** Starts the daemon in the background and waits until it enforces: by systemd where it has our unit. */
export async function run(_args: readonly string[], options: GlobalOptions & { onStop?: string }): Promise<number> {
  const config = await configOf(options);
  const running = await runningDaemon(controlSocket(config));
  if (running) {
    tell(`Barricata runs already, process ${running.pid}`);
    return EXIT.no;
  }
  const bySystemd = await systemdHasUnit();
  if (options.dryRun) {
    const how = bySystemd ? 'by systemd' : `with ${printable(options.config)}, policy ${config.policyVersion}`;
    if (!options.quiet) print(`would start Barricata ${how}`);
    return EXIT.done;
  }
  if (bySystemd) {
    await execute('systemctl', ['start', 'barricata']).catch((error: { stderr?: string } & Error) => {
      throw new CommandExit(EXIT.unreachable, (error.stderr || error.message).trim());
    });
    tell('started by systemd; its log: journalctl -u barricata');
    return EXIT.done;
  }
  const logFile = join(config.state, 'barricata.log');
  const log = await openLog(config.state, logFile);
  const program = fileURLToPath(new URL('../main.js', import.meta.url));
  const child = spawn(
    process.execPath,
    [program, 'run', '--config', options.config, ...(options.onStop ? ['--on-stop', options.onStop] : [])],
    { detached: true, stdio: ['ignore', log.fd, log.fd] },
  );
  let ended: number | null = null;
  child.once('exit', (code) => {
    ended = code ?? 1;
  });
  const from = (await stat(logFile)).size;
  const deadline = performance.now() + READY_WITHIN_MS;
  let problem = `see: barricata status, and ${logFile}`;
  while (performance.now() < deadline) {
    if (ended !== null)
      throw new CommandExit(EXIT.unreachable, `Barricata ended at once:\n${await tail(logFile, from)}`);
    const status = await daemonStatus(config, 1000).catch(() => null);
    if (status?.problems[0] !== undefined) problem = status.problems[0];
    if (status?.ready) {
      child.unref();
      await log.close();
      tell(`Barricata runs, process ${status.pid}; its log: ${logFile}`);
      tell(`${status.redis.cli}`);
      return EXIT.done;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.unref();
  throw new CommandExit(
    EXIT.unreachable,
    `Barricata runs but is not ready after ${READY_WITHIN_MS / 1000} s: ${printable(problem)}`,
  );
}

async function openLog(state: string, file: string): Promise<FileHandle> {
  try {
    await mkdir(state, { recursive: true });
    return await open(file, 'a', 0o640);
  } catch (error) {
    throw new CommandExit(
      EXIT.unreachable,
      `${file} cannot be written (${messageOf(error)}): run as root, or set state: to a directory that may be written`,
    );
  }
}

async function systemdHasUnit(): Promise<boolean> {
  if (!(await stat('/run/systemd/system').catch(() => null))) return false;
  return execute('systemctl', ['cat', 'barricata.service']).then(
    () => true,
    () => false,
  );
}

async function tail(file: string, from: number): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.slice(from).trim().split('\n').slice(-10).join('\n');
}
