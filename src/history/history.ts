import type { EpochMs } from '../base/clock.js';
import { BarricataError, messageOf } from '../base/errors.js';
import type { Prefix } from '../net/prefix.js';
import { AlertDetails, decodeKeys } from './alert-block.js';
import type { AlertRow, DecisionKind } from './alert-row.js';
import { type ContactRow, decodeContacts } from './contact-block.js';
import { covers, isWithin, matching, mayAnswer, namesOf } from './query.js';
import { BodyFile, type Coverage, framesOf, Reading } from './reading.js';
import { type Frame, HOUR_MS, listSegments, type Segment, type SegmentKind } from './segment.js';

/** kind: `unreadable`. */
export class HistoryError extends BarricataError {
  declare readonly kind: 'unreadable';
}

export interface AlertQuery {
  /** Rows with an alert at or after this. Unset: from the beginning. */
  readonly since?: EpochMs | undefined;
  readonly until?: EpochMs | undefined;
  /** One of the two ends, or whom the decision is about; a network stands for all addresses in it. */
  readonly address?: Prefix | undefined;
  /** Only rows whose decision is about the address. */
  readonly judged?: boolean | undefined;
  readonly sid?: number | undefined;
  /** 1 when left out; counts only with `sid`. */
  readonly gid?: number | undefined;
  readonly decision?: DecisionKind | undefined;
}

export interface AlertAnswer extends Coverage {
  /** Newest first. */
  readonly rows: readonly AlertRow[];
  /** Alerts that the given rows stand for. */
  readonly alerts: number;
  /** Whether there are more rows than were asked for. */
  readonly more: boolean;
}

/** An outside address and an inside host, summed over the hours asked about. */
export interface ContactSum extends Omit<ContactRow, 'hour'> {
  /** Start of the first and end of the last hour in which they spoke. */
  readonly first: EpochMs;
  readonly last: EpochMs;
}

export interface ContactAnswer extends Coverage {
  /** Those with most successful replies first. */
  readonly contacts: readonly ContactSum[];
}

const DEFAULT_LIMIT = 1000;
const COLLECT_AT_ONCE = 5000;

/**
 * Answers questions from the files alone, so that it works beside a running
 * daemon and without one. Nothing is kept between questions; what is in memory
 * at once is one index file and one block.
 */
export class History {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * The newest rows that match, at most `limit`.
   * @throws HistoryError `unreadable`
   */
  async alerts({ limit = DEFAULT_LIMIT, ...query }: AlertQuery & { readonly limit?: number }): Promise<AlertAnswer> {
    const reading = new Reading();
    const found: AlertRow[] = [];
    // Blocks stand in the order of writing, which is that of the events but for backlogs and clocks that were set.
    for await (const rows of this.#blocks(query, 'newest', reading, () => limit + 1 - found.length)) {
      found.push(...rows);
    }
    const rows = found.slice(0, limit).sort((a, b) => b.last - a.last);
    const alerts = rows.reduce((sum, { count }) => sum + count, 0);
    return { rows, alerts, more: found.length > limit, ...reading.coverage() };
  }

  /**
   * Every row that matches, oldest first, a block at a time, for whoever goes over a whole day.
   * @returns how far it can be relied on
   * @throws HistoryError `unreadable`
   */
  async *everyAlert(query: AlertQuery): AsyncGenerator<readonly AlertRow[], Coverage> {
    const reading = new Reading();
    yield* this.#blocks(query, 'oldest', reading, () => COLLECT_AT_ONCE);
    return reading.coverage();
  }

  /** Inside hosts that spoke to an address, or to any address of a network. @throws HistoryError `unreadable` */
  async contacts(query: Pick<AlertQuery, 'since' | 'until'> & { readonly address: Prefix }): Promise<ContactAnswer> {
    const reading = new Reading();
    const sums = new Map<string, ContactSum>();
    const names = namesOf(query.address);
    const may = mayAnswer(query);
    for (const { segment, frames } of this.#segments('contacts', query, 'oldest', reading)) {
      const file = new BodyFile(segment.path, reading);
      try {
        for (const frame of frames) {
          if (!covers(frame, query) || !may(frame)) continue;
          await reading.breathe();
          for (const row of file.rows(frame, (part) => decodeContacts(part(0)))) {
            if (isWithin(row, query) && names(row.outside)) addUp(sums, row);
          }
        }
      } finally {
        file.close();
      }
    }
    const contacts = [...sums.values()].sort((a, b) => b.replies - a.replies || b.bytes - a.bytes);
    return { contacts, ...reading.coverage() };
  }

  /** Rows that match, block by block. @param room how many more are wanted; at 0 only what coverage needs is read */
  async *#blocks(
    query: AlertQuery,
    order: 'newest' | 'oldest',
    reading: Reading,
    room: () => number,
  ): AsyncGenerator<AlertRow[], void> {
    const may = mayAnswer(query);
    for (const { segment, frames } of this.#segments('alerts', query, order, reading)) {
      const chosen = frames.filter((frame) => covers(frame, query) && may(frame));
      if (order === 'newest') chosen.reverse();
      const file = new BodyFile(segment.path, reading);
      try {
        for (const frame of chosen) {
          if (room() <= 0) break;
          await reading.breathe();
          const rows = file.rows(frame, (part) => {
            const keys = decodeKeys(part(0));
            const places = matching(keys, query);
            if (order === 'newest') places.reverse();
            if (places.length === 0) return [];
            const details = new AlertDetails(part);
            return places.slice(0, room()).map((place) => details.row(keys, place));
          });
          if (rows.length > 0) yield rows;
        }
      } finally {
        file.close();
      }
    }
  }

  /** Segments that may hold rows of the time asked about, with the frames of their index files. */
  *#segments(
    kind: SegmentKind,
    { since = 0 }: Pick<AlertQuery, 'since'>,
    order: 'newest' | 'oldest',
    reading: Reading,
  ): Generator<{ readonly segment: Segment; readonly frames: readonly Frame[] }> {
    let segments: Segment[];
    try {
      segments = listSegments(this.#directory, kind);
    } catch (error) {
      const message = `${this.#directory} cannot be read (${messageOf(error)}): run as root`;
      throw new HistoryError('read history', 'unreadable', message, error);
    }
    // The oldest says from when history is complete, whatever is asked.
    const oldest = segments[0];
    if (order === 'newest') segments.reverse();
    for (const segment of segments) {
      if (segment.hour + HOUR_MS <= since && segment !== oldest) continue;
      const frames = framesOf(segment, reading);
      reading.sawFrames(frames);
      yield { segment, frames };
    }
  }
}

function addUp(sums: Map<string, ContactSum>, row: ContactRow): void {
  const { hour, ...rest } = row;
  const key = `${row.outside} ${row.inside} ${row.port} ${row.opened}`;
  const known = sums.get(key);
  sums.set(key, {
    ...rest,
    first: Math.min(known?.first ?? hour, hour),
    last: Math.max(known?.last ?? 0, hour + HOUR_MS),
    flows: (known?.flows ?? 0) + row.flows,
    bytes: (known?.bytes ?? 0) + row.bytes,
    replies: (known?.replies ?? 0) + row.replies,
  });
}
