import { messageOf } from '../base/errors.js';
import { ALIVE_TIMEOUT, refreshAlive } from '../netlink/alive.js';
import { NetlinkError } from '../netlink/errors.js';
import { IpsetClient } from '../netlink/ipset.js';
import { libc } from '../netlink/libc.js';
import { BATCH, type Judge, longestQueue, Nfqueue, QUEUE_DEFAULTS } from '../netlink/nfqueue.js';
import { NetlinkSocket } from '../netlink/socket.js';
import { TrafficProfile } from './learn/profile.js';
import { WorkerLearning } from './learn/switch.js';
import type { Pipeline } from './pipeline.js';
import { CONTROL, COUNTER, type WorkerInput, type WorkerMessage } from './shared-state.js';

/** Detections wait at most this long for company while packets keep coming. */
const POST_EVERY_MS = 5;
const BEAT_EVERY_MS = 1000;
/** A worker that made no progress for this long hangs: no heartbeat from anyone. */
const STALE_MS = ALIVE_TIMEOUT * 500;
/** A stop gives verdicts for what waits, for at most this long. */
const DRAIN_MS = 1000;
/** In a turn that takes longer the thread stood still: the machine was suspended or starved. */
const STANDSTILL_MS = QUEUE_DEFAULTS.waitMs + 300;

/**
 * The life of a worker thread: bind, then one batch after the other until told to
 * stop, then verdicts for what still waits, and close. It blocks its thread
 * throughout; nothing in it waits for anything but packets.
 */
export function runQueueLoop(input: WorkerInput, pipeline: Pipeline, post: (message: WorkerMessage) => void): void {
  const { control } = input.state;
  try {
    const socket = openSocket(control, CONTROL.QUEUE_FD);
    const { queue: number, failOpen, backlog } = input;
    const queue = Nfqueue.open({ number, failOpen, backlog, waitMs: QUEUE_DEFAULTS.waitMs }, socket);
    const loop = new Loop(input, pipeline, queue, post);
    Atomics.store(control, CONTROL.BOUND, 1);
    loop.progress(now());
    post({ kind: 'bound' });
    loop.run();
  } catch (error) {
    post({
      kind: 'failed',
      error: { kind: error instanceof NetlinkError ? error.kind : 'defect', message: messageOf(error) },
    });
  } finally {
    Atomics.store(control, CONTROL.BOUND, 0);
    input.board[input.index] = 0;
    closeShared(control, CONTROL.QUEUE_FD);
    closeShared(control, CONTROL.ALIVE_FD);
  }
}

class Loop {
  readonly #input: WorkerInput;
  readonly #pipeline: Pipeline;
  readonly #queue: Nfqueue;
  readonly #post: (message: WorkerMessage) => void;
  readonly #judge: Judge;
  #dropping = false;
  #ticked = false;
  #turnBegan = now();
  /** Packets still to be accepted unjudged, and how many were. */
  #amnesty = 0;
  #unjudged = 0;
  #lastPost = 0;
  #nextBeat = 0;
  #ipset: IpsetClient | null = null;
  readonly #learning: WorkerLearning;

  constructor(input: WorkerInput, pipeline: Pipeline, queue: Nfqueue, post: (message: WorkerMessage) => void) {
    this.#input = input;
    this.#pipeline = pipeline;
    this.#queue = queue;
    this.#post = post;
    const { filter, seed, home } = input;
    const profile = (at: number) => new TrafficProfile({ filter, seed, home, answers: false, origin: Date.now() - at });
    this.#learning = new WorkerLearning(input.state.control, profile, post);
    this.#judge = (bytes, start, captured, wireLength) => {
      if (!this.#ticked) this.#tick();
      if (this.#amnesty > 0) {
        this.#amnesty -= 1;
        this.#unjudged += 1;
        return 1;
      }
      const verdict = pipeline.judge(bytes, start, captured, wireLength);
      return this.#dropping ? verdict : 1;
    };
  }

