import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import type { RunMode } from '../blocklist/mode.js';
import type { PacketQueue, QueueHealth } from '../filter/packet-queue.js';
import type { Kernel } from './kernel.js';

/** A queue that could not be bound is tried again this often, ms. */
const RETRY = 5000;
/** The mode that is not known yet is looked at this often, ms. */
const LOOK = 50;

/**
 * Runs the packet filter as the mode says: `enforce` drops, `observe` and
 * `pause` judge and accept, `off` queues nothing. A queue that cannot be bound
 * stops nothing else; it is tried again and `status` says why.
 */
export class FilterPath implements Service {
  readonly name = 'packet filter';
  readonly #queue: PacketQueue;
  readonly #kernel: Kernel;
  readonly #modeKnown: () => boolean;
  readonly #log: Log;
  readonly #runner: BoundedRunner;
  #mode: RunMode | null = null;
  #running = false;
  #outdated = false;
  #mayBeOpen = true;
  #problem: string | null = null;

  /** @param options.modeKnown whether the mode is the one that people set, and not only what the file says */
  constructor(options: {
    queue: PacketQueue;
    kernel: Kernel;
    modeKnown: () => boolean;
    clock: Clock;
    log: Log;
  }) {
    this.#queue = options.queue;
    this.#kernel = options.kernel;
    this.#modeKnown = options.modeKnown;
    this.#log = options.log;
    this.#runner = new BoundedRunner({
      task: () => this.#settle(),
      clock: options.clock,
      atLeast: 0,
      atMost: () => (this.#modeKnown() ? RETRY : LOOK),
      onError: (error) => {
        const problem = messageOf(error);
        if (problem !== this.#problem)
          options.log.error({ err: problem }, 'the packet filter does not run; trying again');
        this.#problem = problem;
      },
    });
  }

  async start(): Promise<void> {
    this.#mode ??= 'enforce';
    if (this.#kernel.noFilter === null) this.#runner.start();
    else this.#problem = this.#kernel.noFilter;
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
    this.#kernel.closeQueue();
    if (!this.#running) return;
    this.#running = false;
    await this.#queue.stop();
  }

  follow(mode: RunMode): void {
    this.#mode = mode;
    this.#runner.wake();
  }

  /** The thresholds are others: the workers begin anew with them, and first packets pass unjudged meanwhile. */
  reconfigured(): void {
    this.#outdated = true;
    this.#runner.wake();
  }

  health(): QueueHealth {
    const health = this.#queue.health();
    return this.#running
      ? health
      : {
          ...health,
          bound: false,
          problem: this.#problem ?? (this.#mode === 'off' ? 'mode off: nothing is filtered' : health.problem),
        };
  }

  /** Whether it is as it should be: bound, or switched off by the mode. */
  get settled(): boolean {
    return this.#mode === 'off' ? !this.#running : this.#running && this.#queue.health().bound;
  }

  async #settle(): Promise<void> {
    if (!this.#modeKnown()) {
      this.#problem = 'waiting for Redis to say which mode is set';
      return;
    }
    const wanted = this.#mode !== 'off';
    const dropping = this.#mode === 'enforce';
    this.#queue.setDropping(dropping);
    if (!dropping) this.#kernel.endLimits();
    if (this.#running && (!wanted || this.#outdated)) {
      this.#outdated = false;
      this.#kernel.closeQueue();
      this.#running = false;
      await this.#queue.stop();
    }
    // A daemon that was killed may have left it open, for good with when_overloaded: drop.
    if (!wanted && this.#mayBeOpen) this.#kernel.closeQueue();
    this.#mayBeOpen = wanted;
    if (wanted && !this.#running) {
      this.#outdated = false;
      await this.#queue.start();
      this.#running = true;
      this.#log.info('the packet filter runs');
    }
    this.#problem = null;
  }
}
