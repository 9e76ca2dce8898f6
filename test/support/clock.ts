import type { Clock, EpochMs } from '../../src/base/clock.js';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Time that stands still until a test moves it. Wall clock and monotonic time move together unless `setWall` is used. */
export class FakeClock implements Clock {
  #monotonic = 1000;
  #wall: EpochMs;
  #order = 0;
  readonly #timers = new Set<Timer>();

  constructor(wall: EpochMs = Date.UTC(2026, 10, 23, 16, 51, 7)) {
    this.#wall = wall;
  }

  now(): EpochMs {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  after(ms: number, run: () => void): () => void {
    this.#order += 1;
    const timer = { at: this.#monotonic + Math.max(0, ms), order: this.#order, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that are planned. */
  get pending(): number {
    return this.#timers.size;
  }

  /** An administrator sets the clock. */
  setWall(wall: EpochMs): void {
    this.#wall = wall;
  }

  /** Moves time on, running what is due in order, and lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (due === undefined) break;
      this.#move(due.at);
      this.#timers.delete(due);
      due.run();
      await settle();
    }
    this.#move(end);
  }

  #move(to: number): void {
    this.#wall += to - this.#monotonic;
    this.#monotonic = to;
  }
}

/** Lets every promise that can settle without time passing do so. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
