import type { Prefix } from '../net/prefix.js';
import type { Connection } from '../netlink/conntrack-event.js';
import { clientsIn, FILTER_WORDS, holds, insert } from './client-filter.js';
import { SipHash } from './sip-hash.js';

/**
 * What connection tracking proved, in shared memory of fixed size (2.5 MB): which
 * connections were completed lately, by their exact five-tuple, and which clients
 * completed any within the last day. The worker of the first queue writes; the
 * main thread and the other workers read, and may see it a moment late.
 *
 * The connections lie in a table of 65,536 entries, eight to a bucket, where a new
 * one takes the oldest place: at 5,000 a second they are kept for about ten
 * seconds, at 100 a second for the ten minutes that count.
 *
 * The clients, IPv6 by /64, lie in nine Bloom filters of three hours each, so that
 * one is remembered for 24 to 27 hours. With 100,000 clients in each of the nine,
 * 0.6 % of strangers are taken for known good (measured; 0.07 % for each filter),
 * with the 131,072 at which a filter is full 2.8 %. While the filter of now is full,
 * of whoever is in none it is unknown whether it is good.
 *
 * A client enters its filter `DELAY_MS` after the connection, so that what it
 * completes within an offence does not excuse the offence.
 */
export interface KnownGoodMemory {
  /** `CONTROL` slots. */
  readonly control: Int32Array;
  /** Entries of three words: the hash (two) and the tick (`tickOf`) of its completion, 0 = free. */
  readonly connections: Int32Array;
  /** Number of the three hours, since the epoch, that each filter stands for; 0 = none. */
  readonly periods: Int32Array;
  /** The filters, one after the other. */
  readonly clients: Int32Array;
}

const CONTROL = {
  /** Key of the hash. */
  KEY0: 0,
  KEY1: 1,
  /** 1 while the writer reads events. */
  LISTENING: 2,
  /** Second of the epoch (unsigned) at which events were lost last; 0 = never. */
  LOST: 3,
  /** 1 while the filter of now takes nobody in any more. */
  FULL: 4,
} as const;

const ENTRIES = 65_536;
const BUCKET = 8;
const ENTRY_WORDS = 3;
const TICKS_A_SECOND = 32;
const ASSURED_FOR = 10 * 60 * TICKS_A_SECOND;

export const FILTERS = 9;
export const PERIOD_MS = 3 * 3_600_000;
/** Clients of one filter. With more, strangers would be taken for them too often, and somebody could see to that. */
export const MOST_CLIENTS = 131_072;

/** The oldest waiting client enters early when this many wait; powers of two. */
const PENDING = 16_384;
const PENDING_INDEX = 32_768;
export const DELAY_MS = 2 * 60_000;
/** For this long after a loss of events, "not known good" is not known. */
const UNSURE_AFTER_LOSS_S = 10 * 60;

/** @param key two words that nobody outside knows */
export function newKnownGoodMemory(key: readonly [number, number]): KnownGoodMemory {
  const words = (count: number) => new Int32Array(new SharedArrayBuffer(4 * count));
  const memory = {
    control: words(5),
    connections: words(ENTRIES * ENTRY_WORDS),
    periods: words(FILTERS),
    clients: words(FILTERS * FILTER_WORDS),
  };
  rekey(memory, key);
  return memory;
}

/** For a memory that nobody reads or writes yet. */
export function rekey({ control }: KnownGoodMemory, [key0, key1]: readonly [number, number]): void {
  control[CONTROL.KEY0] = key0;
  control[CONTROL.KEY1] = key1;
}

/** The key that a memory was made with; what is kept of it is of use only with the same. */
export function keyOf({ control }: KnownGoodMemory): readonly [number, number] {
  return [control[CONTROL.KEY0] as number, control[CONTROL.KEY1] as number];
}

/** Looks things up; any thread may have one. */
export class KnownGood {
  protected readonly memory: KnownGoodMemory;
  protected readonly hash: SipHash;
  readonly #now: () => number;

  /** @param now milliseconds of the epoch */
  constructor(memory: KnownGoodMemory, now: () => number) {
    this.memory = memory;
    this.hash = new SipHash(...keyOf(memory));
    this.#now = now;
  }

