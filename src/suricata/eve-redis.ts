import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock, EpochMs } from '../base/clock.js';
import { Counters } from '../base/counters.js';
import { BarricataError, messageOf } from '../base/errors.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import { type EveFeed, EveLines, type EveLinesOptions } from './eve-feed.js';
import type { EvePathStatus } from './eve-tailer.js';
import { parseTimestamp } from './timestamp.js';

/** How long (ms) Redis waits for lines before it says that there are none; below the time that a command may take. */
export const BLOCK_MS = 1000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;
/** What one page may hold, by the size of the lines before: the memory that it costs is a few times as much. */
const PAGE_BYTES = 1 << 20;
const PAGE_LINES = 64;
const NEWLINE = Buffer.from('\n');

/** A connection to one Redis that comes back by itself; `RedisConnection` is one. */
export interface RedisLink {
  readonly up: boolean;
  /** Why there is no connection. */
  readonly problem: Error | null;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Drops a connection on which nothing is answered. */
  reconnect(): void;
  onReady(run: () => void): void;
  /** Sends one command; rejects when it is not answered within about two seconds. */
  call(command: string, ...args: (string | number)[]): Promise<unknown>;
  /** The same; texts of the answer are buffers. */
  callBuffer(command: string, ...args: (string | number | Buffer)[]): Promise<unknown>;
}

/** What can go wrong with the lines themselves, counted in status. */
export type RedisEvent = 'taken_again' | 'trimmed' | 'recreated' | 'no_line' | 'claimed';

/** How lines are taken from one key so that none is lost when this process is killed. */
export interface RedisQueue {
  /** After each connection, and after each failure: what was taken and not forgotten comes again first. */
  begin(report: Report): Promise<void>;
  /** The oldest lines, at most about `most`; waits up to `BLOCK_MS` when there are none. */
  take(most: number): Promise<readonly Buffer[]>;
  /** The effects of what was taken last are stored: never give it again. */
  forget(): Promise<void>;
}

export type Report = (event: RedisEvent, count: number, detail: string | null) => void;

export interface EveRedisOptions extends EveLinesOptions {
  /** Called once, and again while it throws. */
  readonly open: () => { readonly link: RedisLink; readonly queue: RedisQueue };
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Reads eve records that Suricata writes to a Redis (`filetype: redis`). At
 * least once: a page of lines is forgotten by Redis after its effects are
 * stored, so a kill in between has the page handled again. That bans nobody
 * twice and makes no ban longer, since a ban ends a fixed time after its event.
 */
export class EveRedis implements EveFeed {
  readonly hint = null;
  readonly #o: EveRedisOptions;
  readonly #lines: EveLines;
  readonly #complaints: RateLimitedLog;
  readonly #runner: BoundedRunner;
  readonly #events = new Counters<RedisEvent>();
  /** Waiting for lines, with nothing at hand. */
  #taking = false;
  #opened: ReturnType<EveRedisOptions['open']> | null = null;
  #problem: string | null = 'not connected yet';
  #retryAfter = FIRST_RETRY_MS;
  #stopping = false;
  #most = 8;
  /** When there was nothing left to read; and since when something is left, `null` while nothing is. */
  #caughtUpAt: EpochMs;
  #behindSince: EpochMs | null = null;

