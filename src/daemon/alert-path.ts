import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import { RedisConnection } from '../blocklist/connection.js';
import type { Store } from '../blocklist/store.js';
import type { Config } from '../config/config.js';
import { ContactReader, type ContactRecord } from '../suricata/eve-contact.js';
import type { EveSourceStatus } from '../suricata/eve-files.js';
import { EveSource } from '../suricata/eve-source.js';
import type { Decisions } from './decisions.js';
import { groupId } from './group.js';

export interface AlertPathOptions {
  config: Config;
  store: Store;
  decisions: Decisions;
  connection: RedisConnection;
  /** Takes the contacts of flow, http and tls records; `null` when nobody wants them. */
  onContact: ((record: ContactRecord) => void) | null;
  /** Why nothing may be decided yet; `null` when it may. */
  waitsFor: () => string | null;
  clock: Clock;
  log: Log;
}

/**
 * Follows the eve sources, files from where the blocklist says that they were read to.
 * Until Redis has told that, nothing is read: the files are the queue, and to
 * begin anywhere else would lose alerts or act on them twice. Nor before the
 * mode is known, and that no other machine reads for this host's name.
 */
export class AlertPath implements Service {
  readonly name = 'alert path';
  readonly #o: AlertPathOptions;
  readonly #starter: BoundedRunner;
  #source: EveSource | null = null;
  #problem: string | null = 'not started';
  #stopped = false;

  constructor(options: AlertPathOptions) {
    this.#o = options;
    const complaints = new RateLimitedLog(options.log);
    this.#starter = new BoundedRunner({
      task: () => this.#begin(),
      clock: options.clock,
      atLeast: 50,
      // What is waited for is in memory, and cheap to look at.
      atMost: () => (this.#source !== null ? 3_600_000 : options.waitsFor() !== null ? 50 : 1000),
      onError: (error) => {
        this.#problem = `waiting for Redis to say where the eve files were read to: ${messageOf(error)}`;
        complaints.warn(
          'positions',
          { err: messageOf(error) },
          'the eve files wait until Redis says where they were read to',
        );
      },
    });
  }

  async start(): Promise<void> {
    this.#stopped = false;
    this.#o.connection.onReady(() => this.#starter.wake());
    this.#starter.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#starter.stop();
    await this.#source?.stop();
    this.#source = null;
  }

  /** Why nothing is read at all; `null` when the files are followed. */
  get problem(): string | null {
    return this.#problem;
  }

  status(): EveSourceStatus {
    return this.#source?.status() ?? { paths: [], problems: [], unreadablePositions: 0 };
  }

  async #begin(): Promise<void> {
    if (this.#source !== null || this.#stopped) return;
    const reason = this.#o.waitsFor();
    if (reason !== null) {
      this.#problem = `the eve files are not read: ${reason}`;
      return;
    }
    const { config, store, decisions, clock, log } = this.#o;
    const positions = new Map<string, string>();
    for (const [source, value] of await store.positions()) {
      if (typeof value === 'string') positions.set(source, value);
    }
    const contacts = this.#o.onContact === null ? null : new ContactReader(this.#o.onContact);
    const source = new EveSource({
      globs: config.suricata.eve,
      longestLine: config.suricata.longestLine,
      ignoreAlertsOlderThan: config.suricata.ignoreAlertsOlderThan,
      positions,
      clock,
      log,
      onBatch: (batch) => decisions.onBatch(batch),
      connect: (url) => new RedisConnection(url, 'barricata-eve'),
      host: config.host,
      socketGroup: async () => (await groupId('suricata')) ?? groupId('barricata'),
      onOther: contacts === null ? undefined : (...record) => contacts.read(...record),
    });
    await source.start();
    this.#source = source;
    this.#problem = null;
  }
}
