/**
 * net: addresses, prefixes and packet headers as pure values. Everything that
 * comes from a log, a packet, Redis or a person passes through here before
 * anything looks at it, so that one address has one spelling inside Barricata.
 */

declare const addressBrand: unique symbol;

/**
 * One IPv4 or IPv6 address in its canonical text: dotted decimal, or RFC 5952
 * for IPv6. An IPv4-mapped IPv6 address (`::ffff:1.2.3.4`) is the IPv4 address.
 */
export type Address = string & { readonly [addressBrand]: true };

export type Family = 4 | 6;

/** An address as numbers: four 32-bit words (signed), network order; IPv4 uses only `w0`. */
export interface AddressWords {
  readonly family: Family;
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
}

/** Reads four decimal octets from `start`; no sign, no leading zero (inet_aton would read octal). -1 when malformed. */
function parseIpv4(text: string, start: number): number {
  let word = 0;
  let octet = -1;
  let digits = 0;
  let octets = 0;
  for (let i = start; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : 46;
    if (code >= 48 && code <= 57) {
      if (digits === 1 && octet === 0) return Number.NaN;
      octet = digits === 0 ? code - 48 : octet * 10 + code - 48;
      digits += 1;
      if (octet > 255) return Number.NaN;
    } else if (code === 46) {
      if (digits === 0 || octets === 4) return Number.NaN;
      word = (word << 8) | octet;
      octets += 1;
      digits = 0;
      octet = -1;
    } else return Number.NaN;
  }
  return octets === 4 ? word : Number.NaN;
}

function parseIpv6(text: string): AddressWords | null {
  const groups: number[] = [];
  let gap = -1;
  let i = 0;
  if (text.startsWith('::')) {
    gap = 0;
    i = 2;
  } else if (text.startsWith(':')) return null;
  while (i < text.length) {
    if (groups.length === 8) return null;
    let end = i;
    let group = 0;
    while (end < text.length && end - i < 5) {
      const digit = hexDigit(text.charCodeAt(end));
      if (digit < 0) break;
      group = (group << 4) | digit;
      end += 1;
    }
    if (end < text.length && text.charCodeAt(end) === 46) {
      const tail = parseIpv4(text, i);
      if (Number.isNaN(tail) || groups.length > 6) return null;
      groups.push(tail >>> 16, tail & 0xffff);
      i = text.length;
      break;
    }
    if (end === i || end - i > 4) return null;
    groups.push(group);
    if (end === text.length) {
      i = end;
      break;
    }
    if (text.charCodeAt(end) !== 58) return null;
    i = end + 1;
    if (i === text.length) return null;
    if (text.charCodeAt(i) === 58) {
      if (gap >= 0) return null;
      gap = groups.length;
      i += 1;
    }
  }
  if (gap < 0 ? groups.length !== 8 : groups.length > 7) return null;
  if (gap >= 0) groups.splice(gap, 0, ...new Array<number>(8 - groups.length).fill(0));
  const word = (at: number) => ((groups[at] as number) << 16) | (groups[at + 1] as number);
  return { family: 6, w0: word(0), w1: word(2), w2: word(4), w3: word(6) };
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** The IPv4 address inside `::ffff:0:0/96`, or the words as they are. */
export function unmapped(words: AddressWords): AddressWords {
  if (words.family === 6 && words.w0 === 0 && words.w1 === 0 && words.w2 === 0xffff) {
    return { family: 4, w0: words.w3, w1: 0, w2: 0, w3: 0 };
  }
  return words;
}

/** Reads any RFC 4291 or dotted-decimal spelling, without a mask or a zone. `null` when it is none. */
export function parseWords(text: string): AddressWords | null {
  if (text.length < 2 || text.length > 45) return null;
  if (text.includes(':')) return parseIpv6(text);
  const word = parseIpv4(text, 0);
  return Number.isNaN(word) ? null : { family: 4, w0: word, w1: 0, w2: 0, w3: 0 };
}

/** Writes words in canonical text: dotted decimal, or RFC 5952 section 4. */
export function formatWords(words: AddressWords): string {
  const { w0 } = words;
  if (words.family === 4) return `${w0 >>> 24}.${(w0 >>> 16) & 255}.${(w0 >>> 8) & 255}.${w0 & 255}`;
  const groups = [words.w0, words.w1, words.w2, words.w3].flatMap((w) => [w >>> 16, w & 0xffff]);
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === 0) run += 1;
    if (run > bestLength) {
      best = i;
      bestLength = run;
    }
    if (run > 0) i += run - 1;
  }
  const hex = (part: number[]) => part.map((g) => g.toString(16)).join(':');
  return best < 0 ? hex(groups) : `${hex(groups.slice(0, best))}::${hex(groups.slice(best + bestLength))}`;
}

/** Reads one address in any spelling and gives its canonical text; `null` when it is not an address. */
export function parseAddress(text: unknown): Address | null {
  if (typeof text !== 'string') return null;
  const words = parseWords(text);
  return words === null ? null : (formatWords(unmapped(words)) as Address);
}
