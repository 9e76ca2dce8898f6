import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { RateLimitedLog } from '../base/log.js';
import type { EveBatch } from './eve-alert.js';

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;

export interface EveTurnsOptions {
  /** Takes one batch at a time. When it rejects, the same batch is given again, so it must store all of a batch or nothing. */
  readonly onBatch: (batch: EveBatch) => Promise<void>;
  readonly clock: Clock;
  readonly complaints: RateLimitedLog;
}

/** Where the batches of all sources become one sequence: each is handed on when those before it are done. */
export class EveTurns {
  readonly #o: EveTurnsOptions;
  /** Batches wait here for their turn. */
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;
  #stopping = false;
  #wakeRetry: (() => void) | null = null;

  constructor(options: EveTurnsOptions) {
    this.#o = options;
  }

  start(): void {
    this.#stopping = false;
  }

  /** From now on a batch that is not accepted is given up, to be read again later. */
  stop(): void {
    this.#stopping = true;
    this.#wakeRetry?.();
  }

  /**
   * Hands a batch on when its turn comes, again and again until it is accepted.
   * Rejects only when stopping.
   */
  deliver(batch: EveBatch): Promise<void> {
    const free = this.#waiting === 0;
    this.#waiting += 1;
    const handing = (free ? this.#hand(batch) : this.#turn.then(() => this.#hand(batch))).finally(() => {
      this.#waiting -= 1;
    });
    this.#turn = handing.catch(() => undefined);
    return handing;
  }

  async #hand(batch: EveBatch): Promise<void> {
    for (let wait = FIRST_RETRY_MS; ; wait = Math.min(LONGEST_RETRY_MS, wait * 2)) {
      try {
        await this.#o.onBatch(batch);
        return;
      } catch (error) {
        if (this.#stopping) throw error;
        this.#o.complaints.warn(
          'batch',
          { source: batch.source },
          `${batch.alerts.length} alerts could not be handled and wait in ${batch.source}: ${messageOf(error)}`,
        );
      }
      await new Promise<void>((resolve) => {
        const cancel = this.#o.clock.after(wait, resolve);
        this.#wakeRetry = () => {
          cancel();
          resolve();
        };
      });
      this.#wakeRetry = null;
      if (this.#stopping) throw new Error('stopped');
    }
  }
}
