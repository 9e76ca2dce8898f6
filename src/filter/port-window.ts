/**
 * Decides per slot whether more than `most` distinct ports were touched within a
 * window, exactly, in fixed memory: the `most + 1` ports touched last are kept
 * with the time of their last touch, and more than `most` were touched within the
 * window if and only if that list is full and its oldest is within the window.
 */
export class PortWindows {
  readonly #most: number;
  readonly #stride: number;
  readonly #windowMs: number;
  readonly #ports: Uint16Array;
  readonly #times: Float64Array;
  readonly #used: Uint16Array;

  /** @param most 1 to 65534 */
  constructor(slots: number, most: number, windowMs: number) {
    this.#most = most;
    this.#stride = most + 1;
    this.#windowMs = windowMs;
    this.#ports = new Uint16Array(slots * this.#stride);
    this.#times = new Float64Array(slots * this.#stride);
    this.#used = new Uint16Array(slots);
  }

  reset(slot: number): void {
    this.#used[slot] = 0;
  }

  /** Notes a port and gives how many distinct ones lie within the window, at most `most + 1`. */
  add(slot: number, now: number, port: number): number {
    const from = slot * this.#stride;
    const used = this.#used[slot] as number;
    const expired = now - this.#windowMs;
    let found = -1;
    let oldest = from;
    let live = 0;
    for (let i = from; i < from + used; i++) {
      const time = this.#times[i] as number;
      if (this.#ports[i] === port) found = i;
      else if (time > expired) live += 1;
      if (time < (this.#times[oldest] as number)) oldest = i;
    }
    let at = found;
    if (at < 0 && used <= this.#most) {
      at = from + used;
      this.#used[slot] = used + 1;
    } else if (at < 0) {
      at = oldest;
      // The one replaced was counted above if it was within the window.
      if ((this.#times[at] as number) > expired) live -= 1;
    }
    this.#ports[at] = port;
    this.#times[at] = now;
    return live + 1;
  }
}
