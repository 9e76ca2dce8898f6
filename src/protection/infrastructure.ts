import { type Prefix, prefix } from '../net/prefix.js';
import { PrefixSet } from '../net/prefix-set.js';
import { INFRASTRUCTURE } from './infrastructure-list.js';

const named = new PrefixSet<string>();
for (const [name, prefixes] of INFRASTRUCTURE) {
  for (const text of prefixes.split(' ')) named.set(prefix(text), name);
}

/** The shipped list: public resolvers and root name servers, each with its name. */
export const infrastructure: Iterable<{ readonly prefix: Prefix; readonly value: string }> = named;

/**
 * Whether a prefix is, contains or lies inside shipped infrastructure. Bans
 * without proof never touch these, also where `never_ban` leaves them out.
 * @returns the name (`Google resolver`), or `null`
 */
export function isInfrastructure(target: Prefix): string | null {
  return (named.covering(target) ?? named.inside(target))?.value ?? null;
}
