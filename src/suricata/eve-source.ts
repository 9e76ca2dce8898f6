import type { Service } from '../base/lifecycle.js';
import { RateLimitedLog } from '../base/log.js';
import { type EveEntry, parseEveEntry } from '../config/eve-entry.js';
import type { EveBatch } from './eve-alert.js';
import type { EveFeed } from './eve-feed.js';
import { EveFiles, type EveFilesOptions, type EveSourceStatus } from './eve-files.js';
import { EveRedis, type RedisLink } from './eve-redis.js';
import { EveRedisList } from './eve-redis-list.js';
import { EveRedisStream } from './eve-redis-stream.js';
import { EveTurns } from './eve-turns.js';
import { EveUnix } from './eve-unix.js';

/** Enough to make a round trip to the store cheap, and few enough that alerts are garbage while they are young. */
const ALERTS_PER_BATCH = 32;

export interface EveSourceOptions extends Omit<EveFilesOptions, 'deliver' | 'globs' | 'maxAlertsPerBatch'> {
  /** `suricata.eve`: what `parseEveEntry` reads. */
  readonly globs: readonly string[];
  /**
   * Called with one batch at a time, over all sources. When it rejects, the same
   * batch is given again, ever more slowly, so it must store all of a batch or nothing.
   */
  readonly onBatch: (batch: EveBatch) => Promise<void>;
  readonly maxAlertsPerBatch?: number;
  /** Makes a connection of its own to a Redis; needed for lists and streams. */
  readonly connect?: (url: string) => RedisLink;
  /** This host's name, under which it takes from a list or stream; needed for them. */
  readonly host?: string;
  /** The group, besides root, that may connect to sockets made here; asked each time that one is made. */
  readonly socketGroup?: () => Promise<number | null>;
}

/** Everything that `suricata.eve` names: files, sockets, lists and streams. */
export class EveSource implements Service {
  readonly name = 'eve';
  readonly #turns: EveTurns;
  readonly #files: EveFiles;
  readonly #feeds: readonly EveFeed[];

  constructor(options: EveSourceOptions) {
    const { clock, log, onBatch } = options;
    this.#turns = new EveTurns({ onBatch, clock, complaints: new RateLimitedLog(log) });
    const shared = {
      ...options,
      maxAlertsPerBatch: options.maxAlertsPerBatch ?? ALERTS_PER_BATCH,
      deliver: (batch: EveBatch) => this.#turns.deliver(batch),
    };
    const entries = options.globs.map((text) => {
      const entry = parseEveEntry(text);
      if (entry === null) throw new RangeError(`${text} is no source of eve records`);
      return entry;
    });
    const globs = entries.filter(({ kind }) => kind === 'files').map(({ source }) => source);
    this.#files = new EveFiles({ ...shared, globs });
    this.#feeds = entries.flatMap((entry) => feedOf(entry, shared) ?? []);
  }

  /** Opens every source there is and begins to read; does not wait for the backlog. */
  async start(): Promise<void> {
    this.#turns.start();
    await this.#files.start();
    for (const feed of this.#feeds) feed.start();
  }

  /** Stops reading and waits for the batch under way; one that is being retried is given up, to be read again later. */
  async stop(): Promise<void> {
    this.#turns.stop();
    await Promise.all([this.#files.stop(), ...this.#feeds.map((feed) => feed.stop())]);
  }

  status(): EveSourceStatus {
    const files = this.#files.status();
    const feeds = this.#feeds.map((feed) => ({ ...feed.status(), hint: feed.hint }));
    const paths = [...files.paths, ...feeds.map(({ hint: _, ...status }) => status)];
    const problems = feeds.flatMap(({ source, hint }) => (hint === null ? [] : [{ glob: source, problem: hint }]));
    const spread = paths.filter(({ unusable }) => unusable['pretty_printed'] !== undefined);
    const printed = spread.map(({ source }) => ({
      glob: source,
      problem: `${source} holds records that are spread over several lines, which are not read: write each on one line, as Suricata does and as jq -c does`,
    }));
    return { ...files, paths, problems: [...files.problems, ...problems, ...printed] };
  }
}

type FeedOptions = Omit<EveSourceOptions, 'maxAlertsPerBatch'> & Pick<EveFilesOptions, 'maxAlertsPerBatch' | 'deliver'>;

function feedOf(entry: EveEntry, options: FeedOptions): EveFeed | null {
  const { source, kind } = entry;
  if (kind === 'files') return null;
  if (kind === 'socket') return new EveUnix({ ...options, source, path: entry.path });
  const { connect, host, clock } = options;
  if (connect === undefined || host === undefined) throw new RangeError(`${source} needs a connection and a host name`);
  const open = () => {
    const link = connect(entry.url);
    const Queue = kind === 'list' ? EveRedisList : EveRedisStream;
    return { link, queue: new Queue(link, entry.key, host, clock) };
  };
  return new EveRedis({ ...options, source, open });
}
