/**
 * A private redis-server for tests: on a unix socket in a directory of its own,
 * no TCP port, append-only so that a kill -9 and a restart keep the data.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from './netns.js';

export class TestRedis {
  readonly dir = mkdtempSync(join(tmpdir(), 'barricata-redis-'));
  readonly socket = join(this.dir, 'redis.sock');
  readonly url = `unix://${this.socket}`;
  readonly #extra: readonly string[];
  #child: ChildProcess | null = null;

  /** @param extra further arguments of redis-server */
  constructor(...extra: string[]) {
    this.#extra = extra;
    // Also when a test file dies halfway: no server and no directory is left.
    process.once('exit', () => this.#remove());
  }

  get pid(): number {
    return this.#child?.pid as number;
  }

  async start(): Promise<this> {
    this.#child = spawn(
      'redis-server',
      [
        '--port',
        '0',
        '--unixsocket',
        this.socket,
        '--dir',
        this.dir,
        '--save',
        '',
        '--appendonly',
        'yes',
        '--appendfsync',
        'always',
      ].concat(this.#extra),
      { stdio: 'ignore' },
    );
    await waitFor('redis-server to answer', () => existsSync(this.socket) && this.cli('PING') === 'PONG', 10_000, 20);
    return this;
  }

  /** Runs redis-cli as a person would; returns what it printed. */
  cli(...args: string[]): string {
    return execFileSync('redis-cli', ['-s', this.socket, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
  }

  /** kill -9, and waits until it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  async stop(): Promise<void> {
    await this.kill();
    this.#remove();
  }

  #remove(): void {
    this.#child?.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }
}
