import { BoundedRunner } from '../base/bounded-runner.js';
import type { Clock } from '../base/clock.js';
import { Counters } from '../base/counters.js';
import { messageOf } from '../base/errors.js';
import type { Service } from '../base/lifecycle.js';
import type { Log } from '../base/log.js';

export interface RulesGuardOptions {
  readonly install: () => Promise<void>;
  readonly verify: () => Promise<'ok' | { readonly missing: readonly string[] }>;
  /** Equal tokens: probably nobody touched the rules (`RulesWatch`); `null` where nothing can tell. */
  readonly token: () => string | null;
  /** Reads the rules at least this often, ms, whatever the token says. */
  readonly readEvery: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Asks for the token this often, ms. */
const LOOK = 1000;

/**
 * Keeps the static rules in place and first. Each second it asks for the
 * token, which costs microseconds; only when that changed, or after a while, are
 * the rules read by `iptables-save`.
 */
export class RulesGuard implements Service {
  readonly name = 'rules guard';
  readonly heals = new Counters<'rules_missing'>();
  readonly #o: RulesGuardOptions;
  readonly #runner: BoundedRunner;
  #state: 'in place' | 'missing' | 'failed' = 'missing';
  #problem: string | null = null;
  #token: string | null = null;
  #readAt = Number.NEGATIVE_INFINITY;
  #outdated = false;

  constructor(options: RulesGuardOptions) {
    this.#o = options;
    this.#runner = new BoundedRunner({
      task: () => this.#look(),
      clock: options.clock,
      atLeast: 200,
      atMost: () => LOOK,
      onError: (error) => {
        const problem = messageOf(error);
        if (problem !== this.#problem) {
          options.log.error({ err: problem }, 'the rules could not be put in place; trying again');
        }
        this.#state = 'failed';
        this.#problem = problem;
        this.#readAt = Number.NEGATIVE_INFINITY;
      },
    });
  }

  get state(): 'in place' | 'missing' | 'failed' {
    return this.#state;
  }

  /** Why the rules are not in place; `null` when they are. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Puts the rules in place before it returns. @throws EnforcementError when that is not possible */
  async start(): Promise<void> {
    await this.#install();
    this.#runner.start();
  }

  async stop(): Promise<void> {
    await this.#runner.stop();
  }

  /** Other rules are wanted from now on: they are put in place soon, and tried again until they are. */
  reconfigured(): void {
    this.#outdated = true;
    this.#runner.wake();
  }

  async #install(): Promise<void> {
    await this.#o.install();
    this.#inPlace(this.#o.token());
  }

  #inPlace(token: string | null): void {
    this.#token = token;
    this.#readAt = this.#o.clock.monotonic();
    this.#state = 'in place';
    this.#problem = null;
  }

  async #look(): Promise<void> {
    if (this.#outdated) {
      // Told again meanwhile, it stays outdated.
      this.#outdated = false;
      try {
        await this.#install();
      } catch (error) {
        this.#outdated = true;
        throw error;
      }
      return;
    }
    const token = this.#o.token();
    const age = this.#o.clock.monotonic() - this.#readAt;
    if (token !== null && token === this.#token && age < this.#o.readEvery()) return;
    const found = await this.#o.verify();
    if (found === 'ok') {
      this.#inPlace(token);
      return;
    }
    this.#state = 'missing';
    this.heals.add('rules_missing');
    this.#o.log.warn({ missing: found.missing }, 'rules were removed or moved by somebody; putting them back');
    await this.#install();
  }
}
