import { messageOf } from '../base/errors.js';
import { Lifecycle } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import { compose } from './compose.js';
import type { Author } from './policy-versions.js';
import { ConfigSource, type Reloaded } from './reload.js';
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

/** The author of what the file says at the start or after a signal. */
const NOBODY: Author = { by: null, reason: null, ticket: null };

/** Exit code after a defect, and how long a stop may take then, ms. */
const FAILED = 4;
const STOP_WITHIN = 30_000;

/** The running program: starts the parts, follows signals, stops the parts. */
export class Daemon {
  /** Settles when the daemon has stopped: as it was asked to, or because of a defect. */
  readonly ended: Promise<'asked' | 'failed'>;
  readonly #o: DaemonOptions;
  readonly #lifecycle: Lifecycle;
  #stopping: Promise<void> | null = null;
  #end: (how: 'asked' | 'failed') => void = () => {};
  #failed = false;
  readonly #listeners: [event: string, (thrown: unknown) => void][] = [];

  constructor(options: DaemonOptions) {
    this.#o = options;
    this.#lifecycle = new Lifecycle((name, err) =>
      options.log.error({ service: name, err }, `${name} did not stop cleanly`),
    );
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /**
   * Asked to stop meanwhile, it returns early; `ended` settles as after any stop.
   * @throws ConfigError, or the error of the part that did not start; what had started is stopped again
   */
  async start(): Promise<void> {
    const { log, version } = this.#o;
    const source = new ConfigSource(this.#o);
    const config = source.load();
    const reload = (author: Author): Promise<Reloaded> => source.reload(parts, author);
    const parts = compose({
      config,
      version,
      log,
      asked: { stop: () => void this.stop('asked by the command line'), reload },
    });
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
    for (const event of ['uncaughtException', 'unhandledRejection'])
      this.#listen(event, (thrown) => this.#fail(event, thrown));
    this.#listen('SIGTERM', () => void this.stop('SIGTERM'));
    this.#listen('SIGINT', () => void this.stop('SIGINT'));
    this.#listen('SIGHUP', () => void reload(NOBODY));
    try {
      if (!(await this.#lifecycle.start(parts.services))) return;
    } catch (error) {
      this.#unlisten();
      throw error;
    }
    for (const key of config.inactive) log.warn({ key }, `${key} is accepted, but this version does not act on it`);
    log.info('Barricata runs');
    void source.keep(parts, NOBODY);
    void probeSuricata(config.suricata.rules).then((probe) =>
      log[probe.running ? 'info' : 'warn'](describeSuricata(probe)),
    );
  }

  /** Stops every part, in reverse order. Called again, waits for the first call. */
  stop(why: string): Promise<void> {
    this.#stopping ??= (async () => {
      this.#o.log.info(`stopping: ${why}`);
      await this.#lifecycle.stop();
      this.#unlisten();
      this.#o.log.info('stopped');
      this.#end(this.#failed ? 'failed' : 'asked');
    })();
    return this.#stopping;
  }

  /**
   * An error that nobody expected: what the program believes may be wrong now,
   * so it stops as it would when asked. The bans stay or go as `on_stop` says.
   */
  #fail(event: string, thrown: unknown): void {
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    this.#o.log.fatal({ event, err: messageOf(thrown), stack }, 'a defect in Barricata: it stops');
    if (this.#failed) return;
    this.#failed = true;
    // Also when a part cannot stop any more; systemd, or whoever watches, starts it again.
    setTimeout(() => process.exit(FAILED), STOP_WITHIN).unref();
    void this.stop(event);
  }

  #listen(event: string, listener: (thrown: unknown) => void): void {
    process.on(event, listener);
    this.#listeners.push([event, listener]);
  }

  #unlisten(): void {
    for (const [event, listener] of this.#listeners.splice(0)) process.off(event, listener);
  }
}
