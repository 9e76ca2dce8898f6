/** Builds packets for tests, plainly and slowly. */
import { parseWords } from '../../src/net/address.js';

export interface Tcp {
  readonly source: string;
  readonly target: string;
  readonly port: number;
  readonly sourcePort?: number;
  /** TCP flag bits; SYN when left out. */
  readonly flags?: number;
}

/** A TCP segment without data over IPv4 or IPv6. */
export function tcp({ source, target, port, sourcePort = 40_000, flags = 2 }: Tcp): Uint8Array {
  const header = [...be16(sourcePort), ...be16(port), 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
  return ip(source, target, 6, header);
}

/** An ICMP or ICMPv6 message of `size` bytes, header included. */
export function icmp(source: string, target: string, type: number, size = 64): Uint8Array {
  const message = [type, 0, ...new Array<number>(size - 2).fill(0)];
  return ip(source, target, source.includes(':') ? 58 : 1, message);
}

export function ip(source: string, target: string, protocol: number, payload: readonly number[]): Uint8Array {
  if (source.includes(':')) {
    const head = [0x60, 0, 0, 0, ...be16(payload.length), protocol, 64];
    return Uint8Array.from([...head, ...addressBytes(source), ...addressBytes(target), ...payload]);
  }
  const head = [0x45, 0, ...be16(20 + payload.length), 0, 1, 0, 0, 64, protocol, 0, 0];
  return Uint8Array.from([...head, ...addressBytes(source), ...addressBytes(target), ...payload]);
}

export function be16(value: number): number[] {
  return [(value >>> 8) & 255, value & 255];
}

export function addressBytes(text: string): number[] {
  const words = parseWords(text);
  if (words === null) throw new Error(`no address: ${text}`);
  const of = (w: number) => [w >>> 24, (w >>> 16) & 255, (w >>> 8) & 255, w & 255];
  return words.family === 4 ? of(words.w0) : [words.w0, words.w1, words.w2, words.w3].flatMap(of);
}
