import type { EpochMs } from '../base/clock.js';

/** One check that a decision went through, as `why` shows it. */
export interface Step {
  readonly check: string;
  readonly result: string;
  readonly detail: string;
}

export interface RecentDecision {
  readonly at: EpochMs;
  /** ban, would_ban, flag, note, ignore or refused. */
  readonly kind: string;
  /** `sid 2019232 ET WEB_SERVER ...` or the detector. */
  readonly about: string;
  readonly steps: readonly Step[];
}

/** Addresses remembered, and decisions for each. */
const ADDRESSES = 5000;
const EACH = 8;

/**
 * What was decided lately about which address, so that `why` can also say what
 * kept an address from being banned. In memory, of fixed size: the address
 * that was decided about longest ago gives way. The journal in Redis holds every
 * ban; this holds the rest.
 */
export class RecentDecisions {
  readonly #byAddress = new Map<string, RecentDecision[]>();

  add(address: string, decision: RecentDecision): void {
    const known = this.#byAddress.get(address) ?? [];
    this.#byAddress.delete(address);
    known.push(decision);
    if (known.length > EACH) known.shift();
    this.#byAddress.set(address, known);
    if (this.#byAddress.size > ADDRESSES) this.#byAddress.delete(this.#byAddress.keys().next().value as string);
  }

  /** Oldest first. */
  of(address: string): readonly RecentDecision[] {
    return this.#byAddress.get(address) ?? [];
  }
}
