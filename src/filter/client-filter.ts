/**
 * Bloom filters of clients, side by side in one array: a client, by 64 bits of a
 * keyed hash, sets eight bits of the filter that it enters.
 */

/** Of one filter: 192 KiB. */
export const FILTER_WORDS = 49_152;
const FILTER_BITS = FILTER_WORDS * 32;
const BITS_PER_CLIENT = 8;

/** Bit `i` of a client in a filter: double hashing (Kirsch and Mitzenmacher), with an odd step. */
function bitOf(h0: number, h1: number, i: number): number {
  return ((h0 + Math.imul(i, h1 | 1)) >>> 0) % FILTER_BITS;
}

export function holds(clients: Int32Array, filter: number, h0: number, h1: number): boolean {
  const base = filter * FILTER_WORDS;
  for (let i = 0; i < BITS_PER_CLIENT; i++) {
    const bit = bitOf(h0, h1, i);
    if (((clients[base + (bit >>> 5)] as number) & (1 << (bit & 31))) === 0) return false;
  }
  return true;
}

export function insert(clients: Int32Array, filter: number, h0: number, h1: number): void {
  const base = filter * FILTER_WORDS;
  for (let i = 0; i < BITS_PER_CLIENT; i++) {
    const bit = bitOf(h0, h1, i);
    const word = base + (bit >>> 5);
    clients[word] = (clients[word] as number) | (1 << (bit & 31));
  }
}

/** About how many are in a filter, by its set bits (Swamidass and Baldi 2007). */
export function clientsIn(clients: Int32Array, filter: number): number {
  let set = 0;
  for (let word = filter * FILTER_WORDS; word < (filter + 1) * FILTER_WORDS; word++) {
    for (let bits = clients[word] as number; bits !== 0; bits &= bits - 1) set += 1;
  }
  return Math.round((-FILTER_BITS / BITS_PER_CLIENT) * Math.log(1 - set / FILTER_BITS));
}
