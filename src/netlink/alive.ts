import { prefix } from '../net/prefix.js';
import type { IpsetClient, SetElement } from './ipset.js';

/**
 * The sets that say "the packet worker is giving verdicts": the queue rules
 * match only while they hold an element. Each holds all addresses, as two
 * halves, because a hash:net cannot hold /0.
 */
export const ALIVE_SETS = { 4: 'barricata-alive4', 6: 'barricata-alive6' } as const;

/** Seconds that a worker counts as alive after its last refresh. */
export const ALIVE_TIMEOUT = 3;

const HALVES: Readonly<Record<4 | 6, readonly SetElement[]>> = {
  4: ['0.0.0.0/1', '128.0.0.0/1'].map((text) => ({ prefix: prefix(text), timeout: ALIVE_TIMEOUT })),
  6: ['::/1', '8000::/1'].map((text) => ({ prefix: prefix(text), timeout: ALIVE_TIMEOUT })),
};

/** All addresses of a family as two halves, for `ALIVE_TIMEOUT` seconds. */
export const everything = (family: 4 | 6): readonly SetElement[] => HALVES[family];

/** The same without an end. */
const FOR_GOOD: Readonly<Record<4 | 6, readonly SetElement[]>> = {
  4: HALVES[4].map((half) => ({ ...half, timeout: 0 })),
  6: HALVES[6].map((half) => ({ ...half, timeout: 0 })),
};

/**
 * Says that the packet worker is alive, for the next three seconds. The worker
 * calls it about once a second on a client of its own, after it gave verdicts
 * or found its queue empty.
 * @param forGood until `notAlive`: first packets of a worker that is gone are then dropped (`when_overloaded: drop`)
 * @throws NetlinkError kind `missing` when the sets are gone; the queue rules are then off
 */
export function refreshAlive(client: IpsetClient, forGood = false): void {
  for (const family of [4, 6] as const) {
    const [failure] = client.add(ALIVE_SETS[family], family, forGood ? FOR_GOOD[family] : everything(family));
    if (failure) throw failure.error;
  }
}
