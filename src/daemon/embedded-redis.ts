import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, chown, mkdir, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import { endedWithin, isRunning, type ProcessIdentity, processWith } from '../base/process.js';
import { BlocklistError } from '../blocklist/errors.js';
import { groupId } from './group.js';

export interface EmbeddedRedisOptions {
  /** `state:` of the configuration; the data lives in `<state>/redis`. */
  readonly state: string;
  /** `run:` of the configuration; the socket is `<run>/redis.sock`. */
  readonly run: string;
  readonly clock: Clock;
  readonly log: Log;
  /** The server's program; `redis-server` unless a test says otherwise. */
  readonly program?: string;
}

/** A server that loads a large append-only file answers LOADING meanwhile; that counts as alive. */
const START_WITHIN = 15_000;
const STOP_WITHIN = 15_000;
const LONGEST_BACKOFF = 30_000;

/** The exact command that opens a console on this Redis, for people. */
export function redisCliCommand(url: string): string {
  if (url.startsWith('unix://')) return `redis-cli -s ${decodeURIComponent(new URL(url).pathname)}`;
  const { protocol, username, hostname, port, pathname } = new URL(url);
  const parts = ['redis-cli', '-h', hostname.replace(/^\[|\]$/g, ''), '-p', port || '6379'];
  if (protocol === 'rediss:') parts.push('--tls');
  if (username) parts.push('--user', decodeURIComponent(username), '--askpass');
  if (pathname.length > 1) parts.push('-n', pathname.slice(1));
  return parts.join(' ');
}

/**
 * A private redis-server: unix socket only, append-only file, never evicting.
 * It runs in a process group of its own, so that neither Ctrl-C nor a crash of
 * the daemon takes it along; one left behind is adopted when it is healthy and
 * has our directory, and stopped first when it is not. There are never two.
 */
export class EmbeddedRedis implements Service {
  readonly name = 'embedded redis';
  readonly socket: string;
  readonly url: string;
  readonly #o: EmbeddedRedisOptions;
  readonly #dir: string;
  readonly #runner: BoundedRunner;
  #server: ProcessIdentity | null = null;
  #backoff = 500;
  #startAgainAt = 0;
  #spawnError: unknown = null;