  /** Whether somebody reads the events of connection tracking now; where nobody does, nothing below is known. */
  get isListening(): boolean {
    return Atomics.load(this.memory.control, CONTROL.LISTENING) === 1;
  }

  /** For the main thread, when the writer's thread ended without saying so. */
  stopped(): void {
    Atomics.store(this.memory.control, CONTROL.LISTENING, 0);
  }

  /**
   * Whether this client completed connections within the last day.
   * @param prefix an address, or an IPv6 network of at least /64; a wider one is not one client: false
   * @returns null when nothing tells
   */
  isKnownGood({ family, length, w0, w1 }: Prefix): boolean | null {
    if (!this.isListening) return null;
    return length < (family === 4 ? 32 : 64) ? false : this.isKnownClient(family, w0, w1);
  }

  /** The same by the first words of its address; allocates nothing. */
  isKnownClient(family: 4 | 6, w0: number, w1: number): boolean | null {
    if (!this.isListening) return null;
    const { hash, memory } = this;
    hashOfClient(hash, family, w0, w1);
    const now = this.#now();
    const current = Math.floor(now / PERIOD_MS);
    for (let filter = 0; filter < FILTERS; filter++) {
      const age = current - Atomics.load(memory.periods, filter);
      if (age >= 0 && age < FILTERS && holds(memory.clients, filter, hash.h0, hash.h1)) return true;
    }
    if (Atomics.load(memory.control, CONTROL.FULL) === 1) return null;
    const lost = Atomics.load(memory.control, CONTROL.LOST) >>> 0;
    return lost !== 0 && now / 1000 - lost < UNSURE_AFTER_LOSS_S ? null : false;
  }

  /**
   * Whether this very connection was completed within the last ten minutes.
   * @param connection its source is whoever opened it
   * @returns null when nothing tells
   */
  isAssured(connection: Readonly<Connection>): boolean | null {
    if (!this.isListening) return null;
    const { hash } = this;
    const { connections } = this.memory;
    hashOfConnection(hash, connection);
    const bucket = bucketOf(hash.h0);
    const tick = tickOf(this.#now());
    for (let at = bucket; at < bucket + BUCKET * ENTRY_WORDS; at += ENTRY_WORDS) {
      const then = Atomics.load(connections, at + 2);
      if (then !== 0 && connections[at] === hash.h0 && connections[at + 1] === hash.h1) {
        return (tick - then) >>> 0 <= ASSURED_FOR;
      }
    }
    return false;
  }
}

/** The one writer: tell it `listening`, then every completed connection, and `tick` at least every few seconds. */
export class KnownGoodWriter extends KnownGood {
  /** Clients that wait to enter: the hash (two words), and when they came. */
  readonly #pending = new Int32Array(2 * PENDING);
  readonly #pendingSince = new Float64Array(PENDING);
  /** By hash, where a client may be waiting: its place plus 1. */
  readonly #pendingAt = new Float64Array(PENDING_INDEX);
  /** Places handed out, and how many of them were dealt with. */
  #in = 0;
  #out = 0;
  /** The filter of now, -1 before the first `tick`, and the clients in it. */
  #filter = -1;
  #clients = 0;

  /** Whether events are read from now on. */
  listening(isListening: boolean): void {
    Atomics.store(this.memory.control, CONTROL.LISTENING, isListening ? 1 : 0);
  }

  /** The kernel dropped events: for a while, whoever is not known to be good may be. */
  lost(nowMs: number): void {
    Atomics.store(this.memory.control, CONTROL.LOST, Math.floor(nowMs / 1000));
  }

