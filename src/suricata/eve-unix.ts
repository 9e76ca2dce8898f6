import { type BigIntStats, lstatSync } from 'node:fs';
import { chmod, chown, rename, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { Counters } from '../base/counters.js';
import { messageOf } from '../base/errors.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import { type EveFeed, EveLines, type EveLinesOptions } from './eve-feed.js';
import type { EvePathStatus } from './eve-tailer.js';

/** How often (ms) it is looked whether the socket is still there, and tried again to make it. */
const LOOK_MS = 1000;
/** More than the threads of any sensor. Each connection may hold one line. */
const MOST_CONNECTIONS = 64;
/** How long (ms) somebody who listens on the socket already may take to show it. */
const PROBE_MS = 1000;
const NEWLINE = 10;

export interface EveUnixOptions extends EveLinesOptions {
  /** Where Suricata connects; the directory must exist. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  /** The group that may connect, besides root. */
  readonly socketGroup?: () => Promise<number | null>;
}

/**
 * Listens on a unix stream socket that Suricata writes to (`filetype:
 * unix_stream`). Suricata never waits for its reader: what does not fit into
 * the socket's buffer while alerts are being stored is lost there, and nothing
 * here can tell. What a connection holds when the program ends is lost too.
 */
export class EveUnix implements EveFeed {
  readonly #o: EveUnixOptions;
  readonly #lines: EveLines;
  readonly #complaints: RateLimitedLog;
  readonly #runner: BoundedRunner;
  readonly #connections = new Map<Socket, Promise<void>>();
  readonly #events = new Counters<'connected' | 'disconnected' | 'too_many' | 'cut_line' | 'bytes'>();
  #server: Server | null = null;
  #inode: bigint | null = null;
  #problem: string | null = 'not open yet';
  /** Bytes that were read and are not handled yet wait since this moment (monotonic). */
  #handlingSince: number | null = null;
  #handling = 0;

  constructor(options: EveUnixOptions) {
    this.#o = options;
    this.#lines = new EveLines(options);
    this.#complaints = new RateLimitedLog(options.log);
    this.#runner = new BoundedRunner({
      clock: options.clock,
      task: () => this.#look(),
      atLeast: 50,
      atMost: () => LOOK_MS,
      onError: (error) => {
        this.#problem = messageOf(error);
        this.#complaints.warn('socket', { source: options.source }, `${options.source}: ${this.#problem}`);
      },
    });
  }

  start(): void {
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
    await this.#close();
    for (const connection of this.#connections.keys()) connection.destroy();
    await Promise.all(this.#connections.values());
  }

  get hint(): string | null {
    if (this.#problem !== null || this.#connections.size > 0) return null;
    return `nobody is connected to ${this.#o.path}: set "filetype: unix_stream" and "filename: ${this.#o.path}" of eve-log in suricata.yaml`;
  }

  status(): EvePathStatus {
    const since = this.#handlingSince;
    return {
      ...this.#lines.counts(),
      opened: this.#problem === null,
      problem: this.#problem,
      lagSeconds: since === null ? 0 : (this.#o.clock.monotonic() - since) / 1000,
      events: this.#events.toJSON(),
    };
  }

  /** Makes the socket where it is not there, or not this one. */
  async #look(): Promise<void> {
    const present = factsOf(this.#o.path);
    if (this.#inode !== null && present?.ino === this.#inode) return;
    await this.#close();
    if (present !== null && !present.isSocket()) {
      throw new Error(`${this.#o.path} is there and is not a socket: remove it, or name another path in suricata.eve`);
    }
    if (present !== null && (await answers(this.#o.path))) {
      throw new Error(`another program listens on ${this.#o.path}: end it, or name another path in suricata.eve`);
    }
    await this.#listen();
    this.#problem = null;
    this.#o.log.info({ source: this.#o.source }, `${this.#o.source}: waits for Suricata to connect`);
  }

  /**
   * The socket is made under another name and moved: whoever connects finds it
   * with its rights set, one that a killed process left is replaced, and closing
   * the server, which unlinks the name that it was made under, takes nobody else's.
   */
  async #listen(): Promise<void> {
    const { path, socketGroup } = this.#o;
    const made = join(dirname(path), `.e${process.pid}-${nextNumber()}`);
    const server = createServer((connection) => this.#accept(connection));
    server.maxConnections = MOST_CONNECTIONS;
    server.on('drop', () => {
      this.#events.add('too_many');
      this.#complaints.warn('drop', {}, `${path}: more than ${MOST_CONNECTIONS} connections; one more was refused`);
    });
    await new Promise<void>((resolve, reject) => {
      // Stays: a connection that cannot be accepted later must not end the process.
      server.on('error', reject);
      server.listen(made, resolve);
    }).catch((error) => {
      throw new Error(`${path} cannot be made (${messageOf(error)}): make its directory, or name another path`);
    });
    try {
      await chmod(made, 0o660);
      const group = (await socketGroup?.()) ?? null;
      if (group !== null) await chown(made, process.geteuid?.() ?? 0, group).catch(() => undefined);
      this.#inode = factsOf(made)?.ino ?? null;
      await rename(made, path);
      this.#server = server;
    } catch (error) {
      this.#inode = null;
      server.close();
      throw error;
    }
  }

  async #close(): Promise<void> {
    const server = this.#server;
    const inode = this.#inode;
    this.#server = null;
    this.#inode = null;
    // Not waited for: it ends with its last connection, which may go on.
    server?.close();
    if (inode !== null && factsOf(this.#o.path)?.ino === inode) await unlink(this.#o.path).catch(() => undefined);
  }

  #accept(connection: Socket): void {
    this.#events.add('connected');
    const serving = this.#serve(connection).finally(() => {
      this.#events.add('disconnected');
      this.#connections.delete(connection);
    });
    this.#connections.set(connection, serving);
  }

  /** Reads one connection to its end. While lines are being handled nothing more is taken from it. */
  async #serve(connection: Socket): Promise<void> {
    const { longestLine } = this.#o;
    /** The line at hand, in pieces, as it came. */
    let pieces: Buffer[] = [];
    let held = 0;
    let skipping = false;
    try {
      for await (const chunk of connection as AsyncIterable<Buffer>) {
        this.#events.add('bytes', chunk.length);
        const lastNewline = chunk.lastIndexOf(NEWLINE);
        if (lastNewline >= 0) {
          const from = skipping ? chunk.indexOf(NEWLINE) + 1 : 0;
          const whole = chunk.subarray(from, lastNewline + 1);
          if (whole.length > 0) await this.#handle(pieces.length === 0 ? whole : Buffer.concat([...pieces, whole]));
          pieces = [];
          held = 0;
          skipping = false;
        }
        if (skipping || lastNewline + 1 === chunk.length) continue;
        const rest = chunk.subarray(lastNewline + 1);
        pieces.push(rest);
        held += rest.length;
        if (held <= longestLine) continue;
        this.#lines.reader.passedOver();
        skipping = true;
        pieces = [];
        held = 0;
      }
    } catch {
      // The other side broke off, or this one stops.
    }
    if (held === 0) return;
    this.#events.add('cut_line');
    await this.#handle(Buffer.concat([...pieces, Buffer.from('\n')])).catch(() => undefined);
  }

  async #handle(lines: Buffer): Promise<void> {
    this.#handling += 1;
    this.#handlingSince ??= this.#o.clock.monotonic();
    try {
      await this.#lines.read(lines);
    } finally {
      this.#handling -= 1;
      if (this.#handling === 0) this.#handlingSince = null;
    }
  }
}

let made = 0;
function nextNumber(): number {
  made += 1;
  return made;
}

function factsOf(path: string): BigIntStats | null {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
}

/** Whether somebody accepts connections there, or holds it without accepting. */
async function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const end = (answer: boolean) => {
      probe.destroy();
      resolve(answer);
    };
    probe.setTimeout(PROBE_MS, () => end(true));
    probe.on('connect', () => end(true));
    // Refused: the process that made it has ended. Anything else is no proof of that.
    probe.on('error', (error: NodeJS.ErrnoException) => end(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}
