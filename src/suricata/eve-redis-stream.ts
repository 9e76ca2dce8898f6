import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import { BLOCK_MS, EveRedisError, expectType, type RedisLink, type RedisQueue, type Report } from './eve-redis.js';

const GROUP = 'barricata';
/** The field in which Suricata writes the record; any other name will do where it is the only field. */
const FIELD = 'eve';
/** How long (ms) an entry that another host of the group took and did not acknowledge is left to it. */
const ABANDONED_MS = 300_000;
/** How often (ms) abandoned entries are looked for. */
const TAKE_OVER_MS = 30_000;
/** How many abandoned entries are taken over at once. */
const TAKE_OVER_AT_ONCE = 64;

type Entry = readonly [id: Buffer, fields: readonly Buffer[] | null];

/**
 * A Redis stream (`mode: stream` of Suricata 8), read as the consumer group
 * `barricata` with this host as its consumer: what it took and did not
 * acknowledge comes first, what another host of the group took and left lying
 * is taken over. Hosts that read one stream share its lines.
 */
export class EveRedisStream implements RedisQueue {
  readonly #link: RedisLink;
  readonly #stream: string;
  readonly #host: string;
  readonly #clock: Clock;
  #report: Report = () => {};
  #taken: readonly Buffer[] = [];
  #takingAgain = true;
  #wasFull = false;
  #hadGroup = false;
  #gapSoughtAt = Number.NEGATIVE_INFINITY;
  #tookOverAt = Number.NEGATIVE_INFINITY;

  constructor(link: RedisLink, stream: string, host: string, clock: Clock) {
    this.#link = link;
    this.#stream = stream;
    this.#host = host;
    this.#clock = clock;
  }

  async begin(report: Report): Promise<void> {
    this.#report = report;
    this.#taken = [];
    this.#takingAgain = true;
    this.#wasFull = false;
    await expectType(this.#link, this.#stream, 'stream');
    await this.#makeGroup();
  }

  async take(most: number): Promise<readonly Buffer[]> {
    const now = this.#clock.monotonic();
    // Only who is far behind can miss something, and pages are full then.
    if (this.#wasFull || now - this.#gapSoughtAt >= BLOCK_MS) {
      this.#gapSoughtAt = now;
      await this.#countTrimmed(true);
    }
    if (now - this.#tookOverAt >= TAKE_OVER_MS) {
      this.#tookOverAt = now;
      await this.#takeOver();
    }
    const entries = await this.#read(most);
    this.#taken = entries.map(([id]) => id);
    this.#wasFull = entries.length >= most;
    return entries.flatMap(([, fields]) => this.#lineOf(fields) ?? []);
  }

  async forget(): Promise<void> {
    if (this.#taken.length > 0) await this.#link.callBuffer('XACK', this.#stream, GROUP, ...this.#taken);
    this.#taken = [];
  }

  /** Makes the group where it is not there, and the stream with it; reads from the oldest entry that there is. */
  async #makeGroup(): Promise<void> {
    try {
      await this.#link.call('XGROUP', 'CREATE', this.#stream, GROUP, 0, 'MKSTREAM');
    } catch (error) {
      if (!messageOf(error).includes('BUSYGROUP')) throw error;
      this.#hadGroup = true;
      return;
    }
    if (this.#hadGroup) {
      this.#report('recreated', 1, `the stream ${this.#stream} was deleted: what it held and was not read is lost`);
    }
    this.#hadGroup = true;
    await this.#countTrimmed(false);
  }

  async #read(most: number): Promise<readonly Entry[]> {
    const read = ['GROUP', GROUP, this.#host, 'COUNT', most] as const;
    if (this.#takingAgain) {
      const again = entriesOf(await this.#link.callBuffer('XREADGROUP', ...read, 'STREAMS', this.#stream, 0));
      if (again.length > 0) {
        this.#report('taken_again', again.length, null);
        return again;
      }
      this.#takingAgain = false;
    }
    return entriesOf(
      await this.#link.callBuffer('XREADGROUP', ...read, 'BLOCK', BLOCK_MS, 'STREAMS', this.#stream, '>'),
    );
  }

  #lineOf(fields: Entry[1]): Buffer | null {
    if (fields === null) {
      this.#report('trimmed', 1, 'a record was trimmed from the stream while it was being handled');
      return null;
    }
    for (let i = 0; i < fields.length; i += 2) {
      if (String(fields[i]) === FIELD || fields.length === 2) return fields[i + 1] ?? null;
    }
    this.#report('no_line', 1, `an entry has no field ${FIELD} and more than one other`);
    return null;
  }

  /** Takes what another host of the group took long ago and did not acknowledge; it is read next. */
  async #takeOver(): Promise<void> {
    const from = [this.#stream, GROUP, this.#host, ABANDONED_MS, '0-0', 'COUNT', TAKE_OVER_AT_ONCE, 'JUSTID'];
    let reply: unknown;
    try {
      reply = await this.#link.call('XAUTOCLAIM', ...from);
    } catch (error) {
      if (!/unknown command/i.test(messageOf(error))) throw error;
      throw new EveRedisError('this Redis has no XAUTOCLAIM: streams need Redis 6.2 or later, or Valkey', error);
    }
    const [, ids] = reply as [string, string[]];
    if (ids.length === 0) return;
    this.#report('claimed', ids.length, null);
    this.#takingAgain = true;
    if (ids.length >= TAKE_OVER_AT_ONCE) this.#tookOverAt = Number.NEGATIVE_INFINITY;
  }

  /**
   * Counts entries that `MAXLEN` trimmed before the group read them: Redis numbers
   * all entries ever added, and keeps how many the group has read. A trimmed one
   * would stay among the unread, so that number is set right afterwards. Redis
   * before 7 and streams from which single entries were deleted do not tell.
   */
  async #countTrimmed(tell: boolean): Promise<void> {
    const replies = [
      this.#link.call('XINFO', 'STREAM', this.#stream),
      this.#link.call('XINFO', 'GROUPS', this.#stream),
    ];
    const [info, groups] = (await Promise.all(replies)) as [unknown[], unknown[][]];
    const stream = fieldsOf(info);
    const group = groups.map(fieldsOf).find((fields) => fields.get('name') === GROUP);
    const [added, length, read] = [stream.get('entries-added'), stream.get('length'), group?.get('entries-read')];
    if (typeof added !== 'number' || typeof length !== 'number' || typeof read !== 'number') return;
    if (stream.get('max-deleted-entry-id') !== '0-0') return;
    const trimmed = added - length;
    if (trimmed <= read) return;
    const at = String(group?.get('last-delivered-id'));
    await this.#link.call('XGROUP', 'SETID', this.#stream, GROUP, at, 'ENTRIESREAD', trimmed);
    if (!tell) return;
    const detail = `${trimmed - read} records were trimmed from the stream before they were read: raise stream-maxlen of eve-log in suricata.yaml`;
    this.#report('trimmed', trimmed - read, detail);
  }
}

/** The entries in a reply of XREADGROUP for one stream. */
function entriesOf(reply: unknown): readonly Entry[] {
  return (reply as readonly [Buffer, readonly Entry[]][] | null)?.[0]?.[1] ?? [];
}

/** A reply of names and values in turn. */
function fieldsOf(reply: readonly unknown[]): Map<unknown, unknown> {
  const fields = new Map<unknown, unknown>();
  for (let i = 0; i < reply.length; i += 2) fields.set(reply[i], reply[i + 1]);
  return fields;
}
