import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { Redis, type RedisOptions } from 'ioredis';
import type { Service } from '../base/lifecycle.js';
import { BlocklistError, blocklistError } from './errors.js';

/** How long a command may take before it counts as unanswered, in milliseconds. */
const COMMAND_TIMEOUT = 2000;

/**
 * Options for the client from a `redis://`, `rediss://` or `unix://` address
 * (a bare path is a unix socket). `unix:///run/redis.sock?db=2` chooses a database,
 * `rediss://host?ca=/etc/ssl/redis-ca.pem` names the authority that signed the server's certificate.
 *
 * @throws BlocklistError kind `refused` for any other text
 */
export function redisOptions(url: string): RedisOptions {
  const shared: RedisOptions = {
    lazyConnect: true,
    // Protocol 2 for all connections: the library delivers redirected tracking messages with it only.
    protocol: 2,
    // A command is tried once and fails at once while there is no connection: the callers have their own plan.
    maxRetriesPerRequest: null,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    commandTimeout: COMMAND_TIMEOUT,
    connectTimeout: COMMAND_TIMEOUT,
    keepAlive: 10_000,
    disableClientInfo: true,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 6), 2000) * (0.8 + 0.4 * Math.random()),
    // After a failover the old address answers READONLY: connecting again finds the new primary.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
  let parsed: URL;
  try {
    parsed = new URL(url.startsWith('/') ? `unix://${url}` : url);
  } catch {
    throw new BlocklistError('redis url', 'refused', `redis: url "${url}" is not redis://, rediss:// or unix:///path`);
  }
  const login: RedisOptions = {};
  if (parsed.username) login.username = decodeURIComponent(parsed.username);
  if (parsed.password) login.password = decodeURIComponent(parsed.password);
  const db = parsed.searchParams.get('db') ?? (parsed.protocol === 'unix:' ? '' : parsed.pathname.slice(1));
  if (db) {
    if (!/^\d{1,5}$/.test(db))
      throw new BlocklistError('redis url', 'refused', `redis: "${db}" is not a database number`);
    login.db = Number(db);
  }
  if (parsed.protocol === 'unix:') return { ...shared, ...login, path: decodeURIComponent(parsed.pathname) };
  if (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:') {
    throw new BlocklistError('redis url', 'refused', `redis: url "${url}" is not redis://, rediss:// or unix:///path`);
  }
  const host = parsed.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
  const address = { host, port: Number(parsed.port || 6379) };
  if (parsed.protocol === 'redis:') return { ...shared, ...login, ...address };
  // Server names are for host names only (RFC 6066 section 3), never for addresses.
  const name = isIP(host) === 0 ? { servername: host } : {};
  const ca = parsed.searchParams.get('ca');
  return { ...shared, ...login, ...address, tls: { ...name, ...(ca ? { ca: authority(ca) } : {}) } };
}

function authority(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new BlocklistError('redis url', 'refused', `redis: the certificate authority ${file} cannot be read`, error);
  }
}

const LUA = new URL('./lua/', import.meta.url);

/**
 * A Lua script of `lua/`; its file name ends in the number of KEYS it takes. The
 * line `-- include <name>` stands for the text of `lua/include/<name>.lua`.
 */
class Script {
  readonly lua: string;
  readonly sha: string;
  readonly keys: number;
  constructor(file: string) {
    const text = readFileSync(new URL(`${file}.lua`, LUA), 'utf8');
    this.lua = text.replace(/^-- include (\S+)$/gm, (_, name) =>
      readFileSync(new URL(`include/${name}.lua`, LUA), 'utf8'),
    );
    this.sha = createHash('sha1').update(this.lua).digest('hex');
    this.keys = Number(/-(\d+)$/.exec(file)?.[1]);
  }
}

const scripts = new Map<string, Script>();

function scriptOf(file: string): Script {
  const known = scripts.get(file);
  if (known) return known;
  const script = new Script(file);
  scripts.set(file, script);
  return script;
}

