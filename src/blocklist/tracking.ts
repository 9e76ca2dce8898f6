import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import { RedisConnection } from './connection.js';
import { blocklistError } from './errors.js';
import type { Keys } from './keys.js';

const CHANNEL = '__redis__:invalidate';
const CANARY_PERIOD = 1000;

export interface TrackingOptions {
  /** The connection that reads; tracking belongs to it and is redirected to a second one. */
  readonly connection: RedisConnection;
  readonly url: string;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly log: Log;
  /** Keys that somebody wrote, removed or let expire: look at them again. */
  readonly onKeys: (keys: readonly string[]) => void;
  /** Events may have been missed (flush, reconnect): look at everything again; `flushed` when a database was emptied. */
  readonly onGap: (flushed: boolean) => void;
  /** Called about once a second. */
  readonly onTick?: () => void;
}

/**
 * Hears of every change under the tracked prefixes: `CLIENT TRACKING ON REDIRECT
 * .. BCAST PREFIX ..` (Redis documentation, "Client-side caching"). Unlike
 * keyspace events it needs no server setting and tells of FLUSHDB and of a
 * replica's resynchronisation.
 *
 * Tracking ends silently with either connection, so it is armed again whenever
 * one of them is ready, followed by a gap. A canary key written once a second
 * must come back as an event; two misses make both connections anew, which
 * catches half-open connections and tracking lost in ways nobody reports.
 */
export class Tracking implements Service {
  readonly name = 'tracking';
  readonly #o: TrackingOptions;
  readonly #listener: RedisConnection;
  readonly #runner: BoundedRunner;
  #listenerId: number | null = null;
  #armed = false;
  #arming: Promise<void> | null = null;
  #armAgain = false;
  #sent = 0;
  #seen = 0;
  #misses = 0;
  #problem: string | null = null;

  constructor(options: TrackingOptions) {
    this.#o = options;
    this.#listener = new RedisConnection(options.url, 'barricata-tracking');
    this.#runner = new BoundedRunner({
      task: () => this.#tick(),
      clock: options.clock,
      atLeast: CANARY_PERIOD / 2,
      atMost: () => CANARY_PERIOD,
      onError: (error) => options.log.error({ err: messageOf(error) }, 'the canary could not be sent'),
    });
  }

  /** Whether changes are heard of; without it only the walks find them. */
  get armed(): boolean {
    return this.#armed;
  }

  /** Why tracking could not be armed although Redis answers; `null` when it is or Redis is away. */
  get problem(): string | null {
    return this.#problem;
  }

  async start(): Promise<void> {
    const { connection } = this.#o;
    this.#listener.client.on('messageBuffer', (_channel: Buffer, message: unknown) => this.#heard(message));
    this.#listener.onReady(() => {
      this.#listenerId = null;
      this.#arm();
    });
    connection.onReady(() => this.#arm());
    connection.onDown(() => {
      this.#armed = false;
    });
    this.#listener.onDown(() => {
      this.#armed = false;
      this.#listenerId = null;
    });
    await this.#listener.start();
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
    this.#armed = false;
    await this.#listener.stop();
    await this.#arming;
  }

  #arm(): void {
    this.#armed = false;
    if (!this.#o.connection.up || !this.#listener.up) return;
    if (this.#arming) {
      this.#armAgain = true;
      return;
    }
    this.#arming = this.#armNow()
      .catch((error: unknown) => {
        const failure = blocklistError('client tracking', error);
        if (failure.kind === 'unreachable') return;
        if (this.#problem !== failure.message) {
          this.#o.log.error(
            { err: failure.message },
            'Redis does not tell of changes; only the periodic walk finds them',
          );
        }
        this.#problem = failure.message;
        this.#o.onGap(false);
      })
      .finally(() => {
        this.#arming = null;
        if (this.#armAgain) {
          this.#armAgain = false;
          this.#arm();
        }
      });
  }

  async #armNow(): Promise<void> {
    const { connection, keys } = this.#o;
    if (this.#listenerId === null) {
      // Before SUBSCRIBE: with protocol 2 a subscribed connection takes no other command.
      const id = Number(await this.#listener.call('CLIENT', 'ID'));
      await this.#listener.client.subscribe(CHANNEL);
      this.#listenerId = id;
    }
    await connection.call('CLIENT', 'TRACKING', 'OFF');
    const prefixes = keys.tracked().flatMap((prefix) => ['PREFIX', prefix]);
    await connection.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', this.#listenerId, 'BCAST', ...prefixes);
    this.#armed = true;
    this.#problem = null;
    this.#seen = this.#sent;
    this.#misses = 0;
    this.#o.onGap(false);
  }

  /** The payload is an array of keys; the library's `message` event would join them with commas. */
  #heard(message: unknown): void {
    if (!Array.isArray(message)) {
      this.#o.onGap(true);
      return;
    }
    const { canary } = this.#o.keys;
    const names: string[] = [];
    for (const item of message) {
      const name = String(item);
      if (name === canary) this.#seen = this.#sent;
      else names.push(name);
    }
    if (names.length > 0) this.#o.onKeys(names);
  }

  async #tick(): Promise<void> {
    const { connection, keys, log } = this.#o;
    this.#o.onTick?.();
    if (!this.#armed) return;
    this.#misses = this.#seen === this.#sent ? 0 : this.#misses + 1;
    if (this.#misses >= 2) {
      log.warn('Redis did not tell of our own canary key twice; connecting again');
      this.#misses = 0;
      this.#armed = false;
      this.#listener.reconnect();
      connection.reconnect();
      return;
    }
    this.#sent += 1;
    try {
      await connection.call('SET', keys.canary, this.#sent, 'EX', 30);
    } catch (error) {
      // A store that takes no writes cannot carry a canary; one that answers nothing is a miss.
      if (blocklistError('canary', error).kind !== 'unreachable') this.#seen = this.#sent;
    }
  }
}
