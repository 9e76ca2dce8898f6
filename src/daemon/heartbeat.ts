import { readFile } from 'node:fs/promises';
import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import type { RedisConnection } from '../blocklist/connection.js';
import { writeHeartbeat } from '../blocklist/heartbeat.js';
import type { Keys } from '../blocklist/keys.js';
import type { Mirror } from '../blocklist/mirror.js';
import type { Config } from '../config/config.js';
import type { Reconciler } from '../enforcement/reconciler.js';

const EVERY = 10_000;

export interface HeartbeatOptions {
  readonly connection: RedisConnection;
  readonly keys: Keys;
  readonly version: string;
  readonly config: () => Config;
  readonly reconciler: Reconciler;
  readonly mirror: Mirror;
  readonly clock: Clock;
  readonly log: Log;
}

/** Tells the fleet every ten seconds what this host has applied, and finds out whether another machine uses its name. */
export class Heartbeat implements Service {
  readonly name = 'heartbeat';
  readonly #o: HeartbeatOptions;
  readonly #runner: BoundedRunner;
  #machine = '';
  #problem: string | null = null;

  constructor(options: HeartbeatOptions) {
    this.#o = options;
    this.#runner = new BoundedRunner({
      task: () => this.#beat(),
      clock: options.clock,
      atLeast: 1000,
      atMost: () => EVERY,
      // Redis is away; `status` and the connection say so already.
      onError: () => {},
    });
  }

  /** `null`, or that another machine has this host's name. */
  get problem(): string | null {
    return this.#problem;
  }

  async start(): Promise<void> {
    this.#machine = (await readFile('/etc/machine-id', 'utf8').catch(() => '')).trim() || `pid ${process.pid}`;
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
  }

  async #beat(): Promise<void> {
    const { connection, keys, version, config, reconciler, mirror } = this.#o;
    const { entries, drift } = reconciler.status();
    const mine = await writeHeartbeat(connection, keys, this.#machine, {
      at: new Date(this.#o.clock.now()).toISOString(),
      version,
      policy: config().policyVersion,
      mode: mirror.mode.mode,
      wanted: mirror.status().entries,
      applied: entries,
      drift,
    });
    const problem = mine
      ? null
      : `another machine is named "${config().host}" too; give this one a name of its own by host: in the configuration`;
    if (problem !== null && problem !== this.#problem) this.#o.log.error(problem);
    this.#problem = problem;
  }
}
