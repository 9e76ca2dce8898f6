import { messageOf } from '../base/errors.js';
import type { AddressWords } from '../net/address.js';
import { refreshAlive } from '../netlink/alive.js';
import { NetlinkError } from '../netlink/errors.js';
import { IpsetClient } from '../netlink/ipset.js';
import { libc } from '../netlink/libc.js';
import { markFlooded, refreshLimits, unmarkFlooded } from '../netlink/limits.js';
import { BATCH, type Judge, longestQueue, Nfqueue, QUEUE_DEFAULTS } from '../netlink/nfqueue.js';
import { NetlinkSocket } from '../netlink/socket.js';
import { ConnectionWatch } from './connection-watch.js';
import { VERDICT } from './detector.js';
import type { FloodedService } from './flood-watch.js';
import { TrafficProfile } from './learn/profile.js';
import { WorkerLearning } from './learn/switch.js';
import type { Pipeline } from './pipeline.js';
import { CONTROL, COUNTER, type WorkerInput, type WorkerMessage } from './shared-state.js';

/** Detections wait at most this long for company while packets keep coming. */
const POST_EVERY_MS = 5;
const BEAT_EVERY_MS = 1000;
/** A worker that made no progress for this long hangs: no heartbeat from anyone, so that 4 s later packets pass. */
const STALE_MS = 800;
/** A stop gives verdicts for what waits, for at most this long. */
const DRAIN_MS = 1000;
/** What connection tracking tells is read this often at most, ms: a system call for each packet that comes alone is too much. */
const READ_EVERY_MS = 1;
/** Seconds that the kernel limits a flooded service for after it was last told so. */
const FLOODED_TIMEOUT = 5;
/** In a turn that takes longer the thread stood still: the machine was suspended or starved. */
const STANDSTILL_MS = QUEUE_DEFAULTS.waitMs + 300;

/**
 * The life of a worker thread: bind, then one batch after the other until told to
 * stop, then verdicts for what still waits, and close. It blocks its thread
 * throughout; nothing in it waits for anything but packets.
 */
export function runQueueLoop(
  input: WorkerInput,
  makePipeline: (connections: ConnectionWatch) => Pipeline,
  post: (message: WorkerMessage) => void,
): void {
  const { control } = input.state;
  let connections: ConnectionWatch | null = null;
  try {
    connections = new ConnectionWatch(input.knownGood, input.index === 0, () => openSocket(control, CONTROL.EVENTS_FD));
    const pipeline = makePipeline(connections);
    connections.listen(pipeline);
    const socket = openSocket(control, CONTROL.QUEUE_FD);
    const { queue: number, failOpen, backlog } = input;
    const queue = Nfqueue.open({ number, failOpen, backlog, waitMs: QUEUE_DEFAULTS.waitMs }, socket);
    const loop = new Loop(input, pipeline, connections, queue, post);
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
    connections?.stop();
    closeShared(control, CONTROL.QUEUE_FD);
    closeShared(control, CONTROL.ALIVE_FD);
    closeShared(control, CONTROL.EVENTS_FD);
  }
}

class Loop {
  readonly #input: WorkerInput;
  readonly #pipeline: Pipeline;
  readonly #connections: ConnectionWatch;
  readonly #queue: Nfqueue;
  readonly #post: (message: WorkerMessage) => void;
  readonly #judge: Judge;
  #dropping = false;
  #rejecting = false;
  #ticked = false;
  #turnBegan = now();
  /** Packets still to be accepted unjudged, and how many were. */
  #amnesty = 0;
  #unjudged = 0;
  #lastPost = 0;
  #lastRead = 0;
  #nextBeat = 0;
  #ipset: IpsetClient | null = null;
  /** Services that the kernel was last told of. */
  #flooded: ReadonlyMap<string, FloodedService> = new Map();
  readonly #learning: WorkerLearning;

