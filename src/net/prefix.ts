import { type Address, type AddressWords, formatWords, parseWords, unmapped } from './address.js';

/**
 * A network or a single host. `text` is canonical: the address alone for a
 * host, `address/length` otherwise; two prefixes are equal exactly when their
 * texts are. Host bits are zero.
 */
export interface Prefix extends AddressWords {
  /** 0..32 for IPv4, 0..128 for IPv6. */
  readonly length: number;
  readonly text: string;
}

export type PrefixProblem =
  | { readonly problem: 'not_an_address'; readonly detail: string }
  | { readonly problem: 'bad_length'; readonly detail: string }
  /** `corrected` is what the writer probably meant. */
  | { readonly problem: 'host_bits'; readonly detail: string; readonly corrected: string };

/** The number of bits of a whole address of this family. */
export function widthOf(family: 4 | 6): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** 32-bit mask of word `index` (0..3) for a prefix of `length` bits. */
function maskWord(length: number, index: number): number {
  const bits = Math.min(32, Math.max(0, length - 32 * index));
  return bits === 0 ? 0 : -1 << (32 - bits);
}

/** The prefix of `length` bits that holds this address; host bits are cleared. */
export function prefixOf(words: AddressWords, length: number): Prefix {
  const masked: AddressWords = {
    family: words.family,
    w0: words.w0 & maskWord(length, 0),
    w1: words.w1 & maskWord(length, 1),
    w2: words.w2 & maskWord(length, 2),
    w3: words.w3 & maskWord(length, 3),
  };
  const address = formatWords(masked);
  return { ...masked, length, text: length === widthOf(words.family) ? address : `${address}/${length}` };
}

/** The prefix that is exactly this address. */
export function hostPrefix(address: Address): Prefix {
  return wholeOf(parseWords(address) as AddressWords, address);
}

function wholeOf({ family, w0, w1, w2, w3 }: AddressWords, text: string): Prefix {
  return { family, w0, w1, w2, w3, length: widthOf(family), text };
}

/** Reads one address in any spelling as the prefix that is exactly it; `null` when it is not an address. */
export function parseHost(text: unknown): Prefix | null {
  if (typeof text !== 'string') return null;
  const words = parseWords(text);
  if (words === null) return null;
  // Dotted decimal has one spelling only.
  if (words.family === 4) return wholeOf(words, text);
  const host = unmapped(words);
  return wholeOf(host, formatWords(host));
}

/**
 * Reads `address` or `address/length` in any spelling. IPv4-mapped networks of
 * at least /96 become IPv4. Set host bits are refused, with the corrected form.
 */
export function parsePrefix(text: string): Prefix | PrefixProblem {
  const slash = text.indexOf('/');
  const words = parseWords(slash < 0 ? text : text.slice(0, slash));
  if (words === null) return { problem: 'not_an_address', detail: 'not an IPv4 or IPv6 address or network' };
  const digits = slash < 0 ? null : text.slice(slash + 1);
  if (digits === null) {
    // Dotted decimal has one spelling only, so nothing need be written anew.
    if (words.family === 4) return wholeOf(words, text);
    const host = unmapped(words);
    return wholeOf(host, formatWords(host));
  }
  const written = /^\d{1,3}$/.test(digits) ? Number(digits) : -1;
  // A network that is wider than all mapped addresses is one of IPv6.
  const plain = written >= 0 && written < 96 ? words : unmapped(words);
  const width = widthOf(plain.family);
  const length = plain === words ? written : written - 96;
  if (length < 0 || length > width) {
    return { problem: 'bad_length', detail: `"/${digits}" is not a prefix length of IPv${words.family}` };
  }
  const prefix = prefixOf(plain, length);
  if (prefix.w0 !== plain.w0 || prefix.w1 !== plain.w1 || prefix.w2 !== plain.w2 || prefix.w3 !== plain.w3) {
    return {
      problem: 'host_bits',
      detail: `host bits are set; the network is ${prefix.text}`,
      corrected: prefix.text,
    };
  }
  return prefix;
}

export function isProblem(result: Prefix | PrefixProblem): result is PrefixProblem {
  return 'problem' in result;
}

/** Reads a prefix that the program itself wrote; throws on anything else. */
export function prefix(text: string): Prefix {
  const result = parsePrefix(text);
  if (isProblem(result)) throw new TypeError(`${text}: ${result.detail}`);
  return result;
}

/** Whether `outer` holds every address of `inner` (also when they are equal). */
export function contains(outer: Prefix, inner: AddressWords & { readonly length: number }): boolean {
  const { length } = outer;
  return (
    outer.family === inner.family &&
    length <= inner.length &&
    outer.w0 === (inner.w0 & maskWord(length, 0)) &&
    (length <= 32 ||
      (outer.w1 === (inner.w1 & maskWord(length, 1)) &&
        outer.w2 === (inner.w2 & maskWord(length, 2)) &&
        outer.w3 === (inner.w3 & maskWord(length, 3))))
  );
}

/** Whether the two share an address. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return contains(a, b) || contains(b, a);
}
