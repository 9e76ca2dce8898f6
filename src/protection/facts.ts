import type { EpochMs } from '../base/clock.js';
import type { Config } from '../config/config.js';
import type { Address } from '../net/address.js';
import { hostPrefix, type Prefix } from '../net/prefix.js';
import { PrefixSet } from '../net/prefix-set.js';
import type { Containment, Protection, ProtectionFacts } from './admits.js';
import { infrastructure } from './infrastructure.js';

/** An address that is protected because of what it is to this machine. */
export interface LiveAddress {
  readonly address: Address;
  /** `own address of this machine`, `gateway`, `resolver`, `ssh session of root`, `Redis server`. */
  readonly what: string;
}

/**
 * What `admits` judges by, from the configuration and what is true now. Costs a
 * few hundred insertions, so it is made anew whenever something changes; a
 * prefix that is protected twice keeps the reason that comes first: home, this
 * machine, listed, infrastructure.
 *
 * @param live protected only where `never_ban` has `this_machine`
 * @param allowed the `barricata:allow:*` entries; read at each judgement, so their owner changes it in place
 * @param now listed networks whose `until` is past protect no more
 */
export function protectionFacts(
  config: Pick<Config, 'home' | 'neverBan' | 'bannablePrivate' | 'limits' | 'suricata'>,
  live: readonly LiveAddress[],
  allowed: Containment<unknown> | null,
  now: EpochMs,
): ProtectionFacts {
  const guarded = new PrefixSet<Protection>();
  const add = (prefix: Prefix, cause: Protection['cause'], what: string) => {
    if (guarded.get(prefix) === undefined) guarded.set(prefix, { cause, what });
  };
  const { neverBan } = config;
  if (neverBan.home) for (const network of config.home) add(network, 'home', 'home network');
  if (neverBan.thisMachine) {
    for (const { address, what } of live) add(hostPrefix(address), 'this_machine', what);
  }
  for (const { prefix, reason, ticket, until } of neverBan.listed) {
    if (until !== null && until <= now) continue;
    add(prefix, 'listed', `never_ban entry (${ticket === null ? reason : `${reason}, ${ticket}`})`);
  }
  for (const proxy of config.suricata.trustedProxies) add(proxy, 'listed', 'trusted proxy');
  if (neverBan.infrastructure) for (const { prefix, value } of infrastructure) add(prefix, 'infrastructure', value);
  return {
    protected: guarded,
    allowed,
    bannablePrivate: config.bannablePrivate,
    widest: config.limits.widest,
  };
}

/** When the next listed network stops being protected, so that the facts are made anew then; `null` = never. */
export function nextExpiry(config: Pick<Config, 'neverBan'>, now: EpochMs): EpochMs | null {
  const ends = config.neverBan.listed.flatMap(({ until }) => (until !== null && until > now ? [until] : []));
  return ends.length === 0 ? null : Math.min(...ends);
}
