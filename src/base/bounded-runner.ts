import type { Clock } from './clock.js';

/**
 * Runs one asynchronous task with a bounded frequency: at most once every
 * `atLeast` milliseconds however often it is woken, at least once every
 * `atMost()` milliseconds however quiet it is, and never twice at once. This is
 * the only timer loop in the program.
 *
 * The interval counts from the end of a run, so that a slow task cannot fill
 * all time. `atMost` is a function because the right period may follow the
 * measured cost of the task.
 */
export class BoundedRunner {
  readonly #task: () => Promise<void>;
  readonly #clock: Clock;
  readonly #atLeast: number;
  readonly #atMost: () => number;
  readonly #onError: (error: unknown) => void;
  #cancel: (() => void) | null = null;
  #running: Promise<void> | null = null;
  #woken = false;
  #stopped = true;
  #lastEnd = Number.NEGATIVE_INFINITY;

  constructor(options: {
    task: () => Promise<void>;
    clock: Clock;
    atLeast: number;
    atMost: () => number;
    onError: (error: unknown) => void;
  }) {
    this.#task = options.task;
    this.#clock = options.clock;
    this.#atLeast = options.atLeast;
    this.#atMost = options.atMost;
    this.#onError = options.onError;
  }

  /** Begins to run; the first run starts at once. */
  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.wake();
  }

  /** Asks for a run as soon as the lower bound allows. Cheap, and safe to call from anywhere. */
  wake(): void {
    if (this.#stopped || this.#woken) return;
    this.#woken = true;
    if (this.#running === null) this.#schedule();
  }

  /** Cancels what is planned and waits for a run under way to end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#woken = false;
    this.#cancel?.();
    this.#cancel = null;
    await this.#running;
  }

  #schedule(): void {
    this.#cancel?.();
    this.#cancel = null;
    const since = this.#clock.monotonic() - this.#lastEnd;
    const wait = this.#woken ? this.#atLeast - since : this.#atMost() - since;
    if (wait <= 0) this.#run();
    else this.#cancel = this.#clock.after(wait, () => this.#run());
  }

  #run(): void {
    this.#cancel = null;
    this.#woken = false;
    this.#running = (async () => {
      try {
        await this.#task();
      } catch (error) {
        this.#report(error);
      }
    })().finally(() => {
      this.#running = null;
      this.#lastEnd = this.#clock.monotonic();
      if (!this.#stopped) this.#schedule();
    });
  }

  /** A report that fails in its turn must not end the loop, or the process. */
  #report(error: unknown): void {
    try {
      this.#onError(error);
    } catch {}
  }
}
