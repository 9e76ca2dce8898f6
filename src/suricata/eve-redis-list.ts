import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import {
  BLOCK_MS,
  EveRedisError,
  expectType,
  type RedisLink,
  type RedisQueue,
  type Report,
  timeOf,
} from './eve-redis.js';

/**
 * How often (ms) it is looked for lines that were moved and not handed on. There
 * are none, unless a command of a connection that was given up is executed late.
 */
const SEEK_MS = 10_000;

/**
 * A Redis list. Lines are moved to a list of this host, `<list>:barricata:<host>`,
 * and removed from there when their effects are stored; what a kill left there
 * comes first. In that list the oldest line is the rightmost.
 */
export class EveRedisList implements RedisQueue {
  readonly #link: RedisLink;
  readonly #list: string;
  readonly #processing: string;
  readonly #clock: Clock;
  /** The end at which the oldest line is: RIGHT for `mode: list` and `lpush` of Suricata, LEFT for `rpush`. */
  #oldest: 'LEFT' | 'RIGHT' = 'RIGHT';
  #takingAgain = true;
  #soughtAt = Number.NEGATIVE_INFINITY;
  #taken: readonly Buffer[] = [];
  #report: Report = () => {};

  constructor(link: RedisLink, list: string, host: string, clock: Clock) {
    this.#link = link;
    this.#list = list;
    this.#processing = `${list}:barricata:${host}`;
    this.#clock = clock;
  }

  async begin(report: Report): Promise<void> {
    this.#report = report;
    this.#takingAgain = true;
    this.#taken = [];
    await expectType(this.#link, this.#processing, 'list');
    if (await expectType(this.#link, this.#list, 'list')) await this.#findOldest();
  }

  async take(most: number): Promise<readonly Buffer[]> {
    const now = this.#clock.monotonic();
    if (this.#takingAgain || now - this.#soughtAt >= SEEK_MS) {
      this.#soughtAt = now;
      const left = (await this.#link.callBuffer('LRANGE', this.#processing, -most, -1)) as Buffer[];
      this.#taken = left.reverse();
      if (left.length > 0) {
        this.#report('taken_again', left.length, null);
        return left;
      }
      this.#takingAgain = false;
    }
    this.#taken = await this.#move(most);
    if (this.#taken.length >= most) await this.#findOldest();
    return this.#taken;
  }

  /**
   * Removes each line by its text and not so many from the end: a command of a
   * connection that was given up may be executed late, and must not take others away.
   */
  async forget(): Promise<void> {
    await Promise.all(this.#taken.map((line) => this.#link.callBuffer('LREM', this.#processing, -1, line)));
    this.#taken = [];
  }

  /** Moves what there is; where there is nothing, waits for one line. */
  async #move(most: number): Promise<readonly Buffer[]> {
    const move = [this.#list, this.#processing, this.#oldest, 'LEFT'];
    try {
      const moves = Array.from({ length: most }, () => this.#link.callBuffer('LMOVE', ...move));
      const lines = (await Promise.all(moves)) as (Buffer | null)[];
      // Not the first alone: a line may have come between two of them.
      const moved = lines.filter((line) => line !== null);
      if (moved.length > 0) return moved;
      const line = (await this.#link.callBuffer('BLMOVE', ...move, BLOCK_MS / 1000)) as Buffer | null;
      return line === null ? [] : [line];
    } catch (error) {
      if (!/unknown command/i.test(messageOf(error))) throw error;
      throw new EveRedisError('this Redis has no LMOVE: lists need Redis 6.2 or later, or Valkey', error);
    }
  }

  /** Which end is older, by the times of the records. Only matters while there is a backlog. */
  async #findOldest(): Promise<void> {
    const ends = [0, -1].map((index) => this.#link.callBuffer('LINDEX', this.#list, index));
    const [left, right] = (await Promise.all(ends)).map((line) => (line === null ? null : timeOf(line as Buffer)));
    if (left == null || right == null || left === right) return;
    this.#oldest = left < right ? 'LEFT' : 'RIGHT';
  }
}
