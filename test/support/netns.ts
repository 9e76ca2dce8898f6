/**
 * Network namespaces for tests. A test file that touches netfilter calls
 * `enterPrivateNetns()` first: from then on its own process, and every child
 * it starts, has a network stack of its own that vanishes with the process, so
 * that no test can touch the rules of the machine. Other hosts are further
 * namespaces joined by veth pairs.
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import { createRequire } from 'node:module';

const CLONE_NEWNET = 0x40000000;
let entered = false;

/** Moves this process into a new, empty network namespace (loopback up). Works once per process; needs root. */
export function enterPrivateNetns(): void {
  if (entered) return;
  const koffi = createRequire(import.meta.url)('koffi');
  const unshare = koffi.load('libc.so.6').func('int unshare(int)');
  if (unshare(CLONE_NEWNET) !== 0)
    throw new Error(`unshare(CLONE_NEWNET) failed, errno ${koffi.errno()}: these tests need root`);
  entered = true;
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
}

/** Runs a command to its end and returns what it printed. Throws with its stderr when it fails. */
export function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
}

/** Another host: a named namespace joined to the namespace of this process by one veth pair. */
export class Host {
  readonly name: string;
  readonly #children: ChildProcess[] = [];
  static #count = 0;

  /**
   * @param addresses with length, as the other host has them: `203.0.113.66/24`, `2001:db8:66::66/64`
   * @param own the addresses that this process's end of the veth gets
   */
  constructor(label: string, addresses: readonly string[], own: readonly string[]) {
    if (!entered) throw new Error('call enterPrivateNetns() first');
    Host.#count += 1;
    const id = `${process.pid}${Host.#count}`;
    this.name = `bq-${label}-${id}`;
    const near = `v${id}`.slice(0, 15);
    run('ip', 'netns', 'add', this.name);
    run('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.name);
    for (const address of own)
      run('ip', 'address', 'add', address, 'dev', near, ...(address.includes(':') ? ['nodad'] : []));
    run('ip', 'link', 'set', near, 'up');
    for (const address of addresses) {
      this.run('ip', 'address', 'add', address, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : []));
    }
    this.run('ip', 'link', 'set', 'lo', 'up');
    this.run('ip', 'link', 'set', 'eth0', 'up');
    this.near = near;
  }
  /** Interface name of this process's end. */
  readonly near: string;

  run(command: string, ...args: string[]): string {
    return run('ip', 'netns', 'exec', this.name, command, ...args);
  }

  /** Exit status 0? */
  succeeds(command: string, ...args: string[]): boolean {
    try {
      this.run(command, ...args);
      return true;
    } catch {
      return false;
    }
  }

  spawn(command: string, args: readonly string[], options: SpawnOptions = { stdio: 'ignore' }): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.name, command, ...args], options);
    this.#children.push(child);
    return child;
  }

  /** Kills what was spawned there and deletes the namespace (and so the veth pair). */
  remove(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    run('ip', 'netns', 'delete', this.name);
  }
}

/** Polls until `condition` gives something truthy; fails after the deadline, saying what was waited for. */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  deadlineMs = 10_000,
  everyMs = 10,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what} (last: ${String(last)})`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
