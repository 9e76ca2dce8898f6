import { isProblem, type Prefix, parsePrefix, prefixOf, widthOf } from '../net/prefix.js';

/** Bits for each term, and how many of them a term sets: about one answer in 200 is a false yes (Bloom 1970). */
const BITS_EACH = 12;
const PROBES = 5;

/**
 * Remembers a set of terms (addresses, networks, signatures, decisions) in few
 * bytes: says "no" for sure, and "perhaps".
 */
export class TermFilter {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  static of(terms: ReadonlySet<string>): TermFilter {
    const bytes = new Uint8Array(Math.max(8, Math.ceil((terms.size * BITS_EACH) / 8)));
    const bits = bytes.length * 8;
    for (const term of terms) {
      let place = hash(term, START);
      const step = hash(term, STEP) | 1;
      for (let i = 0; i < PROBES; i++, place = (place + step) >>> 0) {
        const bit = place % bits;
        bytes[bit >>> 3] = (bytes[bit >>> 3] as number) | (1 << (bit & 7));
      }
    }
    return new TermFilter(bytes);
  }

  mayHold({ place: first, step }: Term): boolean {
    const bits = this.bytes.length * 8;
    if (bits === 0) return false;
    let place = first;
    for (let i = 0; i < PROBES; i++, place = (place + step) >>> 0) {
      const bit = place % bits;
      if (((this.bytes[bit >>> 3] as number) & (1 << (bit & 7))) === 0) return false;
    }
    return true;
  }
}

/** A term that is asked for many times. */
export interface Term {
  readonly place: number;
  readonly step: number;
}

export function termOf(text: string): Term {
  return { place: hash(text, START), step: hash(text, STEP) | 1 };
}

const START = 0x811c9dc5;
const STEP = 0x01234567;

/** FNV-1a from a given start, mixed once more at the end since only the last characters of addresses differ. */
function hash(text: string, start: number): number {
  let h = start;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}

/** Networks around each address that are terms too, so that questions about a network read few blocks. */
const AROUND = { 4: [24, 16], 6: [64, 48] } as const;

/** Adds an address and the networks around it. */
export function addAddress(terms: Set<string>, text: string): void {
  if (terms.has(text)) return;
  terms.add(text);
  const prefix = parsePrefix(text);
  if (isProblem(prefix)) return;
  for (const length of AROUND[prefix.family]) if (length < prefix.length) terms.add(prefixOf(prefix, length).text);
}

/**
 * The terms of which a block has one if it names the address, or an address of
 * the network. The packet filter judges an IPv6 address by its /64.
 * @returns `null` for a network wider than those that are terms: every block may
 */
export function addressTerms(asked: Prefix): readonly string[] | null {
  if (asked.length === widthOf(asked.family)) {
    return asked.family === 4 ? [asked.text] : [asked.text, prefixOf(asked, 64).text];
  }
  const around = AROUND[asked.family].find((length) => length <= asked.length);
  return around === undefined ? null : [prefixOf(asked, around).text];
}
