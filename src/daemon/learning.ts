import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock, EpochMs, Seconds } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';
import { mergeReports, type ProfileReport } from '../filter/learn/report.js';
import type { PacketQueue } from '../filter/packet-queue.js';
import { replaceFile } from './atomic-file.js';

/** What is learned is kept on disk this often, ms. */
const KEEP_EVERY = 60_000;

/** What `barricata learn` shows. */
export interface LearningState {
  readonly learning: boolean;
  /** When it was begun and when it ends, or ended; `null` = nobody ever asked for it. */
  readonly from: EpochMs | null;
  readonly until: EpochMs | null;
  readonly report: ProfileReport | null;
}

interface Kept {
  readonly format: 1;
  readonly from: EpochMs;
  readonly until: EpochMs;
  readonly report: ProfileReport | null;
}

/**
 * Learns for a time what traffic is normal, in every mode but `off`, through
 * restarts of the daemon: what is known is kept in a file, and gone on from
 * there. It changes nothing; a proposal is made from it by whoever asks.
 */
export class Learning implements Service {
  readonly name = 'learning';
  readonly #queue: Pick<PacketQueue, 'learn' | 'profile'>;
  readonly #file: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #runner: BoundedRunner;
  #from: EpochMs | null = null;
  #until: EpochMs | null = null;
  #learning = false;
  /** Of earlier runs of the daemon, and the whole of what is over. */
  #past: ProfileReport | null = null;

  constructor(options: { queue: Pick<PacketQueue, 'learn' | 'profile'>; file: string; clock: Clock; log: Log }) {
    this.#queue = options.queue;
    this.#file = options.file;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#runner = new BoundedRunner({
      task: () => this.#settle(),
      clock: options.clock,
      atLeast: 100,
      atMost: () => Math.max(100, Math.min(KEEP_EVERY, (this.#until ?? 0) - options.clock.now())),
      onError: (error) => options.log.error({ err: messageOf(error) }, 'what was learned could not be kept'),
    });
  }

  async start(): Promise<void> {
    const text = await readFile(this.#file, 'utf8').catch(() => null);
    if (text === null) return;
    try {
      const kept = JSON.parse(text) as Kept;
      if (kept.format !== 1) return;
      this.#from = kept.from;
      this.#until = kept.until;
      this.#past = kept.report;
    } catch (error) {
      this.#log.warn({ file: this.#file, err: messageOf(error) }, 'what was learned earlier cannot be read');
      return;
    }
    if ((this.#until ?? 0) > this.#clock.now()) this.#begin();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
    if (this.#learning) await this.#keep().catch(() => undefined);
  }

  /** Begins anew; what was learned earlier is given up. */
  begin(seconds: Seconds): LearningState {
    this.#past = null;
    this.#from = this.#clock.now();
    this.#until = this.#from + seconds * 1000;
    this.#begin();
    return this.#state(null);
  }

  /** Ends before its time; what is known stays to be asked for. */
  async end(): Promise<LearningState> {
    if (this.#learning) {
      this.#until = this.#clock.now();
      await this.#settle();
    }
    return this.#state(this.#past);
  }

  /** Without what is known: cheap. */
  brief(): LearningState {
    return this.#state(null);
  }

  async state(): Promise<LearningState> {
    return this.#state(await this.#known());
  }

  #begin(): void {
    this.#learning = true;
    this.#queue.learn(true);
    this.#runner.start();
    this.#runner.wake();
    this.#log.info({ until: new Date(this.#until ?? 0).toISOString() }, 'learning what traffic is normal');
  }

  #state(report: ProfileReport | null): LearningState {
    return { learning: this.#learning, from: this.#from, until: this.#until, report };
  }

  async #known(): Promise<ProfileReport | null> {
    const present = this.#learning ? await this.#queue.profile() : null;
    if (present === null || this.#past === null) return present ?? this.#past;
    return mergeReports([this.#past, present]);
  }

  async #settle(): Promise<void> {
    if (!this.#learning) return;
    if (this.#clock.now() >= (this.#until ?? 0)) {
      this.#past = await this.#known();
      this.#learning = false;
      this.#queue.learn(false);
      this.#log.info('learning is over: barricata learn --status shows what was learned');
    }
    await this.#keep();
  }

  async #keep(): Promise<void> {
    const kept: Kept = { format: 1, from: this.#from ?? 0, until: this.#until ?? 0, report: await this.#known() };
    await mkdir(dirname(this.#file), { recursive: true });
    await replaceFile(this.#file, JSON.stringify(kept), { mode: 0o640 });
  }
}
