import { Counters } from '../base/counters.js';
import { type EveAlert, parseAlert, type UnusableCause } from './eve-alert.js';

const KEY = Buffer.from('"event_type"');
const QUOTE = 34;
const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;

/** `"event_type":"alert"` from the second byte on; the value begins at 14. */
const COMPACT = [...Buffer.from('"event_type":"alert"')];
const VALUE_AT = 14;
/** How many places of the key are remembered: it moves with the number of digits of flow_id. */
const PLACES = 4;

function isBlank(byte: number | undefined): boolean {
  return byte === 32 || byte === 9;
}

/** A record that is no alert: the line is `buffer[start, end)`, and the value of its `event_type` begins at `value`. */
export type OtherRecord = (buffer: Buffer, start: number, value: number, end: number) => void;

export interface EveReaderOptions {
  readonly parse?: (record: unknown) => EveAlert | UnusableCause;
  readonly onOther?: OtherRecord | undefined;
}

/**
 * Finds the lines that carry an alert and reads only those.
 *
 * Suricata writes `event_type` into the header of each record, before anything
 * an attacker can influence, and at one of very few distances from the
 * beginning of the line; so one or two bytes decide most lines. A line where
 * the key is at no known distance is searched, with any spacing, since
 * programs that write eve records again put spaces after colons. The bytes of
 * the key cannot occur inside a JSON string, where quotes are escaped, but a
 * nested object may have such a key: after parsing, the top-level field counts.
 *
 * Every line that is not a JSON object on one line is counted by cause; none is fatal.
 */
export class EveReader {
  readonly #longestLine: number;
  readonly #parse: (record: unknown) => EveAlert | UnusableCause;
  readonly unusable = new Counters<UnusableCause>();
  /** Lines and usable alerts so far. */
  lines = 0;
  alerts = 0;
  /** Alerts left out because they were older than the limit of a file read for the first time. */
  old = 0;
  /** Distances from the line's beginning at which the key was found, latest first. */
  readonly #places: number[] = new Array<number>(PLACES).fill(-1);

  readonly #onOther: OtherRecord | undefined;

  /**
   * @param longestLine bytes; longer lines are passed over and counted
   * @param parse reads a record whose text says that it is an alert
   * @param onOther told of every record of another type
   */
  constructor(longestLine: number, { parse = parseAlert, onOther }: EveReaderOptions = {}) {
    this.#longestLine = longestLine;
    this.#parse = parse;
    this.#onOther = onOther;
  }

  /**
   * Reads the complete lines in `buffer[from, to)`; the byte before `to` is a newline.
   * Stops early once `into` holds `most` alerts.
   *
   * @returns the index after the last line read
   */
  read(buffer: Buffer, from: number, to: number, into: EveAlert[], most: number): number {
    let start = from;
    let nextKey = -1;
    while (start < to && into.length < most) {
      let end = buffer.indexOf(NEWLINE, start);
      if (end < 0 || end >= to) end = to - 1;
      const next = end + 1;
      this.lines += 1;
      if (buffer[end - 1] === CARRIAGE_RETURN && end > start) end -= 1;
      if (end - start > this.#longestLine) this.unusable.add('too_long');
      else if (buffer[start] !== OPEN_BRACE || buffer[end - 1] !== CLOSE_BRACE) this.#odd(buffer, start, end, into);
      else if (!this.#settledByPlace(buffer, start, end, into)) {
        if (nextKey < start) {
          nextKey = buffer.indexOf(KEY, start);
          if (nextKey < 0) nextKey = to;
        }
        if (nextKey < end) this.#search(buffer, start, nextKey, end, into);
      }
      start = next;
    }
    return start;
  }

  /** Counts a line that was passed over unread because it is longer than the longest. */
  passedOver(): void {
    this.lines += 1;
    this.unusable.add('too_long');
  }

  /** Looks where the key was before. True when that decides the line (and the alert was taken, if it is one). */
  #settledByPlace(buffer: Buffer, start: number, end: number, into: EveAlert[]): boolean {
    const places = this.#places;
    for (let i = 0; i < PLACES; i++) {
      const place = places[i] as number;
      if (place < 0) return false;
      const key = start + place;
      if (buffer[key] !== QUOTE || buffer[key + 6] !== 95 || buffer[key + 13] !== QUOTE) continue;
      if (key + COMPACT.length >= end) continue;
      let same = 1;
      while (same < VALUE_AT && buffer[key + same] === COMPACT[same]) same += 1;
      if (same < VALUE_AT) continue;
      while (same < COMPACT.length && buffer[key + same] === COMPACT[same]) same += 1;
      if (same === COMPACT.length) this.#take(buffer, start, end, into);
      else this.#onOther?.(buffer, start, key + VALUE_AT, end);
      return true;
    }
    return false;
  }

  /** Looks at each `"event_type"` of the line, from the one at `key` on, with any spacing around the colon. */
  #search(buffer: Buffer, start: number, key: number, end: number, into: EveAlert[]): void {
    for (let at = key; at >= 0 && at < end; ) {
      let i = at + KEY.length;
      while (isBlank(buffer[i])) i += 1;
      if (buffer[i] === 58) {
        i += 1;
        while (isBlank(buffer[i])) i += 1;
        const compact = i === at + VALUE_AT - 1;
        if (compact && at === key) this.#remember(at - start);
        let same = 0;
        while (same < 7 && buffer[i + same] === COMPACT[VALUE_AT - 1 + same]) same += 1;
        if (same === 7) {
          this.#take(buffer, start, end, into);
          return;
        }
        if (at === key) this.#onOther?.(buffer, start, i + 1, end);
      }
      const rest = buffer.subarray(at + KEY.length, end).indexOf(KEY);
      at = rest < 0 ? -1 : at + KEY.length + rest;
    }
  }

  #remember(place: number): void {
    // Far from the beginning it is not Suricata's header, and the first such key need not be the record's own.
    if (place > 160) return;
    this.#places.pop();
    this.#places.unshift(place);
  }

  /** A line that does not begin with a brace and end with one. */
  #odd(buffer: Buffer, start: number, end: number, into: EveAlert[]): void {
    let from = start;
    let to = end;
    // A byte order mark, as programs on other systems put at the beginning of a file.
    if (buffer[from] === 0xef && buffer[from + 1] === 0xbb && buffer[from + 2] === 0xbf) from += 3;
    while (from < to && isBlank(buffer[from])) from += 1;
    while (to > from && (isBlank(buffer[to - 1]) || buffer[to - 1] === CARRIAGE_RETURN)) to -= 1;
    if (from === to) return;
    if (buffer[from] === OPEN_BRACE) {
      // A brace alone begins a record that is written over several lines.
      if (to - from === 1) this.unusable.add('pretty_printed');
      else if (buffer[to - 1] !== CLOSE_BRACE) this.unusable.add('truncated');
      else {
        const key = buffer.subarray(from, to).indexOf(KEY);
        if (key >= 0) this.#search(buffer, from, from + key, to, into);
      }
      return;
    }
    // Longer scalars and arrays are not worth parsing only to name the cause.
    this.unusable.add(to - from < 65_536 && isJson(buffer.toString('utf8', from, to)) ? 'not_an_object' : 'not_json');
  }

  #take(buffer: Buffer, start: number, end: number, into: EveAlert[]): void {
    let record: unknown;
    try {
      record = JSON.parse(buffer.toString('utf8', start, end));
    } catch {
      this.unusable.add('not_json');
      return;
    }
    const alert = this.#parse(record);
    if (typeof alert === 'string') this.unusable.add(alert);
    else {
      this.alerts += 1;
      into.push(alert);
    }
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
