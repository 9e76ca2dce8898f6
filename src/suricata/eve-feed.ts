import type { EveAlert, EveBatch } from './eve-alert.js';
import { EveReader, type OtherRecord } from './eve-reader.js';
import type { EvePathStatus } from './eve-tailer.js';

/** A source other than a file: a socket, a list or stream of a Redis. Its batches carry no position. */
export interface EveFeed {
  start(): void;
  /** Stops reading and waits for the batch under way. */
  stop(): Promise<void>;
  status(): EvePathStatus;
  /** What a person should know about a feed that is open; `null` when nothing. */
  readonly hint: string | null;
}

export interface EveLinesOptions {
  /** The feed's name, without a password. */
  readonly source: string;
  /** Bytes; longer lines are passed over and counted. */
  readonly longestLine: number;
  readonly maxAlertsPerBatch: number;
  /** Told of records that are no alerts; must not throw. */
  readonly onOther?: OtherRecord | undefined;
  /** Takes one batch; nothing more of the feed is read until it resolves. Rejects only when stopping. */
  readonly deliver: (batch: EveBatch) => Promise<void>;
}

/** Reads lines of a feed and hands on their alerts: the same reading and the same counts as of files. */
export class EveLines {
  readonly #o: EveLinesOptions;
  readonly reader: EveReader;

  constructor(options: EveLinesOptions) {
    this.#o = options;
    this.reader = new EveReader(options.longestLine, { onOther: options.onOther });
  }

  /**
   * Reads the complete lines in `buffer[from, to)`; the byte before `to` is a
   * newline. Resolves when the effects of all of them are stored.
   */
  async read(buffer: Buffer, from = 0, to = buffer.length): Promise<void> {
    for (let at = from; at < to; ) {
      const alerts: EveAlert[] = [];
      const before = this.reader.lines;
      at = this.reader.read(buffer, at, to, alerts, this.#o.maxAlertsPerBatch);
      if (alerts.length === 0) continue;
      const lines = this.reader.lines - before;
      await this.#o.deliver({ source: this.#o.source, alerts, lines, position: null });
    }
  }

  /** The parts of a status that every feed has. */
  counts(): Pick<EvePathStatus, 'source' | 'lines' | 'alerts' | 'old' | 'unusable'> {
    const { lines, alerts, unusable } = this.reader;
    return { source: this.#o.source, lines, alerts, old: 0, unusable: unusable.toJSON() };
  }
}