  /** @param nowMs milliseconds of the epoch */
  completed(connection: Readonly<Connection>, nowMs: number): void {
    if (this.#filter < 0) this.tick(nowMs);
    const { hash } = this;
    hashOfConnection(hash, connection);
    this.#remember(hash.h0, hash.h1, tickOf(nowMs));
    hashOfClient(hash, connection.family, connection.source0, connection.source1);
    this.#wait(hash.h0, hash.h1, nowMs);
  }

  /** Lets in whoever waited long enough, and begins the filter of the next three hours when it is time. */
  tick(nowMs: number): void {
    const period = Math.floor(nowMs / PERIOD_MS);
    if (this.#filter !== period % FILTERS || this.memory.periods[this.#filter] !== period) this.#begin(period);
    while (this.#out < this.#in) {
      const waited = nowMs - (this.#pendingSince[this.#out & (PENDING - 1)] as number);
      // A clock that was set back keeps nobody out.
      if (waited >= 0 && waited < DELAY_MS) break;
      this.#enter();
    }
  }

  /** Goes on with the filter of this period, which a writer before this one may have begun. */
  #begin(period: number): void {
    const { control, periods, clients } = this.memory;
    this.#filter = period % FILTERS;
    if (periods[this.#filter] !== period) {
      Atomics.store(periods, this.#filter, 0);
      clients.fill(0, this.#filter * FILTER_WORDS, (this.#filter + 1) * FILTER_WORDS);
      Atomics.store(periods, this.#filter, period);
    }
    this.#clients = clientsIn(clients, this.#filter);
    Atomics.store(control, CONTROL.FULL, this.#clients < MOST_CLIENTS ? 0 : 1);
  }

  #remember(h0: number, h1: number, tick: number): void {
    const { connections } = this.memory;
    const bucket = bucketOf(h0);
    let place = bucket;
    let oldest = -1;
    for (let at = bucket; at < bucket + BUCKET * ENTRY_WORDS; at += ENTRY_WORDS) {
      if (connections[at] === h0 && connections[at + 1] === h1) {
        place = at;
        break;
      }
      const then = connections[at + 2] as number;
      const age = then === 0 ? Number.POSITIVE_INFINITY : (tick - then) >>> 0;
      if (age > oldest) {
        oldest = age;
        place = at;
      }
    }
    // Free while it is written, so that nobody reads half of it.
    Atomics.store(connections, place + 2, 0);
    connections[place] = h0;
    connections[place + 1] = h1;
    Atomics.store(connections, place + 2, tick);
  }

  /** A client waits once: else whoever completes many connections could push out all others, and itself in. */
  #wait(h0: number, h1: number, nowMs: number): void {
    const known = h0 & (PENDING_INDEX - 1);
    const place = (this.#pendingAt[known] as number) - 1;
    if (place >= this.#out) {
      const at = 2 * (place & (PENDING - 1));
      if (this.#pending[at] === h0 && this.#pending[at + 1] === h1) return;
    }
    if (holds(this.memory.clients, this.#filter, h0, h1)) return;
    if (this.#in - this.#out === PENDING) this.#enter();
    const slot = this.#in & (PENDING - 1);
    this.#pending[2 * slot] = h0;
    this.#pending[2 * slot + 1] = h1;
    this.#pendingSince[slot] = nowMs;
    this.#in += 1;
    this.#pendingAt[known] = this.#in;
  }

  #enter(): void {
    const { control, clients } = this.memory;
    const at = 2 * (this.#out & (PENDING - 1));
    this.#out += 1;
    const h0 = this.#pending[at] as number;
    const h1 = this.#pending[at + 1] as number;
    if (holds(clients, this.#filter, h0, h1)) return;
    if (this.#clients < MOST_CLIENTS) {
      insert(clients, this.#filter, h0, h1);
      this.#clients += 1;
    } else Atomics.store(control, CONTROL.FULL, 1);
  }
}

/** The first word keeps clients and connections apart. */
function hashOfClient(hash: SipHash, family: 4 | 6, w0: number, w1: number): void {
  hash
    .start()
    .word(family)
    .word(w0)
    .word(family === 4 ? 0 : w1)
    .finish();
}

function hashOfConnection(hash: SipHash, it: Readonly<Connection>): void {
  hash.start().word(it.family + 256);
  hash.word(it.source0).word(it.target0);
  if (it.family === 6) {
    hash.word(it.source1).word(it.source2).word(it.source3);
    hash.word(it.target1).word(it.target2).word(it.target3);
  }
  hash.word((it.sourcePort << 16) | it.targetPort).finish();
}

/** Fine enough that those of one tick seldom meet in a bucket; comes around every four years, and is never 0. */
function tickOf(ms: number): number {
  return Math.floor((ms / 1000) * TICKS_A_SECOND) | 1;
}

/** Where the bucket of a hash begins. */
function bucketOf(h0: number): number {
  return (h0 & (ENTRIES / BUCKET - 1)) * BUCKET * ENTRY_WORDS;
}
