import { DistinctLists, type ValueSink } from './distinct-lists.js';
import type { SourceRecords } from './source-records.js';

/** Each value that a source has touched keeps its record so much longer, up to `HEAVIEST` values. */
const WEIGHT_MS = 2000;
const HEAVIEST = 30;

export interface TouchOptions {
  /** Lists in the pool. */
  readonly lists: number;
  /** The largest limit that is asked about. */
  readonly most: number;
  readonly shortMs: number;
  readonly longMs: number;
}

/**
 * Which different values (ports, hosts) each source of one table touched lately.
 * A source that touched one value needs no list, so that a flood of forged
 * sources uses none up.
 */
export class Touches {
  /** Set by `add`, see `DistinctLists`. */
  short = 0;
  long = 0;
  oldestShort = 0;
  oldestLong = 0;
  readonly #records: SourceRecords;
  readonly #which: 0 | 1;
  readonly #lists: DistinctLists;
  readonly #longMs: number;
  readonly #lose: (slot: number) => void;

  /** @param which of the two lists that a record may own */
  constructor(records: SourceRecords, which: 0 | 1, options: TouchOptions) {
    this.#records = records;
    this.#which = which;
    this.#lists = new DistinctLists(options);
    this.#longMs = options.longMs;
    this.#lose = (slot) => records.setList(slot, which, 0);
  }

  /** A record that changes hands gives its list back. */
  taken(slot: number): void {
    const list = this.#records.list(slot, this.#which);
    if (list !== 0) this.#lists.release(list - 1);
  }

  add(slot: number, value: number, now: number): void {
    const records = this.#records;
    const which = this.#which;
    const list = records.list(slot, which);
    if (list !== 0) {
      this.#count(slot, list - 1, value, now);
      return;
    }
    const isAlone =
      !records.hasFirst(slot, which) ||
      records.first(slot, which) === value ||
      (now - records.firstAt(slot, which)) >>> 0 >= this.#longMs;
    if (isAlone) {
      records.setFirst(slot, which, value, now);
      this.short = 1;
      this.long = 1;
      this.oldestShort = 0;
      this.oldestLong = 0;
      return;
    }
    const taken = this.#lists.take(slot, this.#lose);
    this.#lists.add(taken, records.first(slot, which), records.firstAt(slot, which));
    records.forgetFirst(slot, which);
    records.setList(slot, which, taken + 1);
    this.#count(slot, taken, value, now);
  }

  #count(slot: number, list: number, value: number, now: number): void {
    const lists = this.#lists;
    lists.add(list, value, now);
    this.short = lists.short;
    this.long = lists.long;
    this.oldestShort = lists.oldestShort;
    this.oldestLong = lists.oldestLong;
    this.#records.weigh(slot, Math.min(lists.held, HEAVIEST) * WEIGHT_MS);
  }

  /** Forgets a value; false when it was not there. */
  remove(slot: number, value: number): boolean {
    const list = this.#records.list(slot, this.#which);
    if (list !== 0) return this.#lists.remove(list - 1, value);
    if (!this.#records.hasFirst(slot, this.#which) || this.#records.first(slot, this.#which) !== value) return false;
    this.#records.forgetFirst(slot, this.#which);
    return true;
  }

  /** Tells of each value that is remembered of a source. */
  each(slot: number, sink: ValueSink): void {
    const records = this.#records;
    const list = records.list(slot, this.#which);
    if (list !== 0) this.#lists.each(list - 1, sink);
    else if (records.hasFirst(slot, this.#which)) {
      sink.put(records.first(slot, this.#which), records.firstAt(slot, this.#which));
    }
  }

  clear(slot: number): void {
    const list = this.#records.list(slot, this.#which);
    if (list !== 0) this.#lists.clear(list - 1);
    this.#records.forgetFirst(slot, this.#which);
  }
}
