import { chmod, chown, mkdir, unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { BarricataError, messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { groupId } from './group.js';

/** kind: `not_running` (no socket, or nobody behind it), `already_running`, `failed`. */
export class ControlError extends BarricataError {
  declare readonly kind: 'not_running' | 'already_running' | 'failed';
}

/** Answers one request: the query's parameters in, something JSON out. */
export type ControlRoute = (query: URLSearchParams) => Promise<unknown> | unknown;

/**
 * The daemon's control socket: HTTP with JSON over `<run>/control.sock`, mode
 * 0660, for the command line on the same machine. Who may open the socket may
 * use all of it.
 */
export class ControlServer implements Service {
  readonly name = 'control socket';
  readonly #path: string;
  readonly #routes: Readonly<Record<string, ControlRoute>>;
  #server: Server | null = null;

  constructor(path: string, routes: Readonly<Record<string, ControlRoute>>) {
    this.#path = path;
    this.#routes = routes;
  }

  /** @throws ControlError `already_running` when another daemon answers on the socket, `failed` when it cannot be made */
  async start(): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true }).catch((error: unknown) => {
      throw this.#notMade(error);
    });
    const other = await controlRequest(this.#path, '/pid', 1000).catch(() => null);
    if (other !== null) {
      const { pid } = other as { pid: number };
      throw new ControlError(
        'open control socket',
        'already_running',
        `Barricata already runs here with process id ${pid}; stop it first: barricata stop`,
      );
    }
    await unlink(this.#path).catch(() => undefined);
    const server = createServer((incoming, outgoing) => void this.#answer(incoming, outgoing));
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(this.#notMade(error)));
      server.listen(this.#path, resolve);
    });
    this.#server = server;
    await chmod(this.#path, 0o660);
    const gid = await groupId('barricata');
    if (gid !== null) await chown(this.#path, 0, gid).catch(() => undefined);
  }

  #notMade(error: unknown): ControlError {
    const message = `${this.#path} cannot be made (${messageOf(error)}): run as root, or set run: to a directory that may be written`;
    return new ControlError('open control socket', 'failed', message, error);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (!server) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeIdleConnections();
    });
    await unlink(this.#path).catch(() => undefined);
  }

  async #answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', 'http://control');
    const route = Object.hasOwn(this.#routes, url.pathname) ? this.#routes[url.pathname] : undefined;
    let status = 200;
    let body: unknown;
    try {
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

/**
 * Asks the running daemon.
 * @throws ControlError `not_running` or `failed`
 */
export function controlRequest(socketPath: string, path: string, timeoutMs = 5000): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const notRunning = (cause?: unknown) =>
      reject(
        new ControlError(
          'ask the daemon',
          'not_running',
          `Barricata does not answer on ${socketPath}; start it: barricata start`,
          cause,
        ),
      );
    const outgoing = request({ socketPath, path, timeout: timeoutMs }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', notRunning);
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
    outgoing.on('error', notRunning);
    outgoing.end();
  });
}
