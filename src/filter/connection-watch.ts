import type { Connection } from '../netlink/conntrack-event.js';
import { ConntrackEvents } from '../netlink/conntrack-events.js';
import { NetlinkError } from '../netlink/errors.js';
import { libc } from '../netlink/libc.js';
import type { NetlinkSocket } from '../netlink/socket.js';
import type { Endpoints, KnownConnections } from './detector.js';
import { KnownGood, type KnownGoodMemory, KnownGoodWriter } from './known-good.js';

/** Who is told of connections besides the memory of known good clients. */
export interface ConnectionListener {
  completed(connection: Connection): void;
  refused(connection: Connection): void;
  lostConnections(): void;
}

/** Refusals are listened to for so long after something that may be refused. */
const REFUSALS_MS = 10_000;

/**
 * What the worker learns from connection tracking: each worker takes completed
 * connections out of its own counts, and the first one also notes them for all in
 * shared memory. Without connection tracking nothing is known, which is no error.
 */
export class ConnectionWatch implements KnownConnections {
  /** Why nothing is known; `null` while events are read. */
  readonly problem: string | null;
  readonly #events: ConntrackEvents | null;
  readonly #known: KnownGood;
  readonly #writer: KnownGoodWriter | null;
  #listener: ConnectionListener | null = null;
  #seen = false;
  /** Until when (wall clock, ms) refusals are listened to; 0 = they are not. */
  #refusalsUntil = 0;
  #lost = 0;
  #wall = Date.now();

  /** @param isFirst whether this worker notes for all */
  constructor(memory: KnownGoodMemory, isFirst: boolean, open: () => NetlinkSocket) {
    const now = () => this.#wall;
    this.#writer = isFirst ? new KnownGoodWriter(memory, now) : null;
    this.#known = this.#writer ?? new KnownGood(memory, now);
    let events: ConntrackEvents | null = null;
    let problem: string | null = null;
    try {
      events = ConntrackEvents.open(libc(), open());
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      problem = error.message;
    }
    this.#events = events;
    this.problem = problem;
    this.#writer?.listening(events !== null);
  }

  get lost(): number {
    return this.#lost;
  }

  /** Only once one was completed: before, nobody may be tracking connections here. */
  get known(): boolean {
    return this.#seen;
  }

  isKnownGood(of: Endpoints): boolean | null {
    return of.family === 0 ? null : this.#known.isKnownClient(of.family, of.source0, of.source1);
  }

  expectRefusals(): void {
    if (this.#refusalsUntil === 0) this.#events?.listenToRefusals(true);
    this.#refusalsUntil = this.#wall + REFUSALS_MS;
  }

  listen(listener: ConnectionListener): void {
    this.#listener = listener;
  }

  /** Takes what happened since the last call; does not wait. */
  read(wall: number): void {
    if (this.#events === null) return;
    this.#wall = wall;
    this.#events.read(this);
    this.#writer?.tick(wall);
    if (this.#refusalsUntil !== 0 && (wall > this.#refusalsUntil || wall < this.#refusalsUntil - 2 * REFUSALS_MS)) {
      this.#refusalsUntil = 0;
      this.#events.listenToRefusals(false);
    }
    if (this.#events.lost === this.#lost) return;
    this.#lost = this.#events.lost;
    this.#writer?.lost(wall);
    this.#listener?.lostConnections();
  }

  completed(connection: Connection): void {
    this.#seen = true;
    this.#writer?.completed(connection, this.#wall);
    this.#listener?.completed(connection);
  }

  refused(connection: Connection): void {
    this.#listener?.refused(connection);
  }

  stop(): void {
    this.#writer?.listening(false);
  }
}
