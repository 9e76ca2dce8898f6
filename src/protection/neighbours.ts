import { closeSync, openSync, readSync } from 'node:fs';
import { endianness } from 'node:os';
import { type Address, formatWords, parseAddress } from '../net/address.js';
import { addressOfHex } from './own-addresses.js';

/** Routers with a full table have a million lines; gateways repeat, and the default route comes first. */
const MOST_ROUTE_BYTES = 512 * 1024;

/**
 * The gateways in the text of /proc/net/route: the third column, hexadecimal in
 * host order; zero where the network is on the link.
 */
export function gateways4(text: string): Address[] {
  const found = new Set<Address>();
  for (const line of text.split('\n').slice(1)) {
    const gateway = line.split(/\s+/)[2];
    if (gateway === undefined || !/^[0-9A-F]{8}$/.test(gateway)) continue;
    const digits = endianness() === 'LE' ? gateway.replace(/(..)(..)(..)(..)/, '$4$3$2$1') : gateway;
    const word = Number.parseInt(digits, 16) | 0;
    if (word !== 0) found.add(formatWords({ family: 4, w0: word, w1: 0, w2: 0, w3: 0 }) as Address);
  }
  return [...found];
}

/** The next hops in the text of /proc/net/ipv6_route: the fifth column, other than `::`. */
export function gateways6(text: string): Address[] {
  const found = new Set<Address>();
  for (const line of text.split('\n')) {
    const hop = line.split(/\s+/)[4];
    if (hop === undefined || !/^[0-9a-f]{32}$/.test(hop) || /^0+$/.test(hop)) continue;
    const address = addressOfHex(hop);
    if (address !== null) found.add(address);
  }
  return [...found];
}

/** The name servers in the text of resolv.conf(5); a zone (`%eth0`) is taken off. */
export function resolvers(text: string): Address[] {
  return text.split('\n').flatMap((line) => {
    const server = /^\s*nameserver\s+([^\s#;%]+)/.exec(line)?.[1];
    const address = parseAddress(server);
    return address === null ? [] : [address];
  });
}

/**
 * One for all reads, which are synchronous: a new one for each, several times a
 * second, would keep the garbage collector marking the whole heap.
 */
let beginning: Buffer | null = null;

/**
 * The beginning of a file, whole lines only.
 * @returns `null` when it cannot be read; `cut` when there is more
 */
export function beginningOf(file: string): { readonly text: string; readonly cut: boolean } | null {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return null;
  }
  try {
    beginning ??= Buffer.allocUnsafe(MOST_ROUTE_BYTES);
    const buffer = beginning;
    let length = 0;
    while (length < buffer.length) {
      const got = readSync(fd, buffer, length, buffer.length - length, null);
      if (got === 0) return { text: buffer.toString('latin1', 0, length), cut: false };
      length += got;
    }
    const text = buffer.toString('latin1', 0, length);
    return { text: text.slice(0, text.lastIndexOf('\n') + 1), cut: true };
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}
