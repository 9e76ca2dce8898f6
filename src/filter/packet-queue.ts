import { randomInt } from 'node:crypto';
import { BoundedRunner } from '../base/bounded-runner.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { queueStatuses } from '../netlink/nfqueue-status.js';
import { mergeReports, type ProfileReport } from './learn/report.js';
import { type PacketQueueOptions, QueueThread } from './queue-thread.js';
import { newSharedCounts } from './shared-counts.js';
import { COUNTER, newProgressBoard, type ProgressBoard } from './shared-state.js';

export type { PacketQueueOptions } from './queue-thread.js';

/** State of the packet path, summed over the queues and over restarts of their workers. */
export interface QueueHealth {
  /** Every worker runs and the kernel lists every queue. Not whether packets reach it: that is the rules' state. */
  readonly bound: boolean;
  /** Packets given a verdict; `accepted + dropped`. */
  readonly packets: number;
  readonly accepted: number;
  readonly dropped: number;
  /** Packets accepted because a detector threw. */
  readonly exceptions: number;
  /** Packets accepted because they could not be parsed: contradictory or cut, and fragments without transport header. */
  readonly malformed: number;
  readonly fragments: number;
  /** Sources whose counts were lost to make room for others. */
  readonly evictions: number;
  /** Dropped by the kernel: the queue was full, or the worker's receive buffer was (only without fail-open). */
  readonly queueDropped: number;
  readonly userDropped: number;
  /** Packets that wait for a verdict now. */
  readonly queueLength: number;
  /** Passed without being judged: overload with fail-open (exact, see `Nfqueue`), or waited while a worker stood still. */
  readonly unfiltered: number;
  readonly restarts: number;
  /** Why a queue is not bound, when the last attempt failed. */
  readonly problem: string | null;
}

const WATCH_EVERY_MS = 1000;

/**
 * The main thread's side of the packet path: starts one worker thread per queue,
 * watches them, passes on what they detect. A worker that ends or hangs has its
 * queue closed here, so that the rules' bypass lets packets pass at once, and is
 * started again after 0.1 s, then twice as long each time, up to 10 s.
 */
export class PacketQueue implements Service {
  readonly name = 'packet queue';
  readonly #options: PacketQueueOptions;
  readonly #threads: QueueThread[];
  readonly #board: ProgressBoard;
  readonly #watch: BoundedRunner;
  #dropping: boolean;

  constructor(options: PacketQueueOptions) {
    this.#options = options;
    this.#dropping = options.dropping;
    this.#board = newProgressBoard(options.numbers.length);
    const { numbers } = options;
    const shared = numbers.length > 1 ? newSharedCounts(numbers.length, randomInt(2 ** 32)) : null;
    this.#threads = numbers.map((number, index) => new QueueThread(number, index, options, this.#board, shared));
    this.#watch = new BoundedRunner({
      task: async () => {
        for (const thread of this.#threads) thread.endIfHanging();
      },
      clock: options.clock,
      atLeast: WATCH_EVERY_MS,
      atMost: () => WATCH_EVERY_MS,
      onError: (error) => options.log.error({ error: messageOf(error) }, 'watching the packet queue failed'),
    });
  }

  /**
   * Binds every queue.
   * @throws NetlinkError kind `exists` (another program owns a queue), `not_permitted`, `unsupported` or
   *   `ffi_unavailable`; nothing stays bound then
   */
  async start(): Promise<void> {
    try {
      await Promise.all(this.#threads.map((thread) => thread.start(this.#dropping)));
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#watch.start();
  }

  /** Gives verdicts for what waits and unbinds every queue. Take the queue rules away first. */
  async stop(): Promise<void> {
    await this.#watch.stop();
    await Promise.all(this.#threads.map((thread) => thread.stop()));
  }

  /** Lets verdicts drop (enforcing) or not (observing), from the next batch on. */
  setDropping(dropping: boolean): void {
    this.#dropping = dropping;
    for (const thread of this.#threads) thread.setDropping(dropping);
  }

  /** Begins to learn what traffic is normal, or ends and forgets it. */
  learn(on: boolean): void {
    for (const thread of this.#threads) thread.learn(on);
  }

  /** What was learned since `learn(true)`; `null` = nothing yet. */
  async profile(): Promise<ProfileReport | null> {
    const reports = (await Promise.all(this.#threads.map((thread) => thread.profiles()))).flat();
    return reports.length === 0 ? null : mergeReports(reports);
  }

  health(): QueueHealth {
    const listed = new Map(queueStatuses().map((status) => [status.number, status]));
    const kernel = this.#threads.map((thread) => thread.observe(listed.get(thread.number) ?? null));
    const sum = (counter: number) => this.#threads.reduce((total, thread) => total + thread.count(counter), 0);
    const total = (field: 'queueDropped' | 'userDropped' | 'waiting') => kernel.reduce((n, seen) => n + seen[field], 0);
    const packets = sum(COUNTER.PACKETS);
    const dropped = sum(COUNTER.DROPPED);
    return {
      bound: kernel.every((seen) => seen.bound),
      packets,
      accepted: packets - dropped,
      dropped,
      exceptions: sum(COUNTER.EXCEPTIONS),
      malformed: sum(COUNTER.MALFORMED) + sum(COUNTER.TRUNCATED),
      fragments: sum(COUNTER.FRAGMENTS),
      evictions: sum(COUNTER.EVICTIONS),
      queueDropped: total('queueDropped'),
      userDropped: total('userDropped'),
      queueLength: total('waiting'),
      unfiltered: sum(COUNTER.UNJUDGED) + (this.#options.whenOverloaded === 'accept' ? sum(COUNTER.MISSED) : 0),
      restarts: this.#threads.reduce((n, thread) => n + thread.restarts, 0),
      problem: this.#threads.find((thread) => thread.problem !== null)?.problem ?? null,
    };
  }
}
