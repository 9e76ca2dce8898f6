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

export class RateWindows {
  readonly #width: number;
  /** BUCKETS counts a slot, used as a ring. */
  readonly #counts: Uint32Array;
  readonly #sums: Uint32Array;
  readonly #current: Uint8Array;
  /** Begin of the part under way, milliseconds. */
  readonly #begin: Float64Array;

  constructor(slots: number, windowMs: number) {
    this.#width = windowMs / BUCKETS;
    this.#counts = new Uint32Array(slots * BUCKETS);
    this.#sums = new Uint32Array(slots);
    this.#current = new Uint8Array(slots);
    this.#begin = new Float64Array(slots);
  }

  /** Forgets a slot; its first part begins at `now`. */
  reset(slot: number, now: number): void {
    this.#counts.fill(0, slot * BUCKETS, slot * BUCKETS + BUCKETS);
    this.#sums[slot] = 0;
    this.#current[slot] = 0;
    this.#begin[slot] = now;
  }

  /** Counts one event at `now` (milliseconds that never go back) and gives the events in the window, itself included. */
  add(slot: number, now: number): number {
    const elapsed = now - (this.#begin[slot] as number);
    if (elapsed >= this.#width) this.#advance(slot, now, Math.floor(elapsed / this.#width));
    const at = slot * BUCKETS + (this.#current[slot] as number);
    this.#counts[at] = (this.#counts[at] as number) + 1;
    const sum = (this.#sums[slot] as number) + 1;
    this.#sums[slot] = sum;
    return sum;
  }

  #advance(slot: number, now: number, parts: number): void {
    if (parts >= BUCKETS) {
      this.reset(slot, now);
      return;
    }
    let current = this.#current[slot] as number;
    let sum = this.#sums[slot] as number;
    for (let i = 0; i < parts; i++) {
      current = (current + 1) % BUCKETS;
      sum -= this.#counts[slot * BUCKETS + current] as number;
      this.#counts[slot * BUCKETS + current] = 0;
    }
    this.#current[slot] = current;
    this.#sums[slot] = sum;
    this.#begin[slot] = (this.#begin[slot] as number) + parts * this.#width;
  }
}
