import type { StoredRecord } from './record.js';

/** How long an unban pardons, in seconds. */
export const PARDON_LIFETIME = 86_400;

/**
 * The value of `barricata:pardon:<address>`; the scripts put their time in for
 * `{at}`. The signatures that had banned are pardoned; when none is known, all
 * are, because the person who unbanned judged the address and not a signature.
 */
export function pardonValue(record: StoredRecord | null, by: string | null, from: string): string {
  const sids = new Set(record?.sids ?? []);
  if (record?.sid != null) sids.add(record.sid);
  return `{"at":{at},"sids":${sids.size > 0 ? JSON.stringify([...sids]) : 'null'},"by":${JSON.stringify(by)},"from":${JSON.stringify(from)}}`;
}