  constructor(options: EmbeddedRedisOptions) {
    this.#o = options;
    this.socket = resolve(options.run, 'redis.sock');
    this.url = `unix://${this.socket}`;
    this.#dir = resolve(options.state, 'redis');
    this.#runner = new BoundedRunner({
      task: () => this.#watch(),
      clock: options.clock,
      atLeast: 100,
      atMost: () => 1000,
      onError: (error) => options.log.error({ err: messageOf(error) }, 'the embedded Redis does not run; trying again'),
    });
  }

  /**
   * Returns when the server answers, also when it still loads its data.
   * @throws BlocklistError kind `refused` when it cannot run here, with what repairs that
   */
  async start(): Promise<void> {
    await this.#prepare();
    this.#server = await this.#adopt();
    if (this.#server === null) await this.#launch();
    else this.#o.log.info({ pid: this.#server.pid }, 'adopted the redis-server of an earlier run');
    await this.#shareSocket();
    this.#runner.start();
  }

  /** Ends the server; the data stays on disk. */
  async stop(): Promise<void> {
    await this.#runner.stop();
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const { pid } = server;
    await ask(this.socket, 'SHUTDOWN', 2000).catch(() => null);
    if (await endedWithin(server, STOP_WITHIN)) return;
    signal(pid, 'SIGTERM');
    if (!(await endedWithin(server, STOP_WITHIN))) {
      this.#o.log.error(
        { pid },
        'redis-server does not end; killing it, its append-only file has all but the last second',
      );
      signal(pid, 'SIGKILL');
      await endedWithin(server, 2000);
    }
  }

  async #prepare(): Promise<void> {
    for (const [dir, key] of [
      [this.#dir, 'state'],
      [resolve(this.#o.run), 'run'],
    ] as const) {
      try {
        await mkdir(dir, { recursive: true, mode: key === 'state' ? 0o750 : 0o755 });
        await access(dir, constants.W_OK | constants.X_OK);
      } catch (error) {
        throw new BlocklistError(
          'start redis-server',
          'refused',
          `${dir} is not writable: run as root, or set ${key}: to a directory that is`,
          error,
        );
      }
    }
    // The kernel keeps 108 bytes for a socket's path, the ending zero included (unix(7)).
    if (Buffer.byteLength(this.socket) > 107) {
      throw new BlocklistError(
        'start redis-server',
        'refused',
        `${this.socket} is too long for a socket; set run: to a shorter path`,
      );
    }
  }

  /** The healthy server of an earlier run; an unhealthy one is ended first. */
  async #adopt(): Promise<ProcessIdentity | null> {
    const answer = await ask(this.socket, 'PING', 3000).catch(() => null);
    if (answer !== null && /^\+PONG|^-LOADING/.test(answer)) {
      const info = await ask(this.socket, 'INFO server', 3000).catch(() => '');
      const pid = Number(/process_id:(\d+)/.exec(info)?.[1]);
      const dir = await ask(this.socket, 'CONFIG GET dir', 3000).catch(() => '');
      if (pid > 0 && (dir.split('\r\n').includes(this.#dir) || answer.startsWith('-LOADING'))) return processWith(pid);
      throw new BlocklistError(
        'start redis-server',
        'refused',
        `another Redis (pid ${pid || 'unknown'}) listens at ${this.socket}; stop it, or set run: to another directory`,
      );
    }
    const left = await processWith(Number(await readFile(this.#pidFile, 'utf8').catch(() => '')));
    if (left !== null && (await this.#isOurs(left.pid))) {
      const { pid } = left;
      this.#o.log.warn({ pid }, 'the redis-server of an earlier run does not answer; ending it');
      // A stopped process acts on SIGTERM only when it runs again.
      signal(pid, 'SIGCONT');
      signal(pid, 'SIGTERM');
      if (!(await endedWithin(left, 5000))) signal(pid, 'SIGKILL');
      await endedWithin(left, 5000);
    }
    await rm(this.socket, { force: true });
    return null;
  }

  get #pidFile(): string {
    return join(this.#dir, 'redis.pid');
  }

  /** Whether the process is a redis-server with our socket or directory: the number alone may belong to anybody by now. */
  async #isOurs(pid: number): Promise<boolean> {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return line.includes('redis-server') && (line.includes(this.socket) || line.includes(this.#dir));
  }

  async #launch(): Promise<void> {
    const { clock } = this.#o;
    const log = join(this.#dir, 'redis.log');
    const settings: Record<string, string> = {
      port: '0',
      unixsocket: this.socket,
      unixsocketperm: '660',
      dir: this.#dir,
      pidfile: this.#pidFile,
      logfile: log,
      loglevel: 'warning',
      daemonize: 'no',
      appendonly: 'yes',
      appendfsync: 'everysec',
      save: '',
      'maxmemory-policy': 'noeviction',
      'protected-mode': 'yes',
      // Its housekeeping, expiry of untouched keys before all: every quarter of a second is soon enough.
      hz: '4',
    };
    this.#spawnError = null;
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    const child = spawn(this.#o.program ?? 'redis-server', args, { stdio: 'ignore', detached: true, cwd: this.#dir });
    child.once('error', (error) => {
      this.#spawnError = error;
    });
    child.once('exit', (code, name) => {
      this.#spawnError ??= new Error(`it ended with ${name ?? `code ${code}`}; see ${log}`);
      if (this.#server?.pid === child.pid) this.#runner.wake();
    });
    child.unref();
    const end = clock.monotonic() + START_WITHIN;
    while (this.#spawnError === null && clock.monotonic() < end) {
      const answer = await ask(this.socket, 'PING', 1000).catch(() => null);
      if (answer !== null && /^\+PONG|^-LOADING/.test(answer)) {
        this.#server = await processWith(child.pid as number);
        return;
      }
      await new Promise<void>((done) => clock.after(20, done));
    }
    if (child.pid !== undefined && this.#spawnError === null) signal(child.pid, 'SIGKILL');
    const missing = (this.#spawnError as NodeJS.ErrnoException | null)?.code === 'ENOENT';
    throw new BlocklistError(
      'start redis-server',
      missing ? 'refused' : 'unreachable',
      missing
        ? 'redis-server is not installed: apt-get install redis-server (its own service is not needed), or set redis: {url: ...}'
        : `redis-server did not start: ${this.#spawnError === null ? `no answer in ${START_WITHIN / 1000} s; see ${log}` : messageOf(this.#spawnError)}`,
      this.#spawnError ?? undefined,
    );
  }

  /** Lets the group `barricata`, where it exists, use the console without root. */
  async #shareSocket(): Promise<void> {
    const gid = await groupId('barricata');
    if (gid === null) return;
    await chown(this.socket, process.getuid?.() ?? 0, gid).catch((error: unknown) => {
      this.#o.log.warn({ err: messageOf(error) }, 'the socket of Redis could not be given to group barricata');
    });
  }

  /** Starts the server again when it is gone, waiting longer each time. */
  async #watch(): Promise<void> {
    const { clock, log } = this.#o;
    if (this.#server !== null && (await isRunning(this.#server))) {
      if (clock.monotonic() - this.#startAgainAt > 60_000) this.#backoff = 500;
      return;
    }
    if (this.#server !== null) {
      log.error(
        { pid: this.#server.pid, err: messageOf(this.#spawnError ?? 'it ended') },
        'redis-server is gone; starting it again',
      );
      this.#server = null;
    }
    if (clock.monotonic() < this.#startAgainAt) return;
    this.#startAgainAt = clock.monotonic() + this.#backoff;
    this.#backoff = Math.min(this.#backoff * 2, LONGEST_BACKOFF);
    this.#server = await this.#adopt();
    if (this.#server === null) await this.#launch();
    await this.#shareSocket();
  }
}

/** Sends one inline command and returns the reply as Redis wrote it, up to the first pause. */
function ask(path: string, command: string, withinMs: number): Promise<string> {
  return new Promise((done, fail) => {
    const socket = connect(path);
    let reply = '';
    socket.setTimeout(withinMs, () => socket.destroy(new Error(`no answer within ${withinMs} ms`)));
    socket.on('connect', () => socket.write(`${command}\r\nQUIT\r\n`));
    socket.on('data', (chunk) => {
      reply += chunk.toString('utf8');
    });
    socket.on('error', fail);
    socket.on('close', () => (reply ? done(reply) : fail(new Error('no answer'))));
  });
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}
