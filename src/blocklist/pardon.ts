import { prefix } from '../net/prefix.js';
import { offenderOf } from '../policy/past-bans.js';
import type { Keys } from './keys.js';
import type { StoredRecord } from './record.js';

/** How long an unban pardons, in seconds. */
const PARDON_LIFETIME = 86_400;

/** What the scripts take as the arguments of `pardon`: pardon key, value, lifetime, offence key, its member. */
export type PardonArgs = readonly [key: string, value: string, lifetime: number, offences: string, member: string];

export const NO_PARDON: PardonArgs = ['', '', 0, '', ''];

/**
 * What a person's unban of this canonical prefix leaves behind: a pardon, and
 * the offence that the ban counted as is taken back. Where the ban is not known
 * any more, or was that of a whole /64, every offence of the offender is.
 *
 * @param record what is known of the ban
 */
export function pardonOf(
  keys: Keys,
  text: string,
  record: StoredRecord | null,
  who: { readonly by: string | null; readonly from: string },
): PardonArgs {
  const of = prefix(text);
  const offender = offenderOf(of);
  const isWide = of.family === 6 && of.length === 64;
  // A ban by hand was no offence; of an automatic one the first alert says which.
  const member = record === null || (isWide && record.source === 'suricata') ? '*' : `${record.first} ${text}`;
  return [keys.pardon(text), pardonValue(record, who), PARDON_LIFETIME, keys.offence(offender.text), member];
}

/**
 * The value of `barricata:pardon:<address>`; the scripts put their time in for
 * `{at}`. The signatures that had banned are pardoned; when none is known, all
 * are, because the person who unbanned judged the address and not a signature.
 */
function pardonValue(
  record: StoredRecord | null,
  { by, from }: { readonly by: string | null; readonly from: string },
): string {
  const sids = new Set(record?.sids ?? []);
  if (record?.sid != null) sids.add(record.sid);
  return `{"at":{at},"sids":${sids.size > 0 ? JSON.stringify([...sids]) : 'null'},"by":${JSON.stringify(by)},"from":${JSON.stringify(from)}}`;
}
