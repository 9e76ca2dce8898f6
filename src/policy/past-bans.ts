import type { EpochMs } from '../base/clock.js';
import { type Prefix, prefixOf, widthOf } from '../net/prefix.js';

/** One proven automatic ban that was made. */
export interface PastBan {
  /** Canonical prefix text. */
  readonly prefix: string;
  /** When the event happened that it was made for. */
  readonly madeAt: EpochMs;
  /** When it ends, or ended. */
  readonly until: EpochMs;
}

const OFFENDERS = 100_000;
/** Bans of one offender; the store keeps as many. */
export const KEPT_OF_EACH = 64;

/** Whom the bans of a host count against: an IPv4 address, or the /64 of an IPv6 address, whose holder takes any of it. */
export function offenderOf(host: Prefix): Prefix {
  return host.family === 6 && host.length === widthOf(6) ? prefixOf(host, 64) : host;
}

/**
 * The bans made of each offender: as read from the blocklist, and those of the
 * decisions since. A replay, which has no blocklist, begins with an empty one.
 * Bounded: beyond `offenders` the one that was heard of longest ago is forgotten.
 */
export class PastBans {
  readonly #most: number;
  readonly #byOffender = new Map<string, readonly PastBan[]>();

  constructor(offenders = OFFENDERS) {
    this.#most = offenders;
  }

  /** In no order. @param offender canonical prefix text */
  of(offender: string): readonly PastBan[] {
    return this.#byOffender.get(offender) ?? [];
  }

  set(offender: string, bans: readonly PastBan[]): void {
    this.#byOffender.delete(offender);
    this.#byOffender.set(offender, bans.length > KEPT_OF_EACH ? bans.slice(-KEPT_OF_EACH) : bans);
    if (this.#byOffender.size > this.#most) {
      this.#byOffender.delete(this.#byOffender.keys().next().value as string);
    }
  }

  /** A ban was made; of a prefix that is banned already it is an extension, and no further ban. */
  add(offender: string, made: PastBan): void {
    const bans = this.of(offender);
    const living = bans.findIndex((ban) => ban.prefix === made.prefix && ban.until > made.madeAt);
    const known = bans[living];
    if (known === undefined) this.set(offender, [...bans, made]);
    else if (made.until > known.until) this.set(offender, bans.with(living, { ...known, until: made.until }));
  }
}
