import { spawn } from 'node:child_process';
import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BarricataError, messageOf } from '../base/errors.js';
import { isRunning, type ProcessIdentity, processWith } from '../base/process.js';

/** kind: `already_running` (another process has the lock), `failed` (the lock cannot be made). */
export class InstanceError extends BarricataError {
  declare readonly kind: 'already_running' | 'failed';
}

const pidFile = (run: string): string => join(run, 'barricata.pid');

/**
 * One daemon for each run directory. `<run>/barricata.pid` names the process
 * and carries a flock(2) for as long as it lives: the kernel gives the lock up
 * at its end, however it ends, so that nothing is stale and two starts cannot
 * both have it. The file itself stays, because unlinking a locked file would
 * let a second process lock a new one.
 */
export class Instance {
  readonly #run: string;
  #file: FileHandle | null = null;

  constructor(run: string) {
    this.#run = run;
  }

  /** @throws InstanceError */
  async acquire(): Promise<void> {
    const path = pidFile(this.#run);
    let file: FileHandle;
    try {
      await mkdir(this.#run, { recursive: true });
      file = await open(path, 'a+', 0o644);
    } catch (error) {
      const message = `${path} cannot be made (${messageOf(error)}): run as root, or set run: to a directory that may be written`;
      throw new InstanceError('lock run directory', 'failed', message, error);
    }
    try {
      if (!(await lockFile(file.fd))) {
        const named = await recorded(this.#run);
        const who = named === null ? '' : ` with process id ${named.pid}`;
        const message = `Barricata already runs here${who}; stop it first: barricata stop`;
        throw new InstanceError('lock run directory', 'already_running', message);
      }
      await file.truncate();
      await file.write(`${process.pid} ${(await processWith(process.pid))?.start ?? ''}\n`);
      this.#file = file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async release(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    if (!file) return;
    try {
      await file.truncate();
    } finally {
      await file.close();
    }
  }
}

/**
 * Takes an exclusive flock(2) without waiting; `false` when another process has it.
 * It belongs to the open file, which the child shares: flock(1) takes it
 * and ends, this process keeps it. Every other child gets no such file, because
 * files are opened close-on-exec.
 */
export function lockFile(fd: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const failed = (message: string, cause?: unknown) =>
      reject(new InstanceError('lock run directory', 'failed', message, cause));
    const child = spawn('flock', ['-n', '-x', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
    child.once('error', (error) =>
      failed(
        (error as NodeJS.ErrnoException).code === 'ENOENT'
          ? 'flock is not installed: apt-get install util-linux'
          : 'flock could not be run',
        error,
      ),
    );
    child.once('exit', (code, signal) => {
      if (code === 0 || code === 1) resolve(code === 0);
      else failed(`flock ended with ${signal ?? `code ${code}`}`);
    });
  });
}

/** The process that the run directory names, if that very process lives; `null` otherwise. */
export async function livingPid(run: string): Promise<number | null> {
  const named = await recorded(run);
  return named !== null && (await isRunning(named)) ? named.pid : null;
}

async function recorded(run: string): Promise<ProcessIdentity | null> {
  const text = await readFile(pidFile(run), 'utf8').catch(() => '');
  const match = /^(\d+) (\d+)$/m.exec(text);
  return match && { pid: Number(match[1]), start: match[2] as string };
}
