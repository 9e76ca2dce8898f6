import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import type { Ban, Decision } from '../policy/ban.js';
import type { RedisConnection } from './connection.js';
import { Effects, inRedisTime, pardonable } from './effects.js';
import { BlocklistError, blocklistError } from './errors.js';
import type { Facts } from './facts.js';
import { type EntryId, type Keys, LETTER } from './keys.js';
import type { OfflineBatch, OfflineJournal } from './offline-journal.js';
import { applyOffline, checkSharedKeys } from './offline-replay.js';
import type { CommitOutcome } from './outcome.js';

export type { CommitOutcome } from './outcome.js';

export interface Batch {
  readonly decisions: readonly Decision[];
  /** How far the source was read to make these decisions; `null` when it has no position. */
  readonly position: { readonly source: string; readonly value: unknown } | null;
}

/** What the store asks of the mirror. */
export interface OfflineView {
  readonly skew: number;
  readonly facts: Pick<Facts, 'pardon' | 'suppressed'>;
  addOffline(bans: Iterable<readonly [text: string, until: number]>): void;
  clearOffline(): void;
  refresh(ids: Iterable<EntryId>): Promise<void>;
  stored(entries: readonly StoredEntry[]): Promise<void>;
}

/** A key that was just written, and its end in Redis time (ms), -1 permanent. */
export type StoredEntry = readonly [id: EntryId, ends: number];

export interface StoreOptions {
  readonly connection: RedisConnection;
  readonly keys: Keys;
  readonly mirror: OfflineView;
  readonly offline: OfflineJournal;
  readonly clock: Clock;
  readonly log: Log;
}

/** Outcomes after which the key is as the ban asked. */
const WRITTEN: ReadonlySet<CommitOutcome> = new Set(['stored', 'extended']);

/**
 * Writes automatic decisions: all effects of a batch and the position it was
 * read up to in one atomic script, so that a crash at any point neither loses
 * nor repeats a line. While Redis is away the batch goes to the offline journal
 * first and to the kernel then; it is applied once when Redis is back, because
 * each batch has a sequence number that only grows and Redis keeps the last.
 */
export class Store implements Service {
  readonly name = 'blocklist store';
  readonly #o: StoreOptions;
  readonly #effects = new Effects();
  #sequence = 0;
  #givenUp = 0;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #retry: BoundedRunner;

