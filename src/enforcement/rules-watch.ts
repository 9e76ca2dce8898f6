import { ALIVE_SETS } from '../netlink/alive.js';
import { IpsetClient } from '../netlink/ipset.js';
import { FLOOD_SETS, HOT_SETS, LIMIT_SETS } from '../netlink/limits.js';
import { NftGeneration } from '../netlink/nft-generation.js';
import { FAMILIES, setName } from './sets.js';

/**
 * Tells cheaply that rules may have changed: the generation of nf_tables and
 * the number of rules that refer to the small sets of Barricata's. Equal tokens
 * mean that nobody touched an nft rule in between and that as many rules as
 * before use the sets; then `Rules.verify` need not be run. What a token cannot
 * see is a legacy rule that moved, so verify now and then all the same.
 */
export class RulesWatch {
  #ipset: IpsetClient | null = null;
  #generation: NftGeneration | null = null;

  /**
   * Under 100 microseconds; starts no program.
   * @throws NetlinkError kind `ffi_unavailable` where netlink cannot be used
   */
  token(): string {
    this.#ipset ??= IpsetClient.open();
    this.#generation ??= NftGeneration.open();
    const parts: (number | null)[] = [this.#generation.read()];
    for (const family of FAMILIES) {
      const sets = [ALIVE_SETS, LIMIT_SETS, HOT_SETS, FLOOD_SETS].map((names) => names[family]);
      for (const name of [...sets, setName('allow', family)]) {
        parts.push(this.#ipset.header(name)?.references ?? null);
      }
    }
    return parts.join('/');
  }

  close(): void {
    this.#ipset?.close();
    this.#generation?.close();
    this.#ipset = null;
    this.#generation = null;
  }
}
