import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { controlRequest } from '../../daemon/control.js';
import type { DaemonStatus } from '../../daemon/status.js';
import { CommandExit, EXIT } from '../output.js';
import { SERVER_NET, type World } from './world.js';

const READY_WITHIN_MS = 20_000;
const STOP_WITHIN_MS = 10_000;

/** The Barricata that is attacked: this build, in the server's namespace, with files of its own. */
export class Subject {
  readonly #world: World;
  readonly #folder = mkdtempSync(join(tmpdir(), 'barricata-selftest-'));
  readonly #socket = join(this.#folder, 'control.sock');
  readonly #base: Readonly<Record<string, unknown>>;
  #child: ChildProcess | null = null;

  /** @param base keys of the configuration that are kept: `time_zone` and `queue` */
  constructor(world: World, base: Readonly<Record<string, unknown>>) {
    this.#world = world;
    this.#base = base;
  }

  /** @param filter the `filter` section, in the words of the file */
  async start(filter: unknown): Promise<void> {
    mkdirSync(join(this.#folder, 'state'));
    writeFileSync(join(this.#folder, 'eve.json'), '');
    this.#write(filter);
    const log = openSync(join(this.#folder, 'log'), 'a', 0o600);
    const program = fileURLToPath(new URL('../main.js', import.meta.url));
    const args = [program, 'run', '--config', this.#config, '--on-stop', 'remove'];
    this.#child = this.#world.spawn(this.#world.server, process.execPath, args, ['ignore', log, log]);
    closeSync(log);
    await this.#ready();
  }

  /** Takes up another `filter` section. */
  async change(filter: unknown): Promise<void> {
    this.#write(filter);
    await this.#ask('/reload');
    await this.#ready();
  }

  status(): Promise<DaemonStatus> {
    return this.#ask('/status') as Promise<DaemonStatus>;
  }

  /** Whether the kernel drops an address. */
  async drops(address: string): Promise<boolean> {
    return ((await this.#ask(`/kernel?address=${address}`)) as { inKernel: boolean }).inKernel;
  }

  /** How often each detector has found something. */
  async detections(): Promise<Readonly<Record<string, number>>> {
    return (await this.status()).queue.detections;
  }

  /** Addresses that the kernel drops. */
  async banned(): Promise<string[]> {
    return Object.keys(((await this.#ask('/elements')) as { packets: Record<string, number> }).packets);
  }

  /** Ends it, its Redis too, and removes its files. */
  async remove(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child?.pid !== undefined && child.exitCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
      await ended;
      clearTimeout(late);
    }
    await shutDown(join(this.#folder, 'redis.sock'));
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  get #config(): string {
    return join(this.#folder, 'barricata.yaml');
  }

  /** JSON is YAML. */
  #write(filter: unknown): void {
    const settings = {
      ...this.#base,
      mode: 'enforce',
      host: 'selftest',
      state: join(this.#folder, 'state'),
      run: this.#folder,
      home: [SERVER_NET],
      suricata: { eve: [join(this.#folder, 'eve.json')], rules: join(this.#folder, 'none.rules') },
      redis: { embedded: true },
      history: 'off',
      ...(filter !== undefined && { filter }),
    };
    writeFileSync(this.#config, JSON.stringify(settings));
  }

  #ask(path: string): Promise<unknown> {
    return controlRequest(this.#socket, path, 10_000);
  }

  async #ready(): Promise<void> {
    const end = performance.now() + READY_WITHIN_MS;
    let problem = '';
    while (performance.now() < end) {
      const status = existsSync(this.#socket) ? await this.status().catch(() => null) : null;
      if (status?.ready) return;
      problem = status?.problems[0] ?? problem;
      if (this.#child?.exitCode !== null) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const log = readFileSync(join(this.#folder, 'log'), 'utf8').trim().split('\n').slice(-5).join('\n');
    throw new CommandExit(EXIT.unreachable, `the Barricata under test is not ready: ${problem}\n${log}`);
  }
}

/** A Redis whose daemon was killed lives on. */
function shutDown(socket: string): Promise<void> {
  if (!existsSync(socket)) return Promise.resolve();
  return new Promise((resolve) => {
    const connection = connect(socket, () => connection.write('SHUTDOWN NOSAVE\r\n'));
    connection.setTimeout(3000, () => connection.destroy());
    connection.on('error', () => undefined);
    connection.on('close', () => resolve());
  });
}
