import { mixKey } from './visit-table.js';

/** Source, target, both ports, family. */
const WORDS = 10;
const STATE = { OPEN: 0, ANSWERED: 1, COMPLETED: 2 } as const;
/** Places to look a connection up; more than connections, so that few are lost to one another. */
const SPREAD = 4;

/** Receives an attempt whose time to be completed is over. */
export type Settled = (
  family: number,
  s0: number,
  s1: number,
  s2: number,
  s3: number,
  t0: number,
  t1: number,
  t2: number,
  t3: number,
  port: number,
  at: number,
  times: number,
) => void;

/**
 * Attempts to connect that may still be completed, in the order in which they
 * came. Each leaves after `graceMs`, or when the ring is full, and is told of
 * then unless it was completed meanwhile. One that was lost to another with the
 * same place counts as not completed, which makes what is learned milder.
 */
export class PendingConnections {
  readonly #size: number;
  readonly #graceMs: number;
  readonly #seed: number;
  readonly #words: Int32Array;
  readonly #times: Float64Array;
  readonly #states: Uint8Array;
  readonly #repeats: Uint16Array;
  readonly #places: Float64Array;
  readonly #unanswered: Settled;
  /** Numbers of the oldest and of the next attempt; place in the ring = number modulo size. */
  #first = 1;
  #next = 1;

  /** @param size a power of two */
  constructor(size: number, graceMs: number, seed: number, unanswered: Settled) {
    this.#size = size;
    this.#graceMs = graceMs;
    this.#seed = seed;
    this.#words = new Int32Array(size * WORDS);
    this.#times = new Float64Array(size);
    this.#states = new Uint8Array(size);
    this.#repeats = new Uint16Array(size);
    this.#places = new Float64Array(size * SPREAD);
    this.#unanswered = unanswered;
  }

  open(
    family: number,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    t0: number,
    t1: number,
    t2: number,
    t3: number,
    ports: number,
    now: number,
  ): void {
    const known = this.#find(family, s0, s1, s2, s3, t0, t1, t2, t3, ports);
    if (known >= 0 && this.#states[known] !== STATE.COMPLETED) {
      this.#repeats[known] = (this.#repeats[known] as number) + 1;
      return;
    }
    if (this.#next - this.#first === this.#size) this.#settle();
    const number = this.#next++;
    const index = number & (this.#size - 1);
    const at = index * WORDS;
    const words = this.#words;
    words[at] = s0;
    words[at + 1] = s1;
    words[at + 2] = s2;
    words[at + 3] = s3;
    words[at + 4] = t0;
    words[at + 5] = t1;
    words[at + 6] = t2;
    words[at + 7] = t3;
    words[at + 8] = ports;
    words[at + 9] = family;
    this.#times[index] = now;
    this.#states[index] = STATE.OPEN;
    this.#repeats[index] = 1;
    this.#places[this.#place(family, s0, s1, s2, s3, t0, t1, t2, t3, ports)] = number;
  }

  /** Lets those go whose time is over. */
  expire(now: number): void {
    while (this.#first < this.#next && now - (this.#times[this.#first & (this.#size - 1)] as number) > this.#graceMs)
      this.#settle();
  }

  /** The other end answered by SYN+ACK. Arguments as the attempt had them. */
  answered(
    family: number,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    t0: number,
    t1: number,
    t2: number,
    t3: number,
    ports: number,
  ): void {
    const index = this.#find(family, s0, s1, s2, s3, t0, t1, t2, t3, ports);
    if (index >= 0 && this.#states[index] === STATE.OPEN) this.#states[index] = STATE.ANSWERED;
  }

  /**
   * The connection was completed. @param onlyAnswered and only if an answer was seen
   * @returns whether it was one that waited
   */
  completed(
    family: number,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    t0: number,
    t1: number,
    t2: number,
    t3: number,
    ports: number,
    onlyAnswered: boolean,
  ): boolean {
    const index = this.#find(family, s0, s1, s2, s3, t0, t1, t2, t3, ports);
    if (index < 0 || this.#states[index] === STATE.COMPLETED) return false;
    if (onlyAnswered && this.#states[index] !== STATE.ANSWERED) return false;
    this.#states[index] = STATE.COMPLETED;
    return true;
  }

  #settle(): void {
    const index = this.#first++ & (this.#size - 1);
    if (this.#states[index] === STATE.COMPLETED) return;
    const at = index * WORDS;
    const w = this.#words;
    this.#unanswered(
      w[at + 9] as number,
      w[at] as number,
      w[at + 1] as number,
      w[at + 2] as number,
      w[at + 3] as number,
      w[at + 4] as number,
      w[at + 5] as number,
      w[at + 6] as number,
      w[at + 7] as number,
      (w[at + 8] as number) & 0xffff,
      this.#times[index] as number,
      this.#repeats[index] as number,
    );
  }

  #place(
    family: number,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    t0: number,
    t1: number,
    t2: number,
    t3: number,
    ports: number,
  ): number {
    const target = mixKey(this.#seed, t0, t1, t2, t3, ports);
    return mixKey(target, s0, s1, s2, s3, family) & (this.#size * SPREAD - 1);
  }

  #find(
    family: number,
    s0: number,
    s1: number,
    s2: number,
    s3: number,
    t0: number,
    t1: number,
    t2: number,
    t3: number,
    ports: number,
  ): number {
    const number = this.#places[this.#place(family, s0, s1, s2, s3, t0, t1, t2, t3, ports)] as number;
    if (number < this.#first) return -1;
    const index = number & (this.#size - 1);
    const w = this.#words;
    const at = index * WORDS;
    const same =
      w[at] === s0 &&
      w[at + 1] === s1 &&
      w[at + 2] === s2 &&
      w[at + 3] === s3 &&
      w[at + 4] === t0 &&
      w[at + 5] === t1 &&
      w[at + 6] === t2 &&
      w[at + 7] === t3 &&
      w[at + 8] === ports &&
      w[at + 9] === family;
    return same ? index : -1;
  }
}
