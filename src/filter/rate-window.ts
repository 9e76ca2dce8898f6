/**
 * Counts events per slot over a sliding window of `windowMs`, in flat arrays.
 *
 * The window is cut into `BUCKETS` parts. The count given is that of the part
 * under way and the seven before it, a span of time that is never longer than
 * the window. So the count never exceeds the true number of events in some
 * window of that length, and a threshold is never reported before it is passed.
 *
 * How much it may miss: nothing for the first window after a slot was quiet,
 * because the parts begin at the first event; nothing at a steady rate, because
 * just before a part ends the span is the whole window; at worst, for bursts that
 * lie exactly one window apart, the lesser of the two bursts. More than twice the
 * threshold in any window is therefore always seen.
 */
const BUCKETS = 8;
/** One record is one cache line: the counts of the parts as a ring, their sum, the part under way, and when it began. */
const WORDS = 16;
const FLOATS = 8;
const SUM = 8;
const CURRENT = 9;
const BEGIN = 5;

export class RateWindows {
  readonly #width: number;
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;

  constructor(slots: number, windowMs: number) {
    this.#width = windowMs / BUCKETS;
    this.#words = new Uint32Array(slots * WORDS);
    this.#floats = new Float64Array(this.#words.buffer);
  }

  /** Forgets a slot; its first part begins at `now`. */
  reset(slot: number, now: number): void {
    const at = slot * WORDS;
    for (let i = at; i <= at + CURRENT; i++) this.#words[i] = 0;
    this.#floats[slot * FLOATS + BEGIN] = now;
  }

  /** Counts one event at `now` (milliseconds that never go back) and gives the events in the window, itself included. */
  add(slot: number, now: number): number {
    const elapsed = now - (this.#floats[slot * FLOATS + BEGIN] as number);
    if (elapsed >= this.#width) this.#advance(slot, now, Math.floor(elapsed / this.#width));
    const words = this.#words;
    const at = slot * WORDS;
    const part = at + (words[at + CURRENT] as number);
    words[part] = (words[part] as number) + 1;
    const sum = (words[at + SUM] as number) + 1;
    words[at + SUM] = sum;
    return sum;
  }

  #advance(slot: number, now: number, parts: number): void {
    if (parts >= BUCKETS) {
      this.reset(slot, now);
      return;
    }
    const words = this.#words;
    const at = slot * WORDS;
    let current = words[at + CURRENT] as number;
    let sum = words[at + SUM] as number;
    for (let i = 0; i < parts; i++) {
      current = (current + 1) % BUCKETS;
      sum -= words[at + current] as number;
      words[at + current] = 0;
    }
    words[at + CURRENT] = current;
    words[at + SUM] = sum;
    const begin = slot * FLOATS + BEGIN;
    this.#floats[begin] = (this.#floats[begin] as number) + parts * this.#width;
  }
}
