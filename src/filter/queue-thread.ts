import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { FilterConfig } from '../config/config.js';
import type { Prefix } from '../net/prefix.js';
import { NetlinkError, type NetlinkErrorKind } from '../netlink/errors.js';
import { QUEUE_DEFAULTS } from '../netlink/nfqueue.js';
import type { QueueStatus } from '../netlink/nfqueue-status.js';
import type { Detection, Flood } from './detection.js';
import type { KnownGoodMemory } from './known-good.js';
import type { ProfileReport } from './learn/report.js';
import { ThreadLearning } from './learn/switch.js';
import { closeShared } from './queue-loop.js';
import type { SharedCountsMemory } from './shared-counts.js';
import {
  CONTROL,
  newQueueState,
  type ProgressBoard,
  type QueueState,
  type WorkerInput,
  type WorkerMessage,
} from './shared-state.js';

export interface PacketQueueOptions {
  /** Queue numbers, one worker thread each. */
  readonly numbers: readonly number[];
  readonly filter: FilterConfig;
  /** Networks whose hosts neither scan nor sweep. */
  readonly home: readonly Prefix[];
  /** Where completed connections are noted. */
  readonly knownGood: KnownGoodMemory;
  /** One number in shared memory: from when on (CLOCK_MONOTONIC, ms) stray ACKs count. */
  readonly settledAt: Float64Array;
  /** One number in shared memory: 1 while marked packets are refused with an answer; else they are dropped. */
  readonly rejects: Float64Array;
  readonly whenOverloaded: 'accept' | 'drop';
  /** Whether verdicts may drop from the start; false observes: all is accepted, detections are reported. */
  readonly dropping: boolean;
  /** Refresh the alive sets from the workers. False where the queue rules do not depend on them. */
  readonly keepAlive: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly onDetection: (detection: Detection) => void;
  readonly onFlood: (flood: Flood) => void;
  /** A worker ended, whatever for: what it alone knew is gone. */
  readonly onEnd?: () => void;
  /** Another worker entry; by default the compiled `queue-worker.js` of this program. */
  readonly workerUrl?: URL;
  /** Packets a queue may hold; `QUEUE_DEFAULTS.backlog` when left out. */
  readonly backlog?: number;
}

const RESTART_AFTER_MS = 100;
const RESTART_AT_MOST_MS = 10_000;
const STOP_WITHIN_MS = 3000;
/** A bound worker without progress for this long is terminated and started anew. */
const HANGS_AFTER_MS = 5000;

interface Kernel {
  readonly bound: boolean;
  readonly queueDropped: number;
  readonly userDropped: number;
  readonly waiting: number;
}

/**
 * One queue and its worker thread, through restarts. A worker that ends or hangs
 * has its queue closed here, so that the rules' bypass lets packets pass at once,
 * and is started again after 0.1 s, then twice as long each time, up to 10 s.
 */
export class QueueThread {
  readonly number: number;
  restarts = 0;
  problem: string | null = null;
  readonly #index: number;
  readonly #options: PacketQueueOptions;
  readonly #board: ProgressBoard;
  readonly #sharedCounts: SharedCountsMemory | null;
  readonly #state: QueueState = newQueueState();
  readonly #learning = new ThreadLearning(this.#state.control);
  /** Counts of workers that ended. */
  readonly #past = new Float64Array(this.#state.counters.length);
  /** The kernel counts anew for each binding: what earlier ones had, and what was last read. */
  #pastDrops = { queue: 0, user: 0 };
  #lastDrops = { queue: 0, user: 0 };
  #worker: Worker | null = null;
  #ended: Promise<void> = Promise.resolve();
  #cancelRestart: (() => void) | null = null;
  #failures = 0;
  #starting = false;
  #stopping = false;
  #boundSince = 0;

  constructor(
    number: number,
    index: number,
    options: PacketQueueOptions,
    board: ProgressBoard,
    sharedCounts: SharedCountsMemory | null,
  ) {
    this.number = number;
    this.#index = index;
    this.#options = options;
    this.#board = board;
    this.#sharedCounts = sharedCounts;
  }

