import { chmod, chown, rename, stat, unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { dirname, join } from 'node:path';
import { BarricataError, messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { groupId } from './group.js';
import { Instance, InstanceError, livingPid } from './instance.js';

/**
 * kind: `not_running` (no socket, or nobody behind it), `no_answer` (somebody
 * has the socket and says nothing, or the process lives without one),
 * `already_running`, `failed`.
 */
export class ControlError extends BarricataError {
  declare readonly kind: 'not_running' | 'no_answer' | 'already_running' | 'failed';
}

/** Answers one request: the query's parameters in, something JSON out. */
export type ControlRoute = (query: URLSearchParams) => Promise<unknown> | unknown;

/** A request that is not there completely after this long is given up, ms. */
const REQUEST_WITHIN = 5000;
/** Answers under way get this long at a stop, ms. */
const GRACE = 500;

/**
 * The daemon's control socket: HTTP with JSON over `<run>/control.sock`, mode
 * 0660, for the command line on the same machine. Who may open the socket may
 * use all of it. Holds the lock of the run directory while it is open.
 */
export class ControlServer implements Service {
  readonly name = 'control socket';
  readonly #path: string;
  readonly #routes: Readonly<Record<string, ControlRoute>>;
  readonly #instance: Instance;
  #server: Server | null = null;
  #inode: bigint | null = null;

  constructor(path: string, routes: Readonly<Record<string, ControlRoute>>) {
    this.#path = path;
    this.#routes = routes;
    this.#instance = new Instance(dirname(path));
  }

  /** @throws ControlError `already_running` when another daemon lives here, `failed` when the socket cannot be made */
  async start(): Promise<void> {
    await this.#instance.acquire().catch((error: unknown) => {
      throw error instanceof InstanceError
        ? new ControlError('open control socket', error.kind, error.message, error.cause)
        : this.#notMade(error);
    });
    const server = createServer((incoming, outgoing) => {
      this.#answer(incoming, outgoing).catch(() => outgoing.destroy());
    });
    server.requestTimeout = server.headersTimeout = REQUEST_WITHIN;
    this.#server = server;
    try {
      await this.#listen(server);
    } catch (error) {
      throw this.#notMade(error);
    }
  }

  /**
   * The socket is made under another name and moved: whoever connects finds the
   * old one or the finished one, and closing the server, which unlinks the name
   * that it was made under, never takes the socket of another daemon.
   */
  async #listen(server: Server): Promise<void> {
    const made = join(dirname(this.#path), `.c${process.pid}`);
    await unlink(made).catch(() => undefined);
    await new Promise<void>((resolve, reject) => {
      // Stays: a connection that cannot be accepted later must not end the process.
      server.on('error', reject);
      server.listen(made, resolve);
    });
    await chmod(made, 0o660);
    const gid = await groupId('barricata');
    if (gid !== null) await chown(made, 0, gid).catch(() => undefined);
    this.#inode = (await stat(made, { bigint: true })).ino;
    await rename(made, this.#path);
  }

  #notMade(error: unknown): ControlError {
    const message = `${this.#path} cannot be made (${messageOf(error)}): run as root, or set run: to a directory that may be written`;
    return new ControlError('open control socket', 'failed', message, error);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server?.listening) await closed(server);
    const inode = this.#inode;
    this.#inode = null;
    const present = await stat(this.#path, { bigint: true }).catch(() => null);
    if (inode !== null && present?.ino === inode) await unlink(this.#path).catch(() => undefined);
    await this.#instance.release();
  }

  async #answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    let status = 200;
    let body: unknown;
    try {
      const url = new URL(`http://control${incoming.url ?? '/'}`);
      const route = Object.hasOwn(this.#routes, url.pathname) ? this.#routes[url.pathname] : undefined;
      if (route) body = await route(url.searchParams);
      else {
        status = 404;
        body = { error: `no such request: ${url.pathname}` };
      }
    } catch (error) {
      status = 500;
      body = { error: messageOf(error) };
    }
    outgoing.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
    outgoing.end(JSON.stringify(body));
  }
}

/** Resolves when nobody is connected any more; who is still connected after the grace is cut off. */
async function closed(server: Server): Promise<void> {
  const cut = setTimeout(() => server.closeAllConnections(), GRACE);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(cut);
}

/** Nobody listens: there is no socket, or the one there is belongs to a process that has ended. */
function isAbsence(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === 'ENOENT' || code === 'ECONNREFUSED';
}

/** What failed between us and a daemon, in words that name the way out. */
async function unanswered(socketPath: string, cause: unknown): Promise<ControlError> {
  const error = (kind: ControlError['kind'], message: string) =>
    new ControlError('ask the daemon', kind, message, cause);
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') {
    return error('failed', `${socketPath} may not be opened: run as root, or as a member of group barricata`);
  }
  const pid = await livingPid(dirname(socketPath));
  const who = pid === null ? '' : ` (process ${pid})`;
  if (!isAbsence(cause)) return error('no_answer', `Barricata runs${who} but does not answer on ${socketPath}`);
  return pid === null
    ? error('not_running', `Barricata does not run (start it: barricata start); nobody listens on ${socketPath}`)
    : error(
        'no_answer',
        `Barricata runs${who} but ${socketPath} is not open; if it is not just starting or stopping: kill ${pid}`,
      );
}

/**
 * The daemon of this run directory; `null` when none runs.
 * @throws ControlError `no_answer` when one runs and does not answer, which is not the same as none
 */
export async function runningDaemon(socketPath: string): Promise<{ pid: number; onStop: string } | null> {
  try {
    return (await controlRequest(socketPath, '/pid', 2000)) as { pid: number; onStop: string };
  } catch (error) {
    if (error instanceof ControlError && error.kind === 'not_running') return null;
    throw error;
  }
}

/**
 * Asks the running daemon.
 * @throws ControlError `not_running`, `no_answer` or `failed`
 */
export function controlRequest(socketPath: string, path: string, timeoutMs = 5000): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const failed = (cause: unknown) => void unanswered(socketPath, cause).then(reject);
    const outgoing = request({ socketPath, path, timeout: timeoutMs }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', failed);
      incoming.on('end', () => {
        try {
          const body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
          if (incoming.statusCode === 200) resolve(body);
          else reject(new ControlError('ask the daemon', 'failed', String(body.error)));
        } catch (error) {
          reject(new ControlError('ask the daemon', 'failed', 'the daemon answered something that is not JSON', error));
        }
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    outgoing.on('error', failed);
    outgoing.end();
  });
}
