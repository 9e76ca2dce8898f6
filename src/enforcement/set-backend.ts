/**
 * enforcement: makes the kernel drop what the blocklist wants dropped.
 * `SetBackend` is one kind of kernel set (ipset, nftables, or the fake that
 * passes the same conformance suite), `rules` the few static rules that use the
 * sets, `reconciler` the loop that compares wish and fact and applies the
 * difference. Bans touch set elements only, never rules.
 */
import type { EpochMs } from '../base/clock.js';
import { BarricataError } from '../base/errors.js';
import type { Prefix } from '../net/prefix.js';
import type { Refusal } from '../protection/admits.js';

/** The two lists that the kernel holds, each for IPv4 and IPv6. */
export type ListName = 'ban' | 'allow';

export interface WantedElement {
  readonly prefix: Prefix;
  /** When it ends; `FOREVER` for a permanent one. */
  readonly until: EpochMs;
  /** The caller believes that it is not in the kernel yet: its counters begin at 0. Otherwise they are kept. */
  readonly fresh?: boolean;
}

/** An element as the kernel reports it. */
export interface KernelElement {
  /** Canonical text of the prefix. */
  readonly text: string;
  /** Seconds left; 0 = permanent. */
  readonly timeout: number;
  readonly packets: number;
  readonly bytes: number;
}

export interface ApplyResult {
  /** Elements that are now in the kernel with the end that was asked for. */
  readonly added: number;
  /** Prefixes that were asked away and are, whether they were there or not. */
  readonly removed: number;
  /** Refused by the protections at this last gate; never in the kernel. */
  readonly refused: readonly { readonly element: WantedElement; readonly refusal: Refusal }[];
  /** Not applied for another reason; the rest of the batch is. */
  readonly failed: readonly { readonly text: string; readonly error: EnforcementError }[];
}

/** Judges a ban at the last gate; `null` admits it. Allow elements are not judged. */
export type Gate = (prefix: Prefix) => Refusal | null;

export interface SetBackend {
  /** `ipset`, `ipset-restore`, `nftables` or `fake`; shown by `status`. */
  readonly name: string;
  /** Creates what is missing and adopts what exists, contents included. */
  open(): Promise<void>;
  /**
   * Removes, then adds; an element that exists gets the new timeout. Elements
   * whose end is less than a second away are skipped. Each `ban` element passes the gate.
   * One bad element never keeps the others out.
   * @throws EnforcementError kind `missing` when the sets themselves are gone
   */
  apply(list: ListName, add: readonly WantedElement[], remove: readonly Prefix[]): Promise<ApplyResult>;
  /** Every element now in the kernel, in pages, so that the event loop breathes between them. */
  dump(list: ListName): AsyncIterable<readonly KernelElement[]>;
  /**
   * The number of elements without reading them, and whether a rule refers to
   * the set of IPv4 and, where the kernel has IPv6, to that of IPv6.
   */
  size(list: ListName): Promise<{ readonly ipv4: number; readonly ipv6: number; readonly referenced: boolean }>;
  /** The element for exactly this prefix, or `null`. */
  find(list: ListName, prefix: Prefix): Promise<KernelElement | null>;
  /** Lets go of sockets; the sets stay. */
  close(): Promise<void>;
  /** Destroys every set Barricata made, and nothing else. Rules that refer to them must be gone. */
  destroy(): Promise<void>;
}

export type EnforcementErrorKind =
  | 'missing'
  | 'full'
  | 'not_permitted'
  | 'unsupported'
  | 'tool_missing'
  | 'refused'
  | 'timeout';

/** The kernel or a command did not do what was asked. */
export class EnforcementError extends BarricataError {
  declare readonly kind: EnforcementErrorKind;
  constructor(operation: string, kind: EnforcementErrorKind, message: string, cause?: unknown) {
    super(operation, kind, message, cause);
  }
}
