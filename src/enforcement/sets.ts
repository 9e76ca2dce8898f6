/**
 * The sets that Barricata makes, by name, and what all kinds of backend do to a
 * batch before they touch a set: judge each ban at the gate, turn ends into
 * timeouts, and sort by family.
 */
import { existsSync } from 'node:fs';
import { type EpochMs, FOREVER } from '../base/clock.js';
import type { Family } from '../net/address.js';
import type { Prefix } from '../net/prefix.js';
import { ALIVE_SETS } from '../netlink/alive.js';
import { LONGEST_TIMEOUT, type SetElement, type SetHeader, type SetType } from '../netlink/ipset.js';
import { FLOOD_SETS, HOT_SETS, HOT_TIMEOUT, LIMIT_SETS } from '../netlink/limits.js';
import {
  type ApplyResult,
  EnforcementError,
  type Gate,
  type ListName,
  type SetBackend,
  type WantedElement,
} from './set-backend.js';

export const FAMILIES: readonly Family[] = [4, 6];
export const LISTS: readonly ListName[] = ['ban', 'allow'];

const NAMES: Readonly<Record<ListName, Readonly<Record<Family, string>>>> = {
  ban: { 4: 'barricata4', 6: 'barricata6' },
  allow: { 4: 'barricata-allow4', 6: 'barricata-allow6' },
};

export function setName(list: ListName, family: Family): string {
  return NAMES[list][family];
}

/** The name of the twin that a set is rebuilt in. */
export const twinOf = (name: string) => `${name}-next`;

/** How one set is made. */
export interface SetPlan {
  readonly name: string;
  readonly type: SetType;
  readonly family: Family;
  readonly maxelem: number;
  /**
   * Buckets at the start. The kernel doubles them as the set grows, and whoever
   * adds the element that makes it do so waits, tens of milliseconds each time.
   * A set that rules add to cannot grow at all.
   */
  readonly hashsize: number;
  /** Of hash:ip: addresses that agree in so many bits are one element; `null` for whole ones. */
  readonly netmask: number | null;
  /** Seconds that an element added without a timeout stays; 0 = for good. Every element can have its own. */
  readonly timeout: number;
  readonly counters: boolean;
  /** `null` for a helper set. */
  readonly list: ListName | null;
  /** Whether rules add to it. */
  readonly kernelFed: boolean;
}

/** Services that can be under a flood at the same time. */
export const MOST_FLOODED = 4096;
/** Buckets of a set that the kernel feeds: about 12 elements each before it is full, without a word. */
const KERNEL_FED_BUCKETS = 262_144;
/** Far above the offenders that there can be (see `queue-chains`): a full set costs 11 microseconds a packet. */
const KERNEL_FED_ELEMENTS = 1_048_576;

const HELPER = { netmask: null, timeout: 0, counters: false, list: null, kernelFed: false } as const;

/** Every set that `open` makes. */
export function setPlans(maxelem: number): SetPlan[] {
  const lists = LISTS.flatMap((list) =>
    FAMILIES.map((family): SetPlan => {
      // 64 Ki buckets are half a megabyte and enough for some 200,000 bans.
      const hashsize = list === 'ban' ? Math.min(65_536, maxelem) : 1024;
      const name = setName(list, family);
      return { ...HELPER, name, type: 'hash:net', family, maxelem, hashsize, counters: true, list };
    }),
  );
  const helpers = FAMILIES.flatMap((family): SetPlan[] => [
    { ...HELPER, name: ALIVE_SETS[family], type: 'hash:net', family, maxelem: 16, hashsize: 64 },
    { ...HELPER, name: LIMIT_SETS[family], type: 'hash:net', family, maxelem: 16, hashsize: 64 },
    { ...HELPER, name: FLOOD_SETS[family], type: 'hash:ip,port', family, maxelem: MOST_FLOODED, hashsize: 1024 },
    {
      ...HELPER,
      name: HOT_SETS[family],
      type: 'hash:ip',
      family,
      maxelem: KERNEL_FED_ELEMENTS,
      hashsize: KERNEL_FED_BUCKETS,
      netmask: family === 6 ? 64 : null,
      timeout: HOT_TIMEOUT,
      kernelFed: true,
    },
  ]);
  return [...lists, ...helpers];
}

/** Every name that a set of Barricata can have, twins included: what `destroy` looks for. */
export function ownSetNames(): string[] {
  const names = ['', '-allow', '-hot', '-alive', '-limit', '-flood', '-canary'].flatMap((kind) => [
    `barricata${kind}4`,
    `barricata${kind}6`,
  ]);
  return names.flatMap((name) => [name, twinOf(name)]);
}

/** `maxelem` for this many bans: a power of two, at least twice as many, because a full set is slow and silent. */
export function maxelemFor(totalBans: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(32_768, totalBans) * 2));
}

/**
 * Whole seconds that the kernel shall keep an element: rounded up, so that a ban
 * never ends early; 0 for a permanent one, which nothing else gives; at most
 * LONGEST_TIMEOUT (24.8 days), which whoever compares the sets refreshes in
 * time. `null` when less than a second is left.
 */
export function timeoutOf(until: EpochMs, now: EpochMs): number | null {
  if (until === FOREVER) return 0;
  const left = until - now;
  // Also false for NaN.
  if (!(left >= 1000)) return null;
  return Math.min(LONGEST_TIMEOUT, Math.ceil(left / 1000));
}

export interface Batch {
  readonly add: Readonly<Record<Family, SetElement[]>>;
  readonly remove: Readonly<Record<Family, Prefix[]>>;
  readonly refused: ApplyResult['refused'];
}

/** Judges and sorts what `SetBackend.apply` was given. */
export function batchOf(
  list: ListName,
  add: readonly WantedElement[],
  remove: readonly Prefix[],
  gate: Gate,
  now: EpochMs,
): Batch {
  const batch = {
    add: { 4: [] as SetElement[], 6: [] as SetElement[] },
    remove: { 4: [] as Prefix[], 6: [] as Prefix[] },
    refused: [] as ApplyResult['refused'][number][],
  };
  for (const prefix of remove) batch.remove[prefix.family].push(prefix);
  for (const element of add) {
    const refusal = list === 'ban' ? gate(element.prefix) : null;
    if (refusal !== null) {
      batch.refused.push({ element, refusal });
      continue;
    }
    const timeout = timeoutOf(element.until, now);
    if (timeout === null) continue;
    batch.add[element.prefix.family].push({ prefix: element.prefix, timeout, fresh: element.fresh });
  }
  return batch;
}

export function missing(operation: string, name: string): EnforcementError {
  return new EnforcementError(operation, 'missing', `${operation}: set ${name} does not exist`);
}

/** What `SetBackend.size` says of a list, from the headers of its two sets. */
export function sizeOf(ipv4: SetHeader, ipv6: SetHeader): Awaited<ReturnType<SetBackend['size']>> {
  const referenced = ipv4.references > 0 && (ipv6.references > 0 || !kernelHasIpv6());
  return { ipv4: ipv4.elements, ipv6: ipv6.elements, referenced };
}

/** Whether this kernel has IPv6; false when it was booted with ipv6.disable=1 or lacks the module. */
export function kernelHasIpv6(): boolean {
  return existsSync('/proc/net/if_inet6');
}

/** Gives the event loop a turn whenever 4 ms have passed since the last. */
export class Breath {
  #last = performance.now();

  async take(): Promise<void> {
    if (performance.now() - this.#last < 4) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#last = performance.now();
  }
}
