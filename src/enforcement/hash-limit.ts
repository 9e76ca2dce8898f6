import type { Family } from '../net/address.js';

/** Microseconds of the units that `iptables-save` prints a rate in, longest first. */
const UNITS: readonly (readonly [name: string, length: number])[] = [
  ['day', 86_400_000_000],
  ['hour', 3_600_000_000],
  ['min', 60_000_000],
  ['sec', 1_000_000],
];
/** xt_hashlimit counts in whole microseconds a packet. */
const FASTEST = 1_000_000;
const LEAST_BURST = 5;

/** A rate as xt_hashlimit keeps it, and as `iptables-save` then prints it. */
interface KeptRate {
  /** Microseconds a packet. */
  readonly period: number;
  readonly text: string;
  /** Index of the unit in UNITS. */
  readonly unit: number;
}

function printed(period: number): KeptRate {
  // As print_rate of libxt_hashlimit does it.
  let unit = 0;
  for (let next = 1; next < UNITS.length; next++) {
    const [, length] = UNITS[next] as readonly [string, number];
    if (period > length || Math.floor(length / period) < length % period) break;
    unit = next;
  }
  const [name, length] = UNITS[unit] as readonly [string, number];
  const count = Math.floor(length / period);
  const again = Math.floor(length / count);
  // What is printed has to be what is read back.
  return again === period ? { period, text: `${count}/${name}`, unit } : printed(again);
}

/** @param perSecond above 0; at most a million counts */
export function keptRate(perSecond: number): KeptRate {
  const slowest = UNITS[0]?.[1] ?? FASTEST;
  return printed(Math.min(slowest, Math.floor(1_000_000 / Math.min(FASTEST, perSecond))));
}

export interface HashLimit {
  readonly family: Family;
  /** What it counts, in a word. */
  readonly name: string;
  /** Whether the rule matches what stays below the rate, or what is above. */
  readonly when: 'upto' | 'above';
  readonly perSecond: number;
  /** One bucket a source (IPv6: a /64) or a destination and port; one for all when absent. */
  readonly per?: 'source' | 'service';
  /** The most buckets; the kernel DROPS the packet that would need one more. Goes with `per`. */
  readonly most?: number;
}

/**
 * The match in the words of `iptables-save`. A tenth of a second may come at once.
 * The name holds the rate: rules that name the same table share it as the first
 * of them made it, so that another rate under the same name would not be taken up.
 */
export function hashLimit({ family, name, when, perSecond, per, most }: HashLimit): string {
  const rate = keptRate(perSecond);
  const burst = Math.max(LEAST_BURST, Math.ceil(Math.min(FASTEST, perSecond) / 10));
  const words = ['-m hashlimit', `--hashlimit-${when} ${rate.text}`, `--hashlimit-burst ${burst}`];
  if (per !== undefined) words.push(`--hashlimit-mode ${per === 'source' ? 'srcip' : 'dstip,dstport'}`);
  words.push(`--hashlimit-name barricata-${name}${family}-${rate.period}`);
  if (per !== undefined && most !== undefined) {
    words.push(`--hashlimit-htable-size ${Math.min(65_536, most)}`, `--hashlimit-htable-max ${most}`);
    // A bucket goes a second after its last packet. The default, that of a rate a second, is not printed.
    if (UNITS[rate.unit]?.[0] !== 'sec') words.push('--hashlimit-htable-expire 1000');
    if (per === 'source' && family === 6) words.push('--hashlimit-srcmask 64');
  }
  return words.join(' ');
}
