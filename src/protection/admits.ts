/**
 * protection: which prefixes may never be banned, decided by one pure function
 * that every set backend calls inside `add`. The facts it judges by come from
 * the configuration, from the live machine (`live-facts`) and from
 * `barricata:allow:*`; whoever holds newer facts passes newer facts.
 */
import type { Prefix } from '../net/prefix.js';
import type { PrefixSet } from '../net/prefix-set.js';

export type RefusalCause =
  /** An address that is never a host on the wire: loopback, multicast, link-local... (CONTRACT: special addresses). */
  | 'special'
  | 'home'
  /** Own addresses, gateways, resolvers, the Redis server, peers of authenticated SSH sessions. */
  | 'this_machine'
  | 'infrastructure'
  /** A network listed under `never_ban`. */
  | 'listed'
  /** A `barricata:allow:*` key. */
  | 'allowed'
  /** Shorter than `limits.widest`. */
  | 'too_wide'
  /** A private network outside `home` that is not in `bannable_private`. */
  | 'private';

export interface Refusal {
  readonly cause: RefusalCause;
  /** One sentence that names the entry: `contains home network 10.0.0.0/8`. */
  readonly detail: string;
}

/** Why a prefix is protected. */
export interface Protection {
  readonly cause: RefusalCause;
  /** What the protected prefix is: `home network`, `default gateway`, `ssh session of root`. */
  readonly what: string;
}

/** Everything that `admits` judges by; immutable, replaced as a whole when something changes. */
export interface ProtectionFacts {
  readonly protected: PrefixSet<Protection>;
  readonly bannablePrivate: readonly Prefix[];
  readonly widest: { readonly ipv4: number; readonly ipv6: number };
}
