import type { FilterConfig } from '../config/config.js';
import type { Prefix } from '../net/prefix.js';
import type { Detection } from './detection.js';
import type { ProfileReport } from './learn/report.js';

/**
 * What a worker thread and the main thread share without messages, so that the
 * worker can be watched and stopped while it blocks in a system call.
 *
 * Each field has one writer. Counters are 64-bit floats (exact to 2^53) written
 * with plain aligned stores; a reader may see one batch late.
 */

/** Slots of `QueueState.control`, written with Atomics. */
export const CONTROL = {
  /** Main sets 1: give verdicts for what waits, close, end. */
  STOP: 0,
  /** The queue's socket plus 1, 0 = none. Whoever takes it out (Atomics.exchange) closes it. */
  QUEUE_FD: 1,
  /** The same for the socket that refreshes the alive sets. */
  ALIVE_FD: 2,
  /** 1 while the queue is bound. */
  BOUND: 3,
  /** Main sets 1 when verdicts may drop; 0 (observing) accepts all and still detects. */
  DROPPING: 4,
  /** Whether the worker learns what traffic is normal; see `learn/switch`. */
  LEARN: 5,
} as const;

/** Slots of `QueueState.counters`. */
export const COUNTER = {
  PACKETS: 0,
  DROPPED: 1,
  EXCEPTIONS: 2,
  MALFORMED: 3,
  TRUNCATED: 4,
  FRAGMENTS: 5,
  EVICTIONS: 6,
  /** Packets that the kernel numbered and could not hand over. */
  MISSED: 7,
  /** Times that the alive sets could not be refreshed. */
  BEAT_FAILURES: 8,
  /** Packets accepted unjudged because they had waited while the thread stood still. */
  UNJUDGED: 9,
} as const;
const COUNTERS = 10;

export interface QueueState {
  readonly control: Int32Array;
  readonly counters: Float64Array;
}

export function newQueueState(): QueueState {
  return {
    control: new Int32Array(new SharedArrayBuffer(4 * 8)),
    counters: new Float64Array(new SharedArrayBuffer(8 * COUNTERS)),
  };
}

/**
 * When each worker last made progress (gave verdicts, or found its queue empty),
 * in milliseconds of CLOCK_MONOTONIC, one slot a queue; 0 = not bound. The alive
 * sets open the rules of all queues, so a worker refreshes them only while every
 * slot is recent.
 */
export type ProgressBoard = Float64Array;

export function newProgressBoard(queues: number): ProgressBoard {
  return new Float64Array(new SharedArrayBuffer(8 * queues));
}

/** What a worker is started with (`workerData`). */
export interface WorkerInput {
  readonly queue: number;
  readonly index: number;
  readonly failOpen: boolean;
  readonly backlog: number;
  readonly filter: FilterConfig;
  readonly seed: number;
  readonly state: QueueState;
  readonly board: ProgressBoard;
  /** Refresh the alive sets; off where nobody made them. */
  readonly keepAlive: boolean;
  /** Own networks, which learning leaves out. */
  readonly home: readonly Prefix[];
}

/** What a worker posts. */
export type WorkerMessage =
  | { readonly kind: 'bound' }
  | { readonly kind: 'detections'; readonly detections: readonly Detection[] }
  | { readonly kind: 'profile'; readonly report: ProfileReport }
  | { readonly kind: 'failed'; readonly error: { readonly kind: string; readonly message: string } };
