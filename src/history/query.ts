import { contains, isProblem, type Prefix, parsePrefix, prefixOf, widthOf } from '../net/prefix.js';
import { type AlertKeys, sidKey } from './alert-block.js';
import { KINDS } from './alert-row.js';
import type { ContactRow } from './contact-block.js';
import type { AlertQuery } from './history.js';
import { type Frame, HOUR_MS } from './segment.js';

/** Whether a block or a row answers a question; all pure. */

type Period = Pick<AlertQuery, 'since' | 'until'>;

export function covers({ index }: Frame, { since, until }: Period): boolean {
  return (since === undefined || index.to >= since) && (until === undefined || index.from <= until);
}

export function isWithin({ hour }: ContactRow, { since, until }: Period): boolean {
  return (since === undefined || hour + HOUR_MS > since) && (until === undefined || hour <= until);
}

/** The texts under which one address is found; the packet filter judges an IPv6 address by its /64. `null` for a network. */
function spellings(prefix: Prefix): readonly string[] | null {
  if (prefix.length < widthOf(prefix.family)) return null;
  return prefix.family === 4 ? [prefix.text] : [prefix.text, prefixOf(prefix, 64).text];
}

export function mayHold({ filter }: Frame, address: Prefix | undefined): boolean {
  const texts = address === undefined ? null : spellings(address);
  return texts === null || texts.some((text) => filter.mayHold(text));
}

/** Whether the signature and the decision asked about are in a block at all, together. */
export function wantedBits({ gid = 1, sid, decision }: AlertQuery): (frame: Frame) => boolean {
  const bits = decision === undefined ? -1 : 1 << KINDS.indexOf(decision);
  if (sid !== undefined) {
    const key = sidKey({ gid, sid });
    return ({ index }) => ((index.sids?.[key] ?? 0) & bits) !== 0;
  }
  if (decision === undefined) return () => true;
  return ({ index }) => Object.values(index.sids ?? {}).some((found) => (found & bits) !== 0);
}

/** Tells whether a row's address is the one asked about, or in the network asked about. */
export function namesOf(asked: Prefix): (text: string) => boolean {
  const texts = spellings(asked);
  if (texts !== null) return (text) => texts.includes(text);
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