  setDropping(dropping: boolean): void {
    Atomics.store(this.#state.control, CONTROL.DROPPING, dropping ? 1 : 0);
  }

  /** Resolves when the queue is bound, rejects with the reason when it cannot be. */
  async start(dropping: boolean): Promise<void> {
    this.#stopping = false;
    this.#starting = true;
    this.#failures = 0;
    this.setDropping(dropping);
    try {
      await this.#launch();
    } finally {
      this.#starting = false;
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#cancelRestart?.();
    this.#cancelRestart = null;
    const worker = this.#worker;
    if (worker === null) return;
    Atomics.store(this.#state.control, CONTROL.STOP, 1);
    const cancel = this.#options.clock.after(STOP_WITHIN_MS, () => {
      void worker.terminate();
    });
    await this.#ended;
    cancel();
  }

  /** Ends a worker that is bound and makes no progress; its end starts the next. */
  endIfHanging(): void {
    const last = this.#board[this.#index] as number;
    const now = Number(process.hrtime.bigint() / 1_000_000n);
    if (this.#worker === null || last === 0 || now - last < HANGS_AFTER_MS) return;
    this.#options.log.error({ queue: this.number }, 'the packet worker hangs: it is ended and started again');
    void this.#worker.terminate();
  }

  learn(on: boolean): void {
    this.#learning.set(on);
  }

  profiles(): Promise<ProfileReport[]> {
    return this.#learning.reports(this.#worker !== null && this.#boundSince > 0);
  }

  count(counter: number): number {
    return (this.#past[counter] as number) + (this.#state.counters[counter] as number);
  }

  observe(status: QueueStatus | null): Kernel {
    const bound = Atomics.load(this.#state.control, CONTROL.BOUND) === 1 && status !== null;
    if (bound) this.#lastDrops = { queue: status.queueDropped, user: status.userDropped };
    return {
      bound,
      queueDropped: this.#pastDrops.queue + this.#lastDrops.queue,
      userDropped: this.#pastDrops.user + this.#lastDrops.user,
      waiting: bound ? status.waiting : 0,
    };
  }

  #launch(): Promise<void> {
    Atomics.store(this.#state.control, CONTROL.STOP, 0);
    const input: WorkerInput = {
      queue: this.number,
      index: this.#index,
      failOpen: this.#options.whenOverloaded === 'accept',
      backlog: this.#options.backlog ?? QUEUE_DEFAULTS.backlog,
      filter: this.#options.filter,
      home: this.#options.home,
      queues: this.#options.numbers.length,
      knownGood: this.#options.knownGood,
      settledAt: this.#options.settledAt,
      rejects: this.#options.rejects,
      sharedCounts: this.#sharedCounts,
      seed: randomInt(2 ** 32),
      state: this.#state,
      board: this.#board,
      keepAlive: this.#options.keepAlive,
    };
    const worker = new Worker(this.#options.workerUrl ?? defaultWorkerUrl(), { workerData: input, execArgv: [] });
    this.#worker = worker;
    return new Promise<void>((resolve, reject) => {
      let failure: unknown = null;
      worker.on('message', (message: WorkerMessage) => {
        if (message.kind === 'bound') {
          this.problem = null;
          this.#boundSince = this.#options.clock.monotonic();
          resolve();
        } else if (message.kind === 'detections') this.#deliver(message.detections, this.#options.onDetection);
        else if (message.kind === 'floods') this.#deliver(message.floods, this.#options.onFlood);
        else if (message.kind === 'profile') this.#learning.take(message.report);
        else failure = failureOf(message.error);
      });
      worker.on('error', (error) => {
        failure = error;
      });
      this.#ended = new Promise((ended) => {
        worker.on('exit', (code) => {
          failure ??= new NetlinkError(
            `queue ${this.number}`,
            0,
            'refused',
            `the packet worker ended with code ${code}`,
          );
          this.#onEnd(failure);
          reject(failure);
          ended();
        });
      });
    });
  }

  #onEnd(failure: unknown): void {
    this.#worker = null;
    this.#learning.workerEnded();
    const { control, counters } = this.#state;
    closeShared(control, CONTROL.QUEUE_FD);
    closeShared(control, CONTROL.ALIVE_FD);
    closeShared(control, CONTROL.EVENTS_FD);
    this.#options.onEnd?.();
    Atomics.store(control, CONTROL.BOUND, 0);
    this.#board[this.#index] = 0;
    for (let i = 0; i < counters.length; i++) this.#past[i] = (this.#past[i] as number) + (counters[i] as number);
    counters.fill(0);
    this.#pastDrops.queue += this.#lastDrops.queue;
    this.#pastDrops.user += this.#lastDrops.user;
    this.#lastDrops = { queue: 0, user: 0 };
    const wasBound = this.#boundSince > 0;
    if (wasBound && this.#options.clock.monotonic() - this.#boundSince > RESTART_AT_MOST_MS) this.#failures = 0;
    this.#boundSince = 0;
    if (this.#stopping || this.#starting) return;
    this.problem = messageOf(failure);
    this.#scheduleRestart();
  }

  #scheduleRestart(): void {
    const wait = Math.min(RESTART_AT_MOST_MS, RESTART_AFTER_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#options.log.error(
      { queue: this.number, error: this.problem, restartInMs: wait },
      'the packet worker ended; packets pass unfiltered until it runs again',
    );
    this.#cancelRestart = this.#options.clock.after(wait, () => {
      this.#cancelRestart = null;
      this.restarts += 1;
      // A failure comes back through #onEnd.
      this.#launch().catch(() => undefined);
    });
  }

  #deliver<Found>(found: readonly Found[], to: (one: Found) => void): void {
    for (const one of found) {
      try {
        to(one);
      } catch (error) {
        this.#options.log.error({ error: messageOf(error), found: one }, 'what was detected could not be taken up');
      }
    }
  }
}

function failureOf(error: { readonly kind: string; readonly message: string }): Error {
  if (error.kind === 'defect') return new Error(error.message);
  return new NetlinkError('packet queue', 0, error.kind as NetlinkErrorKind, error.message);
}

/** The compiled worker beside this file; when this file runs from `src`, the one that `npm run build` put in `dist`. */
function defaultWorkerUrl(): URL {
  const beside = new URL('./queue-worker.js', import.meta.url);
  return existsSync(beside) ? beside : new URL('../../dist/filter/queue-worker.js', import.meta.url);
}
