import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';

const LOOK_EVERY = 15_000;
/** Garbage that is not worth a pause, in bytes. */
const TOLERATED = 24 * 1024 * 1024;
/** A larger heap would hold the event loop up for too long (about 1 ms a megabyte that is in use). */
const LARGEST = 160 * 1024 * 1024;
/** Share of the time since the last look that the event loop may have been busy. */
const QUIET = 0.05;

export interface HeapOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes in use, garbage included. */
  readonly used: () => number;
  /** Share of time the event loop was busy since the last call, 0 to 1. */
  readonly busy: () => number;
  readonly collect: () => void;
}

/**
 * Gives memory back after a mass change. V8 collects old garbage when the heap
 * grows, and a daemon with nothing to do does not grow: what a hundred thousand
 * edits left behind would stay resident for hours. So a full collection is
 * asked for, in a quiet moment, when much more is in use than after the last.
 */
export class HeapRest implements Service {
  readonly name = 'heap';
  readonly #o: HeapOptions;
  readonly #runner: BoundedRunner;
  #floor = 0;
  #again = false;

  constructor(options: HeapOptions) {
    this.#o = options;
    this.#runner = new BoundedRunner({
      task: async () => this.#look(),
      clock: options.clock,
      atLeast: LOOK_EVERY,
      atMost: () => LOOK_EVERY,
      onError: (error) => options.log.warn({ err: messageOf(error) }, 'memory could not be given back'),
    });
  }

  async start(): Promise<void> {
    this.#o.busy();
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
  }

  #look(): void {
    const { used, busy, collect } = this.#o;
    const quiet = busy() < QUIET;
    const before = used();
    // V8 collected by itself: what it left is the new floor.
    this.#floor = Math.min(this.#floor, before);
    const due = this.#again || before >= this.#floor + TOLERATED;
    if (!due || !quiet || before > LARGEST) return;
    collect();
    this.#floor = used();
    // The first empties pages, and the system gets them back at the second.
    this.#again = !this.#again;
  }
}

/** The full collection of V8, which it offers to programs only under a flag (`node --v8-options`, expose-gc). */
export function fullCollection(): () => void {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  return typeof gc === 'function' ? () => void gc() : () => {};
}
