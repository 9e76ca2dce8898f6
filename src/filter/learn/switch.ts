import { CONTROL, type WorkerMessage } from '../shared-state.js';
import type { TrafficProfile } from './profile.js';
import type { ProfileReport } from './report.js';

/** Values of `CONTROL.LEARN`. Main sets OFF, ON and ASKED; the worker answers ASKED by a report, and sets ON. */
const LEARN = { OFF: 0, ON: 1, ASKED: 2 } as const;
/** A worker that gives no report within this time has ended or hangs, ms. */
const ANSWER_WITHIN = 3000;

/** The worker's side: makes a profile while it is wanted, and posts what it knows when asked, and at the end. */
export class WorkerLearning {
  profile: TrafficProfile | null = null;
  /** Whether the last turn began or ended a profile. */
  changed = false;
  readonly #control: Int32Array;
  readonly #make: (now: number) => TrafficProfile;
  readonly #post: (message: WorkerMessage) => void;

  constructor(control: Int32Array, make: (now: number) => TrafficProfile, post: (message: WorkerMessage) => void) {
    this.#control = control;
    this.#make = make;
    this.#post = post;
  }

  /** Once a turn. @param now on the clock of the packets */
  turn(now: number): void {
    const wanted = Atomics.load(this.#control, CONTROL.LEARN);
    const isWanted = wanted !== LEARN.OFF;
    this.changed = isWanted !== (this.profile !== null);
    if (this.changed) this.profile = isWanted ? this.#make(now) : null;
    if (wanted !== LEARN.ASKED) return;
    Atomics.compareExchange(this.#control, CONTROL.LEARN, LEARN.ASKED, LEARN.ON);
    this.tell(now);
  }

  tell(now: number): void {
    if (this.profile !== null) this.#post({ kind: 'profile', report: this.profile.report(now) });
  }
}

/** The main thread's side, through restarts of the worker. */
export class ThreadLearning {
  readonly #control: Int32Array;
  /** What workers that ended knew, and what the present one told last. */
  #past: ProfileReport[] = [];
  #last: ProfileReport | null = null;
  #asking: (() => void)[] = [];

  constructor(control: Int32Array) {
    this.#control = control;
  }

  /** Begins anew, or ends; what was learned is gone then. */
  set(on: boolean): void {
    this.#past = [];
    this.#last = null;
    Atomics.store(this.#control, CONTROL.LEARN, on ? LEARN.ON : LEARN.OFF);
  }

  take(report: ProfileReport): void {
    this.#last = report;
    for (const answered of this.#asking.splice(0)) answered();
  }

  workerEnded(): void {
    if (this.#last !== null) this.#past.push(this.#last);
    this.#last = null;
    for (const answered of this.#asking.splice(0)) answered();
  }

  /** What this queue's workers saw. @param runs whether one lives that can be asked */
  async reports(runs: boolean): Promise<ProfileReport[]> {
    if (runs && Atomics.compareExchange(this.#control, CONTROL.LEARN, LEARN.ON, LEARN.ASKED) !== LEARN.OFF) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ANSWER_WITHIN);
        this.#asking.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return this.#last === null ? [...this.#past] : [...this.#past, this.#last];
  }
}
