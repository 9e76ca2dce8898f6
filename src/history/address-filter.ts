/** Bits for each address, and how many of them an address sets: about one answer in 200 is a false yes (Bloom 1970). */
const BITS_EACH = 12;
const PROBES = 5;

/** Remembers a set of addresses in few bytes: says "no" for sure, and "perhaps". */
export class AddressFilter {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  static of(addresses: Iterable<string>, count: number): AddressFilter {
    const bytes = new Uint8Array(Math.max(8, Math.ceil((count * BITS_EACH) / 8)));
    const bits = bytes.length * 8;
    for (const address of addresses) {
      let place = hash(address, 0x811c9dc5);
      const step = hash(address, 0x01234567) | 1;
      for (let i = 0; i < PROBES; i++, place = (place + step) >>> 0) {
        const bit = place % bits;
        bytes[bit >>> 3] = (bytes[bit >>> 3] as number) | (1 << (bit & 7));
      }
    }
    return new AddressFilter(bytes);
  }

  mayHold(address: string): boolean {
    const bits = this.bytes.length * 8;
    if (bits === 0) return false;
    let place = hash(address, 0x811c9dc5);
    const step = hash(address, 0x01234567) | 1;
    for (let i = 0; i < PROBES; i++, place = (place + step) >>> 0) {
      const bit = place % bits;
      if (((this.bytes[bit >>> 3] as number) & (1 << (bit & 7))) === 0) return false;
    }
    return true;
  }
}

/** FNV-1a from a given start, mixed once more at the end since only the last characters of addresses differ. */
function hash(text: string, start: number): number {
  let h = start;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}
