import { type AddressWords, formatWords } from '../net/address.js';

/**
 * What an address is by its own bits, as far as deciding needs it. `host` is an
 * ordinary address; the others are no remote host that a ban could stop, or
 * carry another address inside.
 */
export type AddressKind =
  | 'host'
  | 'loopback'
  | 'link_local'
  | 'multicast'
  | 'broadcast'
  | 'unspecified'
  | 'reserved'
  | 'teredo'
  | 'six_to_four'
  | 'nat64'
  | 'ipv4_embedded';

/**
 * Whether the address stands for an IPv4 host behind a relay or a translator. The
 * protections do not know that host by this name, and its /64 holds many others,
 * for NAT64 the whole of IPv4.
 */
export function carriesIpv4(kind: AddressKind): boolean {
  return kind === 'teredo' || kind === 'six_to_four' || kind === 'nat64' || kind === 'ipv4_embedded';
}

/** IANA special-purpose registries (RFC 6890), reduced to what makes a difference for a decision. */
export function kindOf({ family, w0, w1, w2, w3 }: AddressWords): AddressKind {
  return family === 4 ? kindOfIpv4(w0) : kindOfIpv6(w0, w1, w2, w3);
}

function kindOfIpv4(word: number): AddressKind {
  const first = word >>> 24;
  if (first === 127) return 'loopback';
  if (first === 0) return 'unspecified';
  if (word >>> 16 === 0xa9fe) return 'link_local';
  if (first >= 224 && first < 240) return 'multicast';
  if (word === -1) return 'broadcast';
  if (first >= 240) return 'reserved';
  return 'host';
}

function kindOfIpv6(w0: number, w1: number, w2: number, w3: number): AddressKind {
  if (w0 === 0 && w1 === 0 && w2 === 0) {
    if (w3 === 0) return 'unspecified';
    if (w3 === 1) return 'loopback';
    return 'ipv4_embedded';
  }
  // ::ffff:0:a.b.c.d; ::ffff:a.b.c.d is read as IPv4 before anything looks at it.
  if (w0 === 0 && w1 === 0 && w2 === -0x1_0000) return 'ipv4_embedded';
  if (w0 === 0x0064_ff9b && ((w1 === 0 && w2 === 0) || w1 >>> 16 === 1)) return 'nat64';
  if (w0 >>> 24 === 0xff) return 'multicast';
  if (w0 >>> 22 === 0xfe80 >>> 6) return 'link_local';
  if (w0 === 0x2001_0000) return 'teredo';
  return w0 >>> 16 === 0x2002 ? 'six_to_four' : 'host';
}

/** Addresses that are never a remote host on the wire (CONTRACT: special addresses). */
export function isSpecialKind(kind: AddressKind): boolean {
  switch (kind) {
    case 'loopback':
    case 'link_local':
    case 'multicast':
    case 'broadcast':
    case 'unspecified':
    case 'reserved':
      return true;
    case 'host':
    case 'teredo':
    case 'six_to_four':
    case 'nat64':
    case 'ipv4_embedded':
      return false;
  }
}

/**
 * The IPv4 address inside a Teredo (RFC 4380, inverted), 6to4 (RFC 3056) or NAT64
 * (RFC 6052) address or an old form (RFC 4291, RFC 2765); `null` for other kinds,
 * and for local-use NAT64, whose prefix may have any of several lengths.
 */
export function embeddedIpv4(words: AddressWords): string | null {
  const { w0, w1, w3 } = words;
  const ipv4 = (w: number) => formatWords({ family: 4, w0: w, w1: 0, w2: 0, w3: 0 });
  switch (kindOf(words)) {
    case 'teredo':
      return ipv4(~w3);
    case 'six_to_four':
      return ipv4((w0 << 16) | (w1 >>> 16));
    case 'nat64':
      return w1 === 0 ? ipv4(w3) : null;
    case 'ipv4_embedded':
      return ipv4(w3);
    default:
      return null;
  }
}
