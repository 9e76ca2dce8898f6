import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock, EpochMs } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import { type Log, RateLimitedLog } from '../base/log.js';
import { DirectoryWatch } from './directory-watch.js';
import { type FaultCount, type RuleFault, type Ruleset, RulesetError, readRuleset } from './ruleset.js';

/** A file that did not change for this long is taken for whole, ms. */
const QUIET = 1000;
/** A file with less than this share of the rules before must have stayed so for as long, ms. */
const SHRUNK = 0.9;
const SHRUNK_QUIET = 60_000;
/** How long a first file that cannot be used counts as one that is just being written, ms. */
const WRITING = 60_000;
/** Sensors take longer than this to load new rules, so that no alert of a new rule comes before the change is seen. */
const POLL = 1000;

export interface RulesetSourceOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of every ruleset that is taken up. */
  readonly onRead?: (ruleset: Ruleset) => void;
}

export interface RulesetStatus {
  readonly path: string;
  /** Rules in use; `null` while there are none. */
  readonly rules: number | null;
  readonly readAt: EpochMs | null;
  /** Why the file as it is now is not in use; `null` when it is, or when there is none. */
  readonly problem: string | null;
  /** Lines of the file in use that gave no rule, by cause. */
  readonly faults: Readonly<Partial<Record<RuleFault, FaultCount>>>;
}

/** What tells one state of a file from another. */
interface Look {
  readonly mark: string;
  /** When the content last changed, by the wall clock. */
  readonly changedAt: EpochMs;
}

/**
 * Follows the rules file. It is looked at every second and when its folder
 * changes, and read when it has kept still: while an update is being written,
 * the rules before it stay in use. A file that is gone, empty or cut off within
 * a rule never takes the place of a good one; one that lost more than a tenth of
 * the rules only when it stays so for a minute.
 */
export class RulesetSource implements Service {
  readonly name = 'rules file';
  readonly #o: RulesetSourceOptions;
  readonly #runner: BoundedRunner;
  readonly #watch: DirectoryWatch;
  readonly #complaints: RateLimitedLog;
  #unsubscribe: () => void = () => {};
  #ruleset: Ruleset | null = null;
  #readAt: EpochMs | null = null;
  /** The state of the file that is in use. */
  #usedMark: string | null = null;
  /** The state that was last seen, since when, and when it may be read (both by the monotonic clock). */
  #seenMark: string | null = null;
  #seenSince = 0;
  #readFrom = 0;
  /** The state that cannot be used, so that it is not read again. */
  #rejectedMark: string | null = null;
  #problem: string | null = null;
  #looked = false;

  constructor(options: RulesetSourceOptions) {
    this.#o = options;
    this.#complaints = new RateLimitedLog(options.log);
    this.#watch = new DirectoryWatch((directory, message) =>
      options.log.debug({ directory, err: message }, 'the folder of the rules file cannot be watched'),
    );
    this.#runner = new BoundedRunner({
      task: () => this.#look(),
      clock: options.clock,
      atLeast: 100,
      atMost: () => (this.#isDone ? POLL : Math.min(POLL, Math.max(100, this.#readFrom - options.clock.monotonic()))),
      onError: (error) => this.#reject(messageOf(error)),
    });
  }

  async start(): Promise<void> {
    const { path } = this.#o;
    this.#runner.start();
    this.#unsubscribe = this.#watch.subscribe(dirname(path), (name) => {
      if (name === null || name === basename(path)) this.#runner.wake();
    });
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#watch.close();
    await this.#runner.stop();
  }

  /** The rules in use; `null` while none could be read. */
  get ruleset(): Ruleset | null {
    return this.#ruleset;
  }

  /** Whether the sensor may run rules that are not known here: the file is not the one in use. */
  get settling(): boolean {
    if (!this.#looked) return true;
    if (this.#seenMark === this.#usedMark) return false;
    if (this.#ruleset !== null) return true;
    return !this.#isDone || this.#o.clock.monotonic() - this.#seenSince < WRITING;
  }

  /** Nothing is left to be read. */
  get #isDone(): boolean {
    return this.#seenMark === null || this.#seenMark === this.#usedMark || this.#seenMark === this.#rejectedMark;
  }

  status(): RulesetStatus {
    return {
      path: this.#o.path,
      rules: this.#ruleset?.size ?? null,
      readAt: this.#readAt,
      problem: this.#problem,
      faults: Object.fromEntries(this.#ruleset?.faults ?? []),
    };
  }

  async #look(): Promise<void> {
    const { clock } = this.#o;
    this.#watch.refresh();
    const look = await this.#stat();
    const mark = look?.mark ?? null;
    const now = clock.monotonic();
    if (mark !== this.#seenMark || !this.#looked) {
      this.#seenMark = mark;
      this.#seenSince = now;
      // At the start the file has kept still already, unless somebody writes it right now.
      const isOld = !this.#looked && look !== null && clock.now() - look.changedAt > QUIET;
      this.#readFrom = isOld ? now : now + QUIET;
      this.#looked = true;
    }
    if (mark === this.#usedMark) this.#problem = null;
    else if (mark === null) this.#reject('it is gone; the rules read before stay in use');
    if (this.#isDone || mark === null || now < this.#readFrom) return;
    await this.#read(mark);
  }

  async #read(mark: string): Promise<void> {
    const { path, clock, log } = this.#o;
    const begin = clock.monotonic();
    let ruleset: Ruleset;
    try {
      ruleset = await readRuleset(path);
    } catch (error) {
      this.#rejectedMark = mark;
      this.#reject(`it cannot be read: ${messageOf(error instanceof RulesetError ? error.cause : error)}`);
      return;
    }
    // Written meanwhile: what was read may be half of it.
    if ((await this.#stat())?.mark !== mark) return;
    const before = this.#ruleset?.size ?? 0;
    if (ruleset.torn || ruleset.size === 0) {
      this.#rejectedMark = mark;
      const kept = before === 0 ? '' : '; the rules read before stay in use';
      this.#reject(`${ruleset.torn ? 'it ends within a rule' : 'it has no rule'}${kept}`);
      return;
    }
    if (ruleset.size < before * SHRUNK && begin - this.#seenSince < SHRUNK_QUIET) {
      this.#readFrom = this.#seenSince + SHRUNK_QUIET;
      this.#reject(`it has ${ruleset.size} rules and had ${before}; taken up when it stays so for a minute`);
      return;
    }
    this.#ruleset = ruleset;
    this.#readAt = clock.now();
    this.#usedMark = mark;
    this.#rejectedMark = null;
    this.#problem = null;
    const ms = Math.round(clock.monotonic() - begin);
    log.info({ file: path, rules: ruleset.size, ms, left_out: Object.fromEntries(ruleset.faults) }, 'rules read');
    this.#o.onRead?.(ruleset);
  }

  #reject(problem: string): void {
    this.#problem = problem;
    this.#complaints.warn(problem, { file: this.#o.path, problem }, 'the rules file is not taken up');
  }

  /** The state of the file; `null` when there is none. One that cannot be looked at is a state like any other. */
  async #stat(): Promise<Look | null> {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs, mtimeMs } = await stat(this.#o.path, { bigint: true });
      return { mark: `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`, changedAt: Number(mtimeMs) };
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      return code === 'ENOENT' || code === 'ENOTDIR' ? null : { mark: code, changedAt: 0 };
    }
  }
}
