import type { Prefix } from '../net/prefix.js';
import { hostPrefix } from '../net/prefix.js';
import { isSpecialKind, kindOf } from '../policy/address-kind.js';
import { setOf } from '../policy/context.js';
import type { EveAlert } from '../suricata/eve-alert.js';

const ADDRESSES = 100_000;
const EXAMPLES = 10;

type Side = 'external' | 'own' | 'special';

export interface NaiveResult {
  /** Different addresses that are neither ours nor special. */
  readonly external: number;
  /** Addresses in `home`. */
  readonly own: number;
  /** Addresses that are never a remote host, such as multicast. */
  readonly special: number;
  /** The first few of each. */
  readonly examples: Readonly<Record<Side, readonly string[]>>;
}

/** What "ban src_ip at severity <= 2" would ban, the rule that most simple blockers use. */
export class NaiveBlocker {
  readonly #home: readonly Prefix[];
  readonly #seen = new Set<string>();
  readonly #counts: Record<Side, number> = { external: 0, own: 0, special: 0 };
  readonly #examples: Record<Side, string[]> = { external: [], own: [], special: [] };

  constructor(home: readonly Prefix[]) {
    this.#home = home;
  }

  add({ src, severity }: EveAlert): void {
    if (src === null || severity > 2 || this.#seen.has(src.address) || this.#seen.size >= ADDRESSES) return;
    this.#seen.add(src.address);
    const host = hostPrefix(src.address);
    const special = isSpecialKind(kindOf(host));
    const side = special ? 'special' : setOf(this.#home).covering(host) !== null ? 'own' : 'external';
    this.#counts[side] += 1;
    if (this.#examples[side].length < EXAMPLES) this.#examples[side].push(src.address);
  }

  result(): NaiveResult {
    return { ...this.#counts, examples: this.#examples };
  }
}
