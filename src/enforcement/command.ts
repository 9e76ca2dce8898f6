import { spawn } from 'node:child_process';
import PQueue from 'p-queue';
import { EnforcementError } from './set-backend.js';

/** The Debian package of each program that Barricata may run. */
const PACKAGES: readonly (readonly [pattern: RegExp, packageName: string])[] = [
  [/^ipset$/, 'ipset'],
  [/^ip6?tables/, 'iptables'],
  [/^nft$/, 'nftables'],
  [/^conntrack$/, 'conntrack'],
  [/^modprobe$/, 'kmod'],
];

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  /** At most 64 KiB of it. */
  readonly stderr: string;
}

const LONGEST_STDERR = 65_536;

/**
 * Runs programs, one at a time, by argument array and standard input, never
 * through a shell; in the C locale, so that what they print can be read; killed
 * when they take too long.
 */
export class Commands {
  readonly #turn = new PQueue({ concurrency: 1 });
  readonly #timeoutMs: number;

  constructor(options: { readonly timeoutMs?: number } = {}) {
    this.#timeoutMs = options.timeoutMs ?? 30_000;
  }

  /**
   * Runs one program to its end. A status other than 0 is a result, not an error.
   * @throws EnforcementError kind `tool_missing` (the message names the package), `not_permitted`, `timeout` or `refused`
   */
  run(program: string, args: readonly string[], input = ''): Promise<CommandResult> {
    return this.#turn.add(() => runOnce(program, args, input, this.#timeoutMs));
  }
}

function runOnce(program: string, args: readonly string[], input: string, timeoutMs: number): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;
    const child = spawn(program, args, {
      env: { PATH: path, LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const stdout: Buffer[] = [];
    let stderr = '';
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      if (stderr.length < LONGEST_STDERR) stderr += chunk.slice(0, LONGEST_STDERR - stderr.length);
    });
    // A program that ends before it has read everything tells why by its status.
    child.stdin.on('error', () => {});
    child.on('error', (cause) => {
      clearTimeout(timer);
      reject(startError(program, cause));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const operation = [program, ...args].join(' ');
      if (timedOut) {
        const message = `${operation}: killed after ${timeoutMs} ms`;
        reject(new EnforcementError(operation, 'timeout', message));
      } else if (code === null) {
        reject(new EnforcementError(operation, 'refused', `${operation}: ended by ${signal}`));
      } else resolve({ code, stdout: Buffer.concat(stdout).toString('latin1'), stderr });
    });
    child.stdin.end(input);
  });
}

function startError(program: string, cause: Error): EnforcementError {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') {
    const found = PACKAGES.find(([pattern]) => pattern.test(program));
    const hint = found ? `: install the package ${found[1]} (apt-get install ${found[1]})` : '';
    return new EnforcementError(program, 'tool_missing', `the program ${program} is missing${hint}`, cause);
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new EnforcementError(program, 'not_permitted', `${program} may not be run: run as root`, cause);
  }
  return new EnforcementError(program, 'refused', `${program} could not be started: ${cause.message}`, cause);
}
