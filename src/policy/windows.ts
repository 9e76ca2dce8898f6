import type { EpochMs, Seconds } from '../base/clock.js';

/** What one initiator's alerts are kept under; numbers where the address fits in one. */
export type InitiatorKey = number | string;
/** One signature; the number alone for the group of ordinary rules. */
export type SignatureKey = number | string;

/** Initiators whose signatures are counted for one policy line. */
const INITIATORS = 20_000;

/**
 * Counts the different signatures of each initiator within a length of time, by
 * the times of the events, so that the same alerts give the same counts whenever
 * they are read. What is kept of an initiator always fits into one window that
 * ends at its newest event: all of it counts, and what is older counts for
 * nothing. At most as many signatures are kept as the line asks for.
 *
 * Bounded: beyond `initiators` the one that was heard of longest ago is
 * forgotten, and that is counted. Its next alert begins anew, so that a full
 * table makes decisions milder.
 */
export class DistinctWindow {
  /** Initiators that were forgotten because there were too many. */
  forgotten = 0;
  readonly #atLeast: number;
  readonly #within: number;
  readonly #most: number;
  /** The one heard of longest ago first. */
  readonly #byInitiator = new Map<InitiatorKey, Map<SignatureKey, EpochMs>>();

  constructor(of: { readonly atLeast: number; readonly within: Seconds }, initiators = INITIATORS) {
    this.#atLeast = of.atLeast;
    this.#within = of.within * 1000;
    this.#most = initiators;
  }

  get size(): number {
    return this.#byInitiator.size;
  }

  /** Adds one alert; the same one again changes nothing. Returns whether there are enough signatures now. */
  add(initiator: InitiatorKey, signature: SignatureKey, at: EpochMs): boolean {
    const times = this.#byInitiator.get(initiator) ?? new Map<SignatureKey, EpochMs>();
    this.#byInitiator.delete(initiator);
    this.#byInitiator.set(initiator, times);
    if (this.#byInitiator.size > this.#most) {
      this.#byInitiator.delete(this.#byInitiator.keys().next().value as InitiatorKey);
      this.forgotten += 1;
    }
    let newest = at;
    for (const time of times.values()) if (time > newest) newest = time;
    const begins = newest - this.#within;
    for (const [known, time] of times) if (time <= begins) times.delete(known);
    // An alert that is read late, from a slower file, may be too old for this window.
    if (at <= begins) return false;
    times.set(signature, Math.max(at, times.get(signature) ?? at));
    if (times.size > this.#atLeast) times.delete(oldest(times));
    return times.size >= this.#atLeast;
  }
}

function oldest(times: ReadonlyMap<SignatureKey, EpochMs>): SignatureKey {
  let found: SignatureKey = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const [signature, time] of times) {
    if (time >= least) continue;
    least = time;
    found = signature;
  }
  return found;
}
