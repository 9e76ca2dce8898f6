import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import type { RedisConnection } from '../blocklist/connection.js';
import { writeHeartbeat } from '../blocklist/heartbeat.js';
import type { Keys } from '../blocklist/keys.js';
import type { Mirror } from '../blocklist/mirror.js';
import type { Config } from '../config/config.js';
import type { Reconciler } from '../enforcement/reconciler.js';

const EVERY = 10_000;
/** How long a heartbeat lives in Redis, ms. */
const LIFETIME = 30_000;

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

/**
 * Tells the fleet every ten seconds what this host has applied, and finds out
 * whether another machine uses its name: positions and local bans are kept
 * under that name, so that nothing may be stored while it is not ours.
 */
export class Heartbeat implements Service {
  readonly name = 'heartbeat';
  readonly #o: HeartbeatOptions;
  readonly #runner: BoundedRunner;
  #machine = '';
  #isOurs = false;
  #lastSure = Number.NEGATIVE_INFINITY;
  #problem: string | null = null;

  constructor(options: HeartbeatOptions) {
    this.#o = options;
    this.#runner = new BoundedRunner({
      task: () => this.#beat(),
      clock: options.clock,
      atLeast: 100,
      atMost: () => (this.#isOurs ? EVERY : 1000),
      // Redis is away; `status` and the connection say so already.
      onError: () => {},
    });
  }

  /** `null`, or that another machine has this host's name. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Why nothing may be stored under this host's name; `null` when it may, also while Redis is away. */
  get waitsFor(): string | null {
    return this.#problem ?? (this.#isOurs ? null : "waiting for Redis to say that this host's name is free");
  }

  async start(): Promise<void> {
    this.#machine = await this.#machineId();
    this.#o.connection.onReady(() => {
      // Away for longer than a heartbeat lives: somebody else may have taken the name.
      if (this.#o.clock.monotonic() - this.#lastSure > LIFETIME) this.#isOurs = false;
      this.#runner.wake();
    });
    this.#runner.start();
  }

  /** Gives the name back, so that another machine need not wait for the heartbeat to end. */
  async stop(): Promise<void> {
    await this.#runner.stop();
    if (!this.#isOurs || !this.#o.connection.up) return;
    this.#isOurs = false;
    const { connection, keys } = this.#o;
    // A lifetime of nothing deletes, and only what is ours. What cannot be deleted now ends by itself.
    await connection
      .script('heartbeat-1', [keys.heartbeat()], [this.#machine, 0, 'machine', this.#machine])
      .catch(() => {});
  }

  async #beat(): Promise<void> {
    const { connection, keys, version, config, reconciler, mirror } = this.#o;
    const { entries, drift } = reconciler.status();
    const fields = {
      at: new Date(this.#o.clock.now()).toISOString(),
      version,
      policy: config().policyVersion,
      mode: mirror.mode.mode,
      wanted: mirror.status().entries,
      applied: entries,
      drift,
    };
    try {
      this.#learn(await writeHeartbeat(connection, keys, this.#machine, fields));
    } catch {
      // A Redis that takes no writes, being full, can still be asked whose name it is.
      const holder = await connection.call('HGET', keys.heartbeat(), 'machine');
      this.#learn(holder === null || holder === this.#machine);
    }
  }

  #learn(ours: boolean): void {
    const { clock, config, log } = this.#o;
    this.#isOurs = ours;
    if (ours) this.#lastSure = clock.monotonic();
    const problem = ours
      ? null
      : `another machine is named "${config().host}" too, and no alert is acted on here; give this one a name of its own by host: in the configuration`;
    if (problem !== null && problem !== this.#problem) log.error(problem);
    if (problem === null && this.#problem !== null) log.info(`the name "${config().host}" is this machine's again`);
    this.#problem = problem;
  }

  /** /etc/machine-id (machine-id(5)); without one, an id of our own that is kept in the state directory. */
  async #machineId(): Promise<string> {
    const system = (await readFile('/etc/machine-id', 'utf8').catch(() => '')).trim();
    if (/^[0-9a-f]{32}$/.test(system)) return system;
    const { state } = this.#o.config();
    const file = join(state, 'machine-id');
    const fresh = randomBytes(16).toString('hex');
    try {
      await mkdir(state, { recursive: true });
      await writeFile(file, `${fresh}\n`, { flag: 'wx' });
      return fresh;
    } catch (error) {
      const kept = (await readFile(file, 'utf8').catch(() => '')).trim();
      if (kept !== '') return kept;
      this.#o.log.warn({ err: messageOf(error) }, 'no machine id: after a crash this host waits 30 s for its own name');
      return fresh;
    }
  }
}
