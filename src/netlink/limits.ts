/**
 * The sets by which the packet worker tells the kernel what it may settle by
 * itself, each refreshed while it holds and gone by its timeout when the worker
 * stands still. `hot` alone is fed by the kernel.
 */
import type { AddressWords } from '../net/address.js';
import { ALIVE_SETS, everything } from './alive.js';
import type { IpsetClient } from './ipset.js';

/** Kernel-side limits may drop: refreshed only while verdicts may drop. Same form as the alive sets. */
export const LIMIT_SETS = { 4: 'barricata-limit4', 6: 'barricata-limit6' } as const;
/** Sources that exceed their share of first packets: the kernel adds them. IPv6 per /64. */
export const HOT_SETS = { 4: 'barricata-hot4', 6: 'barricata-hot6' } as const;
/** TCP services under a flood of connection attempts. */
export const FLOOD_SETS = { 4: 'barricata-flood4', 6: 'barricata-flood6' } as const;

/** Seconds that the first packets of a hot source are dropped after it last exceeded its share. */
export const HOT_TIMEOUT = 10;

/**
 * Says that the kernel's limits may drop, for the next three seconds. The worker
 * calls it next to `refreshAlive`, while verdicts may drop.
 * @throws NetlinkError kind `missing` when the sets are gone; the limits are then off
 */
export function refreshLimits(client: IpsetClient): void {
  for (const family of [4, 6] as const) {
    const [failure] = client.add(LIMIT_SETS[family], family, everything(family));
    if (failure) throw failure.error;
  }
}

/**
 * Says that a TCP service is under a flood: until the timeout the kernel holds
 * connection attempts to it at the configured rate, or answers them by SYNPROXY.
 * Call it again, about each second, while the flood lasts.
 * @param timeout whole seconds, at least 1
 * @throws NetlinkError kind `missing` when the sets are gone, `full` when too many services are flooded at once
 */
export function markFlooded(client: IpsetClient, address: AddressWords, port: number, timeout: number): void {
  client.addService(FLOOD_SETS[address.family], { address, port, timeout });
}

/** The flood is over: attempts to connect to this service are no longer held. */
export function unmarkFlooded(client: IpsetClient, address: AddressWords, port: number): void {
  client.deleteService(FLOOD_SETS[address.family], { address, port, timeout: 0 });
}

/** Nothing is dropped by kernel-side limits any more, at once; tolerates that sets are gone. */
export function noLimits(client: IpsetClient): void {
  for (const sets of [LIMIT_SETS, FLOOD_SETS, HOT_SETS]) empty(client, sets);
}

/** Takes the packets away from the queue at once, and ends the limits; tolerates that sets are gone. */
export function notAlive(client: IpsetClient): void {
  empty(client, ALIVE_SETS);
  noLimits(client);
}

function empty(client: IpsetClient, sets: Readonly<Record<4 | 6, string>>): void {
  for (const family of [4, 6] as const) {
    if (client.header(sets[family]) !== null) client.flush(sets[family]);
  }
}
