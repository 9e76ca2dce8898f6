import { isDeepStrictEqual } from 'node:util';
import type { PolicyConditions, Side } from '../config/config.js';
import { contains, type Prefix, prefixOf, widthOf } from '../net/prefix.js';
import { protoName } from '../suricata/eve-alert.js';
import { plain } from './match.js';

/** Inclusive, in order, apart from each other. */
export type Ranges = readonly (readonly [number, number])[];

/**
 * Whether every alert that meets `narrow` meets `wide` too: a line with the
 * conditions `narrow` is never reached after one with `wide`. Says yes only
 * where that follows from the conditions alone; a regular expression, for
 * one, is only known to hold what is written the same.
 *
 * @param home the networks that `home` means; this machine's own addresses count as home too and are not known here
 */
export function implies(narrow: PolicyConditions, wide: PolicyConditions, home: readonly Prefix[]): boolean {
  if (meetsNothing(narrow)) return true;
  return (Object.keys(wide) as (keyof PolicyConditions)[]).every((key) => {
    switch (key) {
      case 'sid':
      case 'sidRange':
        return within(sidsOf(narrow), sidsOf(wide));
      case 'severity':
        return narrow.severity !== undefined && within([narrow.severity], [wide.severity ?? [0, -1]]);
      case 'destPort':
        return narrow.destPort !== undefined && within(merged(narrow.destPort), merged(wide.destPort ?? []));
      case 'category':
      case 'appProto':
        return amongTexts(narrow[key], wide[key] ?? [], plain);
      case 'proto':
        return amongTexts(narrow.proto, wide.proto ?? [], protoName);
      case 'from':
      case 'to':
        return narrow[key] !== undefined && sideWithin(narrow[key], wide[key] as Side, home);
      case 'signature':
        return narrow.signature?.every((one) => (wide.signature ?? []).some((other) => holds(one, other))) === true;
      case 'meta':
        return Object.entries(wide.meta ?? {}).every(([name, values]) =>
          amongTexts(narrow.meta?.[name], values, plain),
        );
      case 'internal':
        // `ban` asks for the same alerts as `true`.
        return narrow.internal !== undefined && (narrow.internal === false) === (wide.internal === false);
      case 'distinctSids':
        return narrow.distinctSids !== undefined && isSooner(wide.distinctSids, narrow.distinctSids);
      default:
        return isDeepStrictEqual(narrow[key], wide[key]);
    }
  });
}

/** Whether the conditions contradict each other, so that no alert meets them. */
export function meetsNothing(when: PolicyConditions): boolean {
  return (when.sid !== undefined || when.sidRange !== undefined) && sidsOf(when).length === 0;
}

/** The sids that both `sid` and `sid_range` let through; everything where neither is given. */
export function sidsOf({ sid, sidRange }: Pick<PolicyConditions, 'sid' | 'sidRange'>): Ranges {
  const single = sid?.map((one) => [one, one] as const);
  if (single === undefined) return sidRange === undefined ? [[0, Number.POSITIVE_INFINITY]] : merged(sidRange);
  return merged(single.filter(([one]) => sidRange?.some(([first, last]) => one >= first && one <= last) ?? true));
}

export function merged(ranges: Ranges): Ranges {
  const result: [number, number][] = [];
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const before = result.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else if (first <= last) result.push([first, last]);
  }
  return result;
}

type Several = PolicyConditions['distinctSids'];

/** Whether the first has counted enough whenever the second has: it sees every alert that the second sees. */
function isSooner(one: Several, other: NonNullable<Several>): boolean {
  return one !== undefined && one.atLeast <= other.atLeast && one.within >= other.within;
}

/** Whether each range of one list lies in a range of the other; exact where the other is `merged`. */
export function within(narrow: Ranges, wide: Ranges): boolean {
  return narrow.every(([first, last]) => wide.some((range) => first >= range[0] && last <= range[1]));
}

/** Every text of the narrow list is one of the wide list. */
function amongTexts(
  narrow: readonly string[] | undefined,
  wide: readonly string[],
  normal: (text: string) => string,
): boolean {
  if (narrow === undefined) return false;
  const known = new Set(wide.map(normal));
  return narrow.map(normal).every((text) => known.has(text));
}

function sideWithin(narrow: Side, wide: Side, home: readonly Prefix[]): boolean {
  if (typeof wide !== 'string') {
    const inner = typeof narrow === 'string' ? EVERYWHERE : narrow.networks;
    return inner.every((network) => covered(network, wide.networks));
  }
  if (typeof narrow === 'string') return narrow === wide;
  return wide === 'home' && narrow.networks.every((network) => covered(network, home));
}

export const EVERYWHERE: readonly Prefix[] = ([4, 6] as const).map((family) =>
  prefixOf({ family, w0: 0, w1: 0, w2: 0, w3: 0 }, 0),
);

/** Whether the networks together hold every address of one. */
export function covered(one: Prefix, networks: readonly Prefix[]): boolean {
  if (networks.some((network) => contains(network, one))) return true;
  const inner = networks.filter((network) => contains(one, network));
  if (inner.length < 2 || one.length === widthOf(one.family)) return false;
  const low = prefixOf(one, one.length + 1);
  return covered(low, inner) && covered(upperHalf(low), inner);
}

/** The other half of what is twice as wide as `low`. */
function upperHalf(low: Prefix): Prefix {
  const words = [low.w0, low.w1, low.w2, low.w3];
  const bit = low.length - 1;
  words[bit >> 5] = (words[bit >> 5] as number) | (1 << (31 - (bit & 31)));
  const [w0, w1, w2, w3] = words as [number, number, number, number];
  return prefixOf({ family: low.family, w0, w1, w2, w3 }, low.length);
}

/** Whether every signature that has `one` has `other`. */
function holds(one: string | RegExp, other: string | RegExp): boolean {
  if (typeof one === 'string' && typeof other === 'string') return one.toLowerCase().includes(other.toLowerCase());
  return typeof one !== 'string' && typeof other !== 'string' && String(one) === String(other);
}
