/**
 * Decides per slot whether more than `most` distinct ports were touched within a
 * window, exactly, in fixed memory: the `most + 1` ports touched last are kept
 * with the time of their last touch, and more than `most` were touched within the
 * window if and only if that list is full and its oldest is within the window.
 */
export class PortWindows {
  readonly #most: number;
  readonly #windowMs: number;
  /** Per slot the number of ports kept, then the ports. */
  readonly #ports: Uint16Array;
  readonly #times: Float64Array;

  /** @param most 1 to 65534 */
  constructor(slots: number, most: number, windowMs: number) {
    this.#most = most;
    this.#windowMs = windowMs;
    this.#ports = new Uint16Array(slots * (most + 2));
    this.#times = new Float64Array(slots * (most + 1));
  }

  reset(slot: number): void {
    this.#ports[slot * (this.#most + 2)] = 0;
  }

  /** Notes a port and gives how many distinct ones lie within the window, at most `most + 1`. */
  add(slot: number, now: number, port: number): number {
    const ports = this.#ports;
    const times = this.#times;
    const head = slot * (this.#most + 2);
    const from = slot * (this.#most + 1);
    const used = ports[head] as number;
    const expired = now - this.#windowMs;
    let found = -1;
    let oldest = 0;
    let live = 0;
    for (let i = 0; i < used; i++) {
      const time = times[from + i] as number;
      if (ports[head + 1 + i] === port) found = i;
      else if (time > expired) live += 1;
      if (time < (times[from + oldest] as number)) oldest = i;
    }
    let at = found;
    if (at < 0 && used <= this.#most) {
      at = used;
      ports[head] = used + 1;
    } else if (at < 0) {
      at = oldest;
      // The one replaced was counted above if it was within the window.
      if ((times[from + at] as number) > expired) live -= 1;
    }
    ports[head + 1 + at] = port;
    times[from + at] = now;
    return live + 1;
  }
}
