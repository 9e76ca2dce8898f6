import { contains, isProblem, type Prefix, parsePrefix, widthOf } from '../net/prefix.js';
import { type AlertKeys, kindTerm, sidTerm } from './alert-block.js';
import { KINDS } from './alert-row.js';
import type { ContactRow } from './contact-block.js';
import type { AlertQuery } from './history.js';
import { type Frame, HOUR_MS } from './segment.js';
import { addressTerms, termOf } from './term-filter.js';

/** Whether a block or a row answers a question; all pure. */

type Period = Pick<AlertQuery, 'since' | 'until'>;

export function covers({ index }: Frame, { since, until }: Period): boolean {
  return (since === undefined || index.to >= since) && (until === undefined || index.from <= until);
}

export function isWithin({ hour }: ContactRow, { since, until }: Period): boolean {
  return (since === undefined || hour + HOUR_MS > since) && (until === undefined || hour <= until);
}

/** Whether a block may have rows with the address, the signature and the decision asked about. */
export function mayAnswer({ address, gid = 1, sid, decision }: AlertQuery): (frame: Frame) => boolean {
  const texts = address === undefined ? null : addressTerms(address);
  const addresses = texts?.map(termOf) ?? null;
  const what =
    sid !== undefined
      ? termOf(sidTerm({ gid, sid }, decision))
      : decision !== undefined
        ? termOf(kindTerm(decision))
        : null;
  return ({ filter }) =>
    (what === null || filter.mayHold(what)) &&
    (addresses === null || addresses.some((address) => filter.mayHold(address)));
}

/** Tells whether a row's address is the one asked about, or in the network asked about. */
export function namesOf(asked: Prefix): (text: string) => boolean {
  if (asked.length === widthOf(asked.family)) {
    const texts = addressTerms(asked);
    return (text) => texts?.includes(text) ?? false;
  }
  return (text) => {
    const prefix = parsePrefix(text);
    return !isProblem(prefix) && contains(asked, prefix);
  };
}

/** Places of the rows that match, oldest first. */
export function matching(keys: AlertKeys, query: AlertQuery): number[] {
  const { since = 0, until = Number.POSITIVE_INFINITY, address, judged = false, gid = 1, sid, decision } = query;
  const kind = decision === undefined ? -1 : KINDS.indexOf(decision);
  const wanted = new Set<number>();
  if (address !== undefined) {
    const names = namesOf(address);
    keys.addresses.forEach((text, i) => {
      if (names(text)) wanted.add(i + 1);
    });
    if (wanted.size === 0) return [];
  }
  const found: number[] = [];
  for (let i = 0; i < keys.rows; i++) {
    const first = keys.first[i] as number;
    if (first > until || first + (keys.span[i] as number) < since) continue;
    if (kind >= 0 && keys.kind[i] !== kind) continue;
    if (sid !== undefined && (keys.sid[i] !== sid || keys.gid[i] !== gid)) continue;
    const isNamed =
      address === undefined ||
      wanted.has(keys.candidate[i] as number) ||
      (!judged && (wanted.has(keys.src[i] as number) || wanted.has(keys.dest[i] as number)));
    if (isNamed) found.push(i);
  }
  return found;
}
