import { createHash } from 'node:crypto';
import { type AddressWords, formatWords } from '../net/address.js';
import type { Packet } from '../net/packet.js';
import type { Detection, DetectorName } from './detection.js';

/** What to do with a packet; the numbers are the kernel's (NF_DROP, NF_ACCEPT in linux/netfilter.h). */
export const VERDICT = { DROP: 0, ACCEPT: 1 } as const;
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT];

/** Receives what detectors found; `pipeline` gives it the packet's time. */
export type Report = (detection: Omit<Detection, 'at'>) => void;

/**
 * Looks at one parsed packet. A detector drops what is over its limit and only
 * that: once the rate falls below, the source passes again after at most one
 * window, so that a ban which a protection refused, or a person lifted, is not
 * kept alive here. It reports a source once per ban period.
 */
export interface Detector {
  /** @param now whole milliseconds that never go back */
  judge(packet: Packet, now: number): Verdict;
  /** Sources whose counts were lost to make room, so far. */
  readonly evictions: number;
}

/** The source of a packet as a prefix: the address, or its /64. */
export function sourceText(packet: Packet, wholeNet: boolean): string {
  if (packet.family === 4) return `${formatWords(v4(packet.source0))}/32`;
  const words: AddressWords = {
    family: 6,
    w0: packet.source0,
    w1: packet.source1,
    w2: wholeNet ? 0 : packet.source2,
    w3: wholeNet ? 0 : packet.source3,
  };
  return `${formatWords(words)}/${wholeNet ? 64 : 128}`;
}

/** The destination of a packet in canonical text. */
export function targetText(packet: Packet): string {
  if (packet.family === 4) return formatWords(v4(packet.target0));
  return formatWords({
    family: 6,
    w0: packet.target0,
    w1: packet.target1,
    w2: packet.target2,
    w3: packet.target3,
  });
}

function v4(w0: number): AddressWords {
  return { family: 4, w0, w1: 0, w2: 0, w3: 0 };
}

/** A different seed for each table, drawn from one. */
export function seedFor(seed: number, detector: DetectorName, table: string): number {
  return createHash('sha256').update(`${seed} ${detector} ${table}`).digest().readInt32LE();
}