/**
 * One connection to Redis that comes back by itself. Every command is answered
 * within about two seconds or fails with a `BlocklistError`; nothing is queued
 * while there is no connection, so that no stale write arrives later.
 */
export class RedisConnection implements Service {
  readonly name = 'redis connection';
  /** The address without the password, for messages. */
  readonly address: string;
  readonly client: Redis;
  readonly #onReady = new Set<() => void>();
  readonly #onDown = new Set<() => void>();
  #up = false;
  #lastError: unknown = new Error('not connected yet');

  constructor(url: string, name = 'barricata') {
    this.address = url.replace(/\/\/[^@/]*@/, '//');
    this.client = new Redis(
      Object.assign(redisOptions(url), { connectionName: name, replyMapping: 'legacy' as const }),
    );
    this.client.on('error', (error: unknown) => {
      this.#lastError = error;
    });
    this.client.on('ready', () => {
      this.#up = true;
      for (const run of this.#onReady) run();
    });
    this.client.on('close', () => {
      if (this.#up) this.#lastError = new Error('connection closed');
      const was = this.#up;
      this.#up = false;
      if (was) for (const run of this.#onDown) run();
    });
  }

  /** Whether a connection stands and Redis has loaded its data. */
  get up(): boolean {
    return this.#up;
  }

  /** Why there is no connection; `null` when there is one. */
  get problem(): BlocklistError | null {
    return this.#up ? null : blocklistError(`connect to ${this.address}`, this.#lastError);
  }

  /** Begins to connect and returns at once; an absent Redis is no error here. */
  async start(): Promise<void> {
    this.client.connect().catch((error: unknown) => {
      this.#lastError = error;
    });
  }

  async stop(): Promise<void> {
    this.#up = false;
    this.client.disconnect();
  }

  /** Calls back at every (re)connection; at once when there is one. */
  onReady(run: () => void): void {
    this.#onReady.add(run);
    if (this.#up) run();
  }

  onDown(run: () => void): void {
    this.#onDown.add(run);
  }

  /**
   * Waits until there is a connection.
   * @throws BlocklistError with the reason when there is none within `ms`
   */
  async ready(ms = COMMAND_TIMEOUT): Promise<void> {
    if (this.#up) return;
    await new Promise<void>((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.#onReady.delete(done);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#onReady.delete(done);
        reject(this.problem ?? new BlocklistError('connect', 'unreachable', `${this.address} did not answer`));
      }, ms);
      this.#onReady.add(done);
    });
  }

  /** Drops the connection and makes a new one: for a peer that takes commands but answers nothing. */
  reconnect(): void {
    this.client.disconnect(true);
  }

  /**
   * Sends one command.
   * @throws BlocklistError
   */
  async call(command: string, ...args: (string | number)[]): Promise<unknown> {
    try {
      return await this.client.call(command, ...args);
    } catch (error) {
      throw blocklistError(command, error);
    }
  }

  /**
   * Sends one command and gives its texts as they are, byte for byte.
   * @throws BlocklistError
   */
  async callBuffer(command: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    try {
      return await this.client.callBuffer(command, ...args);
    } catch (error) {
      throw blocklistError(command, error);
    }
  }

  /** Sends several commands in one write; a failed one fails all. Not a transaction. */
  async pipeline(commands: readonly (readonly (string | number)[])[]): Promise<unknown[]> {
    if (commands.length === 0) return [];
    const results = await Promise.all(commands.map(([command, ...args]) => this.call(String(command), ...args)));
    return results;
  }

  /**
   * Runs `lua/<file>.lua`, by its hash; the text is sent only when Redis does not know it.
   * @throws BlocklistError
   */
  async script(file: string, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    const { lua, sha, keys: expected } = scriptOf(file);
    if (keys.length !== expected) throw new RangeError(`${file}.lua takes ${expected} KEYS, not ${keys.length}`);
    try {
      return await this.client.evalsha(sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw blocklistError(file, error);
    }
    try {
      return await this.client.eval(lua, keys.length, ...keys, ...args);
    } catch (error) {
      throw blocklistError(file, error);
    }
  }
}
