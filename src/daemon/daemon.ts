import { messageOf } from '../base/errors.js';
import { Lifecycle } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import type { Config } from '../config/config.js';
import { ConfigError } from '../config/errors.js';
import { loadConfig } from '../config/load.js';
import { compose, type Parts } from './compose.js';
import { describeSuricata, probeSuricata } from './suricata-probe.js';

export interface DaemonOptions {
  readonly file: string;
  readonly version: string;
  readonly log: Log;
  /** Overrides `enforcement.on_stop`. */
  readonly onStop?: 'keep' | 'remove';
  /** Uses the embedded Redis whatever the file says. */
  readonly embeddedRedis: boolean;
}

/** Settings that are read once; a change of these needs a restart. */
const FIXED = ['state', 'run', 'host', 'redis', 'queue', 'enforcement', 'suricata', 'filter', 'limits'] as const;

/** The running program: starts the parts, follows signals, stops the parts. */
export class Daemon {
  /** Settles when the daemon has stopped. */
  readonly ended: Promise<void>;
  readonly #o: DaemonOptions;
  readonly #lifecycle: Lifecycle;
  #parts: Parts | null = null;
  #stopping: Promise<void> | null = null;
  #end: () => void = () => {};
  readonly #signals: [NodeJS.Signals, () => void][] = [];

  constructor(options: DaemonOptions) {
    this.#o = options;
    this.#lifecycle = new Lifecycle((name, err) =>
      options.log.error({ service: name, err }, `${name} did not stop cleanly`),
    );
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** @throws ConfigError, or the error of the part that did not start; what had started is stopped again */
  async start(): Promise<void> {
    const { log, version } = this.#o;
    const config = this.#load();
    const parts = compose({ config, version, log, onStopAsked: () => void this.stop('asked by the command line') });
    this.#parts = parts;
    process.stdout.write(`${parts.redisCli}\n`);
    log.info(
      {
        version,
        pid: process.pid,
        config: config.file,
        policy: config.policyVersion,
        backend: parts.kernel.backend.name,
      },
      'Barricata starts',
    );
    this.#listen('SIGTERM', () => void this.stop('SIGTERM'));
    this.#listen('SIGINT', () => void this.stop('SIGINT'));
    this.#listen('SIGHUP', () => this.reload());
    if (!(await this.#lifecycle.start(parts.services))) return;
    for (const key of config.inactive) log.warn({ key }, `${key} is accepted, but this version does not act on it`);
    log.info('Barricata runs');
    void probeSuricata(config.suricata.rules).then((probe) =>
      log[probe.running ? 'info' : 'warn'](describeSuricata(probe)),
    );
  }

  /** Stops every part, in reverse order. Called again, waits for the first call. */
  stop(why: string): Promise<void> {
    this.#stopping ??= (async () => {
      this.#o.log.info(`stopping: ${why}`);
      await this.#lifecycle.stop();
      for (const [signal, listener] of this.#signals) process.off(signal, listener);
      this.#o.log.info('stopped');
      this.#end();
    })();
    return this.#stopping;
  }

  /** Reads the configuration again. A bad file keeps the old one in force, and `status` says so. */
  reload(): void {
    const parts = this.#parts;
    if (!parts) return;
    const { log } = this.#o;
    try {
      const next = this.#load();
      const old = parts.settings.config;
      const fixed = FIXED.filter((key) => JSON.stringify(next[key]) !== JSON.stringify(old[key]));
      // What cannot change while running keeps its old value, so that what is shown is what holds.
      parts.settings.config = { ...next, ...Object.fromEntries(FIXED.map((key) => [key, old[key]])) } as Config;
      parts.settings.problems = fixed.map((key) => `a change of ${key} waits for a restart`);
      parts.facts.reconfigured();
      log.info({ policy: next.policyVersion, waiting: fixed }, 'the configuration was read again');
    } catch (error) {
      const problems = error instanceof ConfigError ? error.message.split('\n') : [messageOf(error)];
      parts.settings.problems = problems.map((problem) => `not taken up: ${problem}`);
      log.error({ problems }, 'the configuration is wrong; the one before stays in force');
    }
  }

  #load(): Config {
    const config = loadConfig(this.#o.file);
    const enforcement = { ...config.enforcement, onStop: this.#o.onStop ?? config.enforcement.onStop };
    const redis = this.#o.embeddedRedis ? { ...config.redis, embedded: true, url: null } : config.redis;
    return { ...config, enforcement, redis };
  }

  #listen(signal: NodeJS.Signals, listener: () => void): void {
    process.on(signal, listener);
    this.#signals.push([signal, listener]);
  }
}
