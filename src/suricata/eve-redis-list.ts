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
 * A Redis list. Lines are moved to a list of this host, `<list>:barricata:<host>`,
 * and removed from there when their effects are stored; what a kill left there
 * comes first. In that list the oldest line is the rightmost.
 */
export class EveRedisList implements RedisQueue {
  readonly #link: RedisLink;
  readonly #list: string;
  readonly #processing: string;
  /** The end at which the oldest line is: RIGHT for `mode: list` and `lpush` of Suricata, LEFT for `rpush`. */
  #oldest: 'LEFT' | 'RIGHT' = 'RIGHT';
  #takingAgain = true;
  #taken = 0;
  #report: Report = () => {};

  constructor(link: RedisLink, list: string, host: string) {
    this.#link = link;
    this.#list = list;
    this.#processing = `${list}:barricata:${host}`;
  }

  async begin(report: Report): Promise<void> {
    this.#report = report;
    this.#takingAgain = true;
    this.#taken = 0;
    await expectType(this.#link, this.#processing, 'list');
    if (await expectType(this.#link, this.#list, 'list')) await this.#findOldest();
  }

  async take(most: number): Promise<readonly string[]> {
    if (this.#takingAgain) {
      const left = (await this.#link.call('LRANGE', this.#processing, -most, -1)) as string[];
      this.#taken = left.length;
      if (left.length > 0) {
        this.#report('taken_again', left.length, null);
        return left.reverse();
      }
      this.#takingAgain = false;
    }
    const lines = await this.#move(most);
    this.#taken = lines.length;
    if (lines.length >= most) await this.#findOldest();
    return lines;
  }

  async forget(): Promise<void> {
    if (this.#taken > 0) await this.#link.call('LTRIM', this.#processing, 0, -(this.#taken + 1));
    this.#taken = 0;
  }

  /** Moves what there is; where there is nothing, waits for one line. */
  async #move(most: number): Promise<readonly string[]> {
    const move = [this.#list, this.#processing, this.#oldest, 'LEFT'];
    try {
      const moves = Array.from({ length: most }, () => this.#link.call('LMOVE', ...move));
      const lines = (await Promise.all(moves)) as (string | null)[];
      if (lines[0] !== null) return lines.filter((line) => line !== null);
      const line = (await this.#link.call('BLMOVE', ...move, BLOCK_MS / 1000)) as string | null;
      return line === null ? [] : [line];
    } catch (error) {
      if (!/unknown command/i.test(messageOf(error))) throw error;
      throw new EveRedisError('this Redis has no LMOVE: lists need Redis 6.2 or later, or Valkey', error);
    }
  }

  /** Which end is older, by the times of the records. Only matters while there is a backlog. */
  async #findOldest(): Promise<void> {
    const ends = [this.#link.call('LINDEX', this.#list, 0), this.#link.call('LINDEX', this.#list, -1)];
    const [left, right] = (await Promise.all(ends)).map((line) => (typeof line === 'string' ? timeOf(line) : null));
    if (left == null || right == null || left === right) return;
    this.#oldest = left < right ? 'LEFT' : 'RIGHT';
  }
}