  constructor(
    input: WorkerInput,
    pipeline: Pipeline,
    connections: ConnectionWatch,
    queue: Nfqueue,
    post: (message: WorkerMessage) => void,
  ) {
    this.#input = input;
    this.#pipeline = pipeline;
    this.#connections = connections;
    this.#queue = queue;
    this.#post = post;
    const { filter, seed, home } = input;
    const profile = (at: number) =>
      new TrafficProfile({ filter, seed, home, answers: connections.problem === null, origin: Date.now() - at });
    this.#learning = new WorkerLearning(input.state.control, profile, post);
    this.#judge = (bytes, start, captured, wireLength) => {
      if (!this.#ticked) this.#tick();
      if (this.#amnesty > 0) {
        this.#amnesty -= 1;
        this.#unjudged += 1;
        return 1;
      }
      const verdict = pipeline.judge(bytes, start, captured, wireLength);
      if (!this.#dropping) return VERDICT.ACCEPT;
      return verdict === VERDICT.REJECT && !this.#rejecting ? VERDICT.DROP : verdict;
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
    // Once a batch this was done before its first verdict.
    if (packets === 0) this.#follow(after);
    if (packets < BATCH) this.#amnesty = 0;
    this.#forgiveAfterStandstill(after);
    this.#turnBegan = after;
    this.#learn(after);
    if (this.#pipeline.hasDetections && (packets < BATCH || after - this.#lastPost >= POST_EVERY_MS)) {
      this.#postDetections();
      this.#lastPost = after;
    }
    const floods = this.#pipeline.takeFloods();
    if (floods.length > 0) this.#post({ kind: 'floods', floods });
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
    this.#follow(at);
    this.#learn(at);
    this.#forgiveAfterStandstill(at);
  }

  /** What time it is, what is wanted, and which connections were completed until now. */
  #follow(at: number): void {
    this.#dropping = Atomics.load(this.#input.state.control, CONTROL.DROPPING) === 1;
    this.#rejecting = this.#input.rejects[0] === 1;
    const wall = Date.now();
    this.#pipeline.tick(at, wall);
    this.#pipeline.settle(this.#input.settledAt[0] as number);
    if (at - this.#lastRead < READ_EVERY_MS) return;
    this.#lastRead = at;
    this.#connections.read(wall);
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
    if (this.#learning.changed) this.#pipeline.observer = this.#learning.profile;
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
      refreshAlive(this.#ipset, this.#dropping && !this.#input.failOpen);
      if (this.#dropping) this.#limit(this.#ipset);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      const { counters } = this.#input.state;
      counters[COUNTER.BEAT_FAILURES] = (counters[COUNTER.BEAT_FAILURES] as number) + 1;
    }
  }

  /** Says that the kernel may limit by itself, and which services are flooded now. */
  #limit(ipset: IpsetClient): void {
    refreshLimits(ipset);
    const flooded = new Map<string, FloodedService>();
    // Where nobody tells which attempts are completed, a busy service looks like a flooded one: it is told and not limited.
    if (this.#connections.known) for (const service of this.#pipeline.flooded) flooded.set(keyOf(service), service);
    for (const [key, service] of this.#flooded) {
      if (!flooded.has(key)) unmarkFlooded(ipset, wordsOf(service), service.port);
    }
    for (const service of flooded.values()) markFlooded(ipset, wordsOf(service), service.port, FLOODED_TIMEOUT);
    this.#flooded = flooded;
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
    counters[COUNTER.LAND] = this.#pipeline.land;
    counters[COUNTER.EVENTS_LOST] = this.#connections.lost;
  }
}

function wordsOf({ family, target0, target1, target2, target3 }: FloodedService): AddressWords {
  return { family: family === 6 ? 6 : 4, w0: target0, w1: target1, w2: target2, w3: target3 };
}

function keyOf({ target0, target1, target2, target3, port }: FloodedService): string {
  return `${target0} ${target1} ${target2} ${target3} ${port}`;
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
