import { readFile } from 'node:fs/promises';

/** One process, told apart from a later one that got its number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in clock ticks since boot. */
  readonly start: string;
}

/** The process with this number now; `null` when there is none, or it has ended and its parent has not noticed yet. */
export async function processWith(pid: number): Promise<ProcessIdentity | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // proc(5): the name, field 2, may hold spaces and brackets, so fields are counted from the last bracket on.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const start = fields[22 - 3];
  const isZombie = fields[0] === 'Z';
  return start === undefined || isZombie ? null : { pid, start };
}

export async function isRunning({ pid, start }: ProcessIdentity): Promise<boolean> {
  return (await processWith(pid))?.start === start;
}

/** Whether the process was gone within `ms`. */
export async function endedWithin(process: ProcessIdentity, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms;
  while (await isRunning(process)) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return true;
}