  constructor(options: EveRedisOptions) {
    this.#o = options;
    this.#lines = new EveLines(options);
    this.#complaints = new RateLimitedLog(options.log);
    this.#caughtUpAt = options.clock.now();
    this.#runner = new BoundedRunner({
      clock: options.clock,
      task: () => this.#follow(),
      atLeast: FIRST_RETRY_MS,
      atMost: () => this.#retryAfter,
      onError: (error) => this.#failed(error),
    });
  }

  start(): void {
    this.#stopping = false;
    this.#runner.start();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    // Ends a command that waits for lines; a line that it takes all the same comes again at the next start.
    if (this.#taking) await this.#opened?.link.stop();
    // Lines at hand are forgotten once they are stored, so that they do not come again.
    await this.#runner.stop();
    await this.#opened?.link.stop();
    this.#opened = null;
  }

  status(): EvePathStatus {
    const since = this.#problem === null ? this.#behindSince : this.#caughtUpAt;
    return {
      ...this.#lines.counts(),
      opened: this.#problem === null,
      problem: this.#problem,
      lagSeconds: since === null ? 0 : Math.max(0, (this.#o.clock.now() - since) / 1000),
      events: this.#events.toJSON(),
    };
  }

  async #open(): Promise<ReturnType<EveRedisOptions['open']>> {
    const opened = this.#o.open();
    this.#opened = opened;
    await opened.link.start();
    opened.link.onReady(() => this.#runner.wake());
    return opened;
  }

  /** Reads until something fails. */
  async #follow(): Promise<void> {
    const { clock } = this.#o;
    const { link, queue } = this.#opened ?? (await this.#open());
    if (!link.up) throw link.problem ?? new Error('not connected');
    await queue.begin((event, count, detail) => this.#report(event, count, detail));
    this.#problem = null;
    while (!this.#stopping) {
      this.#taking = true;
      const lines = await queue.take(this.#most).finally(() => {
        this.#taking = false;
      });
      this.#retryAfter = FIRST_RETRY_MS;
      if (lines.length > 0) {
        this.#behindSince = Math.max(this.#caughtUpAt, timeOf(lines[0] as Buffer) ?? 0);
        const text = Buffer.concat(lines.flatMap((line) => [line, NEWLINE]));
        await this.#lines.read(text);
        const full = lines.length >= this.#most;
        this.#most = Math.max(1, Math.min(PAGE_LINES, Math.floor((PAGE_BYTES * lines.length) / text.length)));
        await queue.forget();
        if (full) continue;
      } else await queue.forget();
      this.#caughtUpAt = clock.now();
      this.#behindSince = null;
    }
  }

  #failed(error: unknown): void {
    if (this.#stopping) return;
    const { source } = this.#o;
    const link = this.#opened?.link;
    const problem = messageOf(error);
    // Not the first one: the connection may only be on its way.
    if (this.#retryAfter > FIRST_RETRY_MS) this.#complaints.warn(problem, { source }, `${source}: ${problem}`);
    this.#problem = problem;
    this.#retryAfter = Math.min(LONGEST_RETRY_MS, this.#retryAfter * 2);
    // What was refused was answered; else the answer may come yet, and be taken for that of another command.
    const isAnswered = error instanceof BarricataError && error.kind === 'refused';
    if (link?.up && !isAnswered) link.reconnect();
  }

  #report(event: RedisEvent, count: number, detail: string | null): void {
    const { source } = this.#o;
    this.#events.add(event, count);
    if (detail !== null) this.#complaints.warn(event, { source, count }, `${source}: ${detail}`);
  }
}

/** The time of a record, from its first bytes: Suricata writes it first. */
export function timeOf(line: Buffer): EpochMs | null {
  return parseTimestamp(/"timestamp"\s*:\s*"([^"]{1,40})"/.exec(line.toString('latin1', 0, 200))?.[1]);
}

/** @throws EveRedisError when the key is there and holds something else */
export async function expectType(link: RedisLink, key: string, wanted: 'list' | 'stream'): Promise<boolean> {
  const type = String(await link.call('TYPE', key));
  if (type === wanted) return true;
  if (type === 'none') return false;
  const fix = type === 'list' || type === 'stream' ? `write ?${type}=${key}` : 'name another key';
  throw new EveRedisError(`the key ${key} is a ${type} and not a ${wanted}: ${fix} in suricata.eve`);
}

/** The key or the Redis is not what is needed; trying again helps only after somebody changed it. */
export class EveRedisError extends BarricataError {
  constructor(message: string, cause?: unknown) {
    super('read eve records', 'refused', message, cause);
  }
}