  constructor(options: StoreOptions) {
    this.#o = options;
    const warnings = new RateLimitedLog(options.log, options.clock);
    this.#retry = new BoundedRunner({
      task: () => this.#enqueue(() => this.#replay()),
      clock: options.clock,
      atLeast: 100,
      atMost: () => 5000,
      // Redis is still away, or still takes no writes; the batches stay where they are.
      onError: (error) => {
        if (options.connection.up) warnings.warn('replay', { err: messageOf(error) }, 'the offline journal waits');
      },
    });
  }

  /** @throws BlocklistError kind `refused` when the state directory cannot be written */
  async start(): Promise<void> {
    const { offline, mirror, connection } = this.#o;
    await offline.open();
    for (const { args, bans } of offline.pending) {
      this.#sequence = Math.max(this.#sequence, Number(args[1]));
      mirror.addOffline(bans.map(([text, until]) => [text, until ?? Number.POSITIVE_INFINITY]));
    }
    connection.onReady(() => this.#retry.wake());
    this.#retry.start();
  }

  async stop(): Promise<void> {
    await this.#retry.stop();
    await this.#turn.catch(() => {});
    await this.#o.offline.close();
  }

  /** Batches that wait for Redis. */
  get waiting(): number {
    return this.#o.offline.pending.length;
  }

  /** Entries of the offline journal that Redis refused for good, since the start. */
  get givenUp(): number {
    return this.#givenUp;
  }

  /**
   * Stores a batch; batches are applied in the order of the calls. At most a few
   * hundred decisions each, so that Redis is not held up.
   *
   * @returns one outcome per decision
   * @throws BlocklistError kind `full` when Redis is away and the offline journal
   *   too, `refused` when Redis or the disk says no: nothing was stored, try the same batch again
   */
  commit(batch: Batch): Promise<CommitOutcome[]> {
    return this.#enqueue(async () => (await this.#commit(batch, false)) as CommitOutcome[]);
  }

  /**
   * The same for bans that were made as if none of their offenders was banned
   * before, which saves asking; checked in the step that stores them.
   * @returns `null` when one of them was: nothing was stored, so ask, decide again and `commit`
   * @throws BlocklistError as `commit`
   */
  commitIfNew(batch: Batch): Promise<CommitOutcome[] | null> {
    return this.#enqueue(() => this.#commit(batch, true));
  }

  #enqueue<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(task, task);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #commit(batch: Batch, asNew: boolean): Promise<CommitOutcome[] | null> {
    const { offline, connection, log, clock } = this.#o;
    const outcomes: CommitOutcome[] = batch.decisions.map(() => 'none');
    const { keys, mirror } = this.#o;
    const now = clock.now();
    const { effects, suppressed } = this.#effects.of(batch.decisions, {
      keys,
      facts: mirror.facts,
      skew: mirror.skew,
      now,
    });
    for (const index of suppressed) outcomes[index] = 'suppressed';
    if (effects.length === 0 && batch.position === null) return outcomes;
    this.#sequence = Math.max(this.#sequence + 1, now);
    const args = [
      batch.position?.source ?? 'daemon',
      String(this.#sequence),
      JSON.stringify(batch.position?.value ?? null),
      keys.host,
      new Date(now).toISOString(),
      ...effects.map(({ json }) => json),
    ];
    if (offline.pending.length > 0 && connection.up) await this.#replay().catch(() => {});
    if (offline.pending.length === 0) {
      try {
        const words = (await this.#send(asNew ? [...args, 'new'] : args)) as (CommitOutcome | 'known')[];
        if (words[0] === 'known') return null;
        effects.forEach((effect, i) => {
          const word = words[0] === 'duplicate' ? 'duplicate' : (words[i] as CommitOutcome);
          outcomes[effect.index] = word;
          this.#effects.settle(effect, word);
        });
        await this.#tell(effects.filter(({ index }) => WRITTEN.has(outcomes[index] as CommitOutcome)));
        return outcomes;
      } catch (error) {
        const failure = blocklistError('commit', error);
        if (!failure.passing) throw failure;
        log.error({ err: failure.message }, 'Redis takes no decisions; keeping them in the offline journal');
      }
    }
    const bans: [string, number | null][] = [];
    for (const { index, ban } of effects) {
      outcomes[index] = 'offline';
      if (ban === null) continue;
      if (this.#pardoned(ban)) outcomes[index] = 'pardoned';
      else bans.push([ban.prefix, ban.until === Number.POSITIVE_INFINITY ? null : ban.until]);
    }
    await offline.append({ args, bans });
    for (const effect of effects) this.#effects.settle(effect, 'offline');
    mirror.addOffline(bans.map(([text, until]) => [text, until ?? Number.POSITIVE_INFINITY]));
    return outcomes;
  }

  /**
   * The mirror need not wait for Redis to name the keys and be read again: a
   * written ban has the end that was asked for. The reply came over the
   * connection that the mirror reads by, so nothing newer is overwritten.
   */
  async #tell(written: readonly { readonly ban: Ban | null }[]): Promise<void> {
    const entries = written.flatMap(({ ban }): StoredEntry[] =>
      ban === null
        ? []
        : [
            [
              LETTER[ban.record.scope === 'host' ? 'local' : 'ban'] + ban.prefix,
              inRedisTime(ban.until, this.#o.mirror.skew),
            ],
          ],
    );
    if (entries.length > 0) await this.#o.mirror.stored(entries);
  }

  #send(args: readonly string[]): Promise<unknown> {
    const { connection, keys } = this.#o;
    if (!connection.up) throw connection.problem ?? new BlocklistError('commit', 'unreachable', 'Redis is away');
    return connection.script('commit-4', [keys.journal, keys.told, keys.raw, keys.position()], args);
  }

  /** Applies what the offline journal holds, in order. Breaks off when Redis goes away again; nothing is doubled. */
  async #replay(): Promise<void> {
    const { connection, keys, offline, mirror, log } = this.#o;
    const batches: readonly OfflineBatch[] = offline.pending;
    if (batches.length === 0) return;
    await checkSharedKeys(connection, keys);
    const send = (args: readonly string[]) => this.#send(args);
    const texts = new Set<string>();
    for (const batch of batches) {
      this.#givenUp += await applyOffline(batch, send, log);
      for (const [text] of batch.bans) texts.add(text);
    }
    await mirror.refresh([...texts].flatMap((text) => [LETTER.ban + text, LETTER.local + text]));
    await offline.clear();
    mirror.clearOffline();
    log.info({ batches: batches.length }, 'what was decided while Redis was away is stored');
  }

  #pardoned(ban: Ban): boolean {
    return pardonable(ban.prefix).some((text) => {
      const pardon = this.#o.mirror.facts.pardon(text);
      if (pardon === null) return false;
      if (pardon.sids !== null && (ban.record.sid === null || !pardon.sids.includes(ban.record.sid))) return false;
      return !(ban.proven && ban.flowStart !== null && ban.flowStart + this.#o.mirror.skew > pardon.at);
    });
  }

  /**
   * How far each source of this host was read, as last committed; offline batches included.
   * @throws BlocklistError when Redis is away
   */
  async positions(): Promise<Map<string, unknown>> {
    const { connection, keys, offline } = this.#o;
    const flat = (await connection.call('HGETALL', keys.position())) as string[];
    const found = new Map<string, { sequence: number; value: unknown }>();
    const note = (source: string, sequence: number, json: string) => {
      this.#sequence = Math.max(this.#sequence, sequence);
      if ((found.get(source)?.sequence ?? -1) < sequence) found.set(source, { sequence, value: parse(json) });
    };
    for (let i = 0; i < flat.length; i += 2) {
      const [, sequence, json] = /^(\d+) (.*)$/s.exec(flat[i + 1] as string) ?? [];
      if (sequence !== undefined) note(flat[i] as string, Number(sequence), json as string);
    }
    for (const { args } of offline.pending) note(args[0] as string, Number(args[1]), args[2] as string);
    found.delete('daemon');
    return new Map([...found].map(([source, { value }]) => [source, value]));
  }
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new BlocklistError('read positions', 'refused', `a stored position is damaged: ${messageOf(error)}`, error);
  }
}
