/** Milliseconds since 1970-01-01 UTC, may jump when the administrator sets the clock. */
export type EpochMs = number & { readonly __unit?: 'EpochMs' };
/** A length of time in whole or fractional seconds. */
export type Seconds = number & { readonly __unit?: 'Seconds' };

/** An end in time that never comes: a permanent entry. Compares later than every `EpochMs`. */
export const FOREVER = Number.POSITIVE_INFINITY;

/** Time as the program sees it; tests pass one they can move. */
export interface Clock {
  /** Wall clock. */
  now(): EpochMs;
  /** Milliseconds that only ever grow, from an arbitrary start. */
  monotonic(): number;
  /** Calls `run` once after `ms`; the returned function cancels it. */
  after(ms: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
