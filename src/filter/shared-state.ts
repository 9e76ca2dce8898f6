import type { FilterConfig } from '../config/config.js';
import type { Prefix } from '../net/prefix.js';
import type { Detection, Flood } from './detection.js';
import type { KnownGoodMemory } from './known-good.js';
import type { ProfileReport } from './learn/report.js';
import type { SharedCountsMemory } from './shared-counts.js';

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
  /** As QUEUE_FD, for the socket that the events of connection tracking come from. */
  EVENTS_FD: 5,
  /** Whether the worker learns what traffic is normal; see `learn/switch`. */
  LEARN: 6,
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
  /** Packets whose source was their own destination. */
  LAND: 10,
  /** Times that events of connection tracking were lost. */
  EVENTS_LOST: 11,
} as const;
const COUNTERS = 12;

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

/** One number that the main thread writes and workers read, in shared memory. */
export function sharedNumber(value: number): Float64Array {
  const shared = new Float64Array(new SharedArrayBuffer(8));
  shared[0] = value;
  return shared;
}

/** What a worker is started with (`workerData`). */
export interface WorkerInput {
  readonly queue: number;
  readonly index: number;
  readonly failOpen: boolean;
  readonly backlog: number;
  readonly filter: FilterConfig;
  /** Networks whose hosts neither scan nor sweep, and are no traffic to learn from. */
  readonly home: readonly Prefix[];
  /** How many queues share the packets. */
  readonly queues: number;
  /** What the workers show one another of their counts; `null` with one queue. */
  readonly sharedCounts: SharedCountsMemory | null;
  readonly seed: number;
  readonly state: QueueState;
  readonly board: ProgressBoard;
  /** Refresh the alive sets, and those that let the kernel limit; off where nobody made them. */
  readonly keepAlive: boolean;
  /** Where completed connections are noted by the worker of the first queue. */
  readonly knownGood: KnownGoodMemory;
  /** One number: from when on (CLOCK_MONOTONIC, ms) connection tracking knows the conversations that go on. */
  readonly settledAt: Float64Array;
  /** One number: 1 while a packet that is marked to be rejected is answered; else it is dropped. */
  readonly rejects: Float64Array;
}

/** What a worker posts. */
export type WorkerMessage =
  | { readonly kind: 'bound' }
  | { readonly kind: 'detections'; readonly detections: readonly Detection[] }
  | { readonly kind: 'floods'; readonly floods: readonly Flood[] }
  | { readonly kind: 'profile'; readonly report: ProfileReport }
  | { readonly kind: 'failed'; readonly error: { readonly kind: string; readonly message: string } };