  run(): void {
    const { control } = this.#input.state;
    while (Atomics.load(control, CONTROL.STOP) === 0) this.#turn(true);
    const end = now() + DRAIN_MS;
    while (this.#turn(false) > 0 && now() < end);
    this.#postDetections();
    this.#learning.tell(now());
  }

  #turn(wait: boolean): number {
    this.#ticked = false;
    const packets = this.#queue.step(this.#judge, wait);
    const after = now();
    this.progress(after);
    if (packets < BATCH) this.#amnesty = 0;
    this.#forgiveAfterStandstill(after);
    this.#turnBegan = after;
    this.#learn(after);
    if (this.#pipeline.hasDetections && (packets < BATCH || after - this.#lastPost >= POST_EVERY_MS)) {
      this.#postDetections();
      this.#lastPost = after;
    }
    this.#count();
    if (this.#input.keepAlive && after >= this.#nextBeat && this.#allMakeProgress(after)) {
      this.#nextBeat = after + BEAT_EVERY_MS;
      this.#beat();
    }
    return packets;
  }

  /** Once a batch, before its first verdict. */
  #tick(): void {
    const at = now();
    this.#ticked = true;
    this.#dropping = Atomics.load(this.#input.state.control, CONTROL.DROPPING) === 1;
    this.#pipeline.tick(at, Date.now());
    this.#learn(at);
    this.#forgiveAfterStandstill(at);
  }

  /**
   * Packets have the time at which their batch arrived here. After a standstill
   * those of many seconds arrive at once and would look like a flood, so the ones
   * that had to wait, a full queue at most, are let through without counting.
   */
  #forgiveAfterStandstill(at: number): void {
    if (at - this.#turnBegan > STANDSTILL_MS) this.#amnesty = longestQueue(this.#input.backlog);
  }

  /** Before a batch, so that none of it is missed, and after, so that an idle worker answers too. */
  #learn(at: number): void {
    this.#learning.turn(at);
    this.#pipeline.profile = this.#learning.profile;
  }

  progress(at: number): void {
    this.#input.board[this.#input.index] = at;
  }

  #allMakeProgress(at: number): boolean {
    for (const last of this.#input.board) if (at - last > STALE_MS) return false;
    return true;
  }

  /** A failure (the sets are being rebuilt) is tried again a second later; until then the rules leave packets alone. */
  #beat(): void {
    try {
      this.#ipset ??= new IpsetClient(openSocket(this.#input.state.control, CONTROL.ALIVE_FD));
      refreshAlive(this.#ipset);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      const { counters } = this.#input.state;
      counters[COUNTER.BEAT_FAILURES] = (counters[COUNTER.BEAT_FAILURES] as number) + 1;
    }
  }

  #postDetections(): void {
    if (this.#pipeline.hasDetections) this.#post({ kind: 'detections', detections: this.#pipeline.take() });
  }

  #count(): void {
    const { counters } = this.#input.state;
    counters[COUNTER.PACKETS] = this.#queue.packets;
    counters[COUNTER.DROPPED] = this.#queue.dropped;
    counters[COUNTER.EXCEPTIONS] = this.#queue.exceptions;
    counters[COUNTER.MALFORMED] = this.#pipeline.malformed;
    counters[COUNTER.TRUNCATED] = this.#pipeline.truncated;
    counters[COUNTER.FRAGMENTS] = this.#pipeline.fragments;
    counters[COUNTER.EVICTIONS] = this.#pipeline.evictions;
    counters[COUNTER.UNJUDGED] = this.#unjudged;
    counters[COUNTER.MISSED] = this.#queue.missed;
  }
}

/** Milliseconds of CLOCK_MONOTONIC, the same in every thread. */
const origin = Number(process.hrtime.bigint() / 1_000_000n) - performance.now();
function now(): number {
  return origin + performance.now();
}

/** Opens a socket and writes its number where the main thread finds it if this thread dies. */
function openSocket(control: Int32Array, slot: number): NetlinkSocket {
  const socket = NetlinkSocket.open();
  Atomics.store(control, slot, socket.fd + 1);
  return socket;
}

/**
 * Closes the socket in a slot, if nobody has. A thread that is terminated leaves
 * its sockets open, and an open queue with nobody behind it stalls traffic: so
 * the number is shared, and taking it out of the slot is the right to close it.
 */
export function closeShared(control: Int32Array, slot: number): void {
  const fd = Atomics.exchange(control, slot, 0) - 1;
  if (fd >= 0) libc().close(fd);
}
