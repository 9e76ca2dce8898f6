import { createHash } from 'node:crypto';
import { type AddressWords, formatWords } from '../net/address.js';
import type { Detection } from './detection.js';

/**
 * What to do with a packet. The first two are the kernel's numbers (NF_DROP,
 * NF_ACCEPT in linux/netfilter.h); the third accepts with the mark that a rule of
 * iptables answers by REJECT, since NFQUEUE has no such verdict.
 */
export const VERDICT = { DROP: 0, ACCEPT: 1, REJECT: 2 } as const;
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT];

/** Whoever sent something to whom: a packet, or a connection. Addresses as `Packet` has them. */
export interface Endpoints {
  readonly family: 0 | 4 | 6;
  readonly source0: number;
  readonly source1: number;
  readonly source2: number;
  readonly source3: number;
  readonly target0: number;
  readonly target1: number;
  readonly target2: number;
  readonly target3: number;
}

/** Receives what detectors found; `pipeline` gives it the packet's time. */
export type Report = (detection: Omit<Detection, 'at'>) => void;

/** What is known of connections that were completed both ways. */
export interface KnownConnections {
  /** Whether somebody tells: without it nothing may be concluded from a missing completion. */
  readonly known: boolean;
  /**
   * Whether the source (IPv6: its /64) completed connections within the last day, the last minutes left out;
   * `null` = not known.
   */
  isKnownGood(of: Endpoints): boolean | null;
  /** What is let through now may be answered by RST, which shall be told. */
  expectRefusals(): void;
}

export function knownGoodOf(of: Endpoints, connections: KnownConnections | null): boolean | null {
  return connections?.known === true ? connections.isKnownGood(of) : null;
}

/** The source as a prefix: the address, or its /64. */
export function sourceText(of: Endpoints, wholeNet: boolean): string {
  if (of.family === 4) return `${formatWords(v4(of.source0))}/32`;
  const words: AddressWords = {
    family: 6,
    w0: of.source0,
    w1: of.source1,
    w2: wholeNet ? 0 : of.source2,
    w3: wholeNet ? 0 : of.source3,
  };
  return `${formatWords(words)}/${wholeNet ? 64 : 128}`;
}

/** The destination in canonical text. */
export function targetText(of: Endpoints): string {
  if (of.family === 4) return formatWords(v4(of.target0));
  return formatWords({ family: 6, w0: of.target0, w1: of.target1, w2: of.target2, w3: of.target3 });
}

function v4(w0: number): AddressWords {
  return { family: 4, w0, w1: 0, w2: 0, w3: 0 };
}

/** A different seed for each table, drawn from one. */
export function seedFor(seed: number, name: string, table: string): number {
  return createHash('sha256').update(`${seed} ${name} ${table}`).digest().readInt32LE();
}
