import { spawn } from 'node:child_process';
import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BarricataError, messageOf } from '../base/errors.js';

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
        const pid = await recordedPid(this.#run);
        const who = pid === null ? '' : ` with process id ${pid}`;
        const message = `Barricata already runs here${who}; stop it first: barricata stop`;
        throw new InstanceError('lock run directory', 'already_running', message);
      }
      await file.truncate();
      await file.write(`${process.pid} ${await startOf(process.pid)}\n`);
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
  const [pid, start] = await recorded(run);
  return pid !== null && start !== '' && (await startOf(pid)) === start ? pid : null;
}

async function recordedPid(run: string): Promise<number | null> {
  return (await recorded(run))[0];
}

async function recorded(run: string): Promise<[pid: number | null, start: string]> {
  const text = await readFile(pidFile(run), 'utf8').catch(() => '');
  const match = /^(\d+) (\d+)$/m.exec(text);
  return match ? [Number(match[1]), match[2] as string] : [null, ''];
}

/** When the process started, field 22 of proc(5) stat, in clock ticks since boot; '' when there is none, or it has ended. */
export async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name may hold spaces and brackets: fields are counted from the last bracket on, which ends field 2.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // A zombie has ended.
  return fields[0] === 'Z' ? '' : (fields[22 - 3] ?? '');
}
