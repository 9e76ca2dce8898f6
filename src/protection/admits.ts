/**
 * protection: which prefixes may never be banned, decided by one pure function
 * that every set backend calls inside `add`. The facts it judges by come from
 * the configuration, from the live machine (`live-facts`) and from
 * `barricata:allow:*`; whoever holds newer facts passes newer facts.
 */
import { type Address, parseAddress } from '../net/address.js';
import { contains, hostPrefix, overlaps, type Prefix, prefix, widthOf } from '../net/prefix.js';
import { PrefixSet } from '../net/prefix-set.js';

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

/** Prefixes that can be searched by containment; `PrefixSet` is one. */
export type Containment<Value> = Pick<PrefixSet<Value>, 'covering' | 'inside'>;

/** Everything that `admits` judges by; replaced as a whole when something other than `allowed` changes. */
export interface ProtectionFacts {
  readonly protected: PrefixSet<Protection>;
  /** The living `barricata:allow:*` entries, kept up to date in place by their owner. */
  readonly allowed: Containment<unknown> | null;
  readonly bannablePrivate: readonly Prefix[];
  readonly widest: { readonly ipv4: number; readonly ipv6: number };
}

const SPECIAL = new PrefixSet<string>();
for (const [text, what] of [
  ['0.0.0.0/8', 'addresses of "this network"'],
  ['127.0.0.0/8', 'loopback addresses'],
  ['169.254.0.0/16', 'link-local addresses'],
  ['224.0.0.0/4', 'multicast addresses'],
  ['240.0.0.0/4', 'reserved addresses'],
  ['::', 'the unspecified address'],
  ['::1', 'the loopback address'],
  ['fe80::/10', 'link-local addresses'],
  ['ff00::/8', 'multicast addresses'],
] as const) {
  SPECIAL.set(prefix(text), what);
}

/** RFC 1918 and RFC 4193. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'].map(prefix);
/** RFC 6598: addresses behind a provider's translator. */
const SHARED = prefix('100.64.0.0/10');

function relation(of: Prefix, to: Prefix): string {
  if (of.text === to.text) return 'is';
  return contains(of, to) ? 'contains' : 'lies inside';
}

/** An entry that contains the target or lies inside it. Inside a single host lies only itself, which contains it too. */
function touching<Value>(set: Containment<Value>, target: Prefix): { prefix: Prefix; value: Value } | null {
  return set.covering(target) ?? (target.length === widthOf(target.family) ? null : set.inside(target));
}

/**
 * Judges a ban. Every source of bans is judged alike, redis-cli included.
 * @returns why it is refused, or `null` when it may be banned
 */
export function admits(target: Prefix, facts: ProtectionFacts): Refusal | null {
  const special = touching(SPECIAL, target);
  if (special !== null) {
    const detail = `${relation(target, special.prefix)} ${special.value} ${special.prefix.text}`;
    return { cause: 'special', detail };
  }
  const guarded = touching(facts.protected, target);
  if (guarded !== null) {
    const { cause, what } = guarded.value;
    return { cause, detail: `${relation(target, guarded.prefix)} ${what} ${guarded.prefix.text}` };
  }
  const allowed = facts.allowed === null ? null : touching(facts.allowed, target);
  if (allowed !== null) {
    return { cause: 'allowed', detail: `${relation(target, allowed.prefix)} allow entry ${allowed.prefix.text}` };
  }
  const widest = target.family === 4 ? facts.widest.ipv4 : facts.widest.ipv6;
  if (target.length < widest) {
    return { cause: 'too_wide', detail: `is wider than limits.widest, which is /${widest} for IPv${target.family}` };
  }
  const range = PRIVATE.find((network) => overlaps(network, target));
  if (range !== undefined && !facts.bannablePrivate.some((network) => contains(network, target))) {
    const detail = `${relation(target, range)} private network ${range.text}, and bannable_private does not list it`;
    return { cause: 'private', detail };
  }
  return null;
}

/** What a person should know about a ban that is admitted, or `null`. */
export function warning(target: Prefix): string | null {
  if (!overlaps(SHARED, target)) return null;
  return `${target.text} is behind a provider's address translation (${SHARED.text}): other people may share it`;
}

/**
 * What a ban would do to the person who types it.
 * @param sshConnection the value of `$SSH_CONNECTION` (or `$SSH_CLIENT`): the client's address comes first
 * @returns `it contains this ssh session (10.4.1.7)`, or `null`
 */
export function lockout(target: Prefix, sshConnection: string | undefined): string | null {
  const peer = sshPeer(sshConnection ?? '');
  return peer !== null && contains(target, hostPrefix(peer)) ? `it contains this ssh session (${peer})` : null;
}

/** The client's address in a value of `$SSH_CONNECTION`; a zone (`%eth0`) is taken off. */
export function sshPeer(sshConnection: string): Address | null {
  return parseAddress(sshConnection.split(' ', 1)[0]?.replace(/%.*$/, ''));
}
