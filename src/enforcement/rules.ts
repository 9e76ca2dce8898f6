import type { Family } from '../net/address.js';
import type { Commands } from './command.js';
import { hasLegacyTables, Iptables, rulesError, type Variant } from './iptables.js';
import { FEATURES, type Feature, lackingFeatures } from './kernel-features.js';
import { meaningOf, type PacketPath } from './queue-chains.js';
import { type RuleCount, RuleCounts } from './rule-counts.js';
import { planTable, restoreText, type Table, type TablePlan, type WantedChain } from './rules-text.js';
import { EnforcementError } from './set-backend.js';
import { FAMILIES, kernelHasIpv6 } from './sets.js';
import { SYNPROXY_FIX, synproxyProblem } from './synproxy.js';
import { wantedChains } from './wanted-chains.js';

const ATTEMPTS = 3;

export interface RulesOptions {
  readonly commands: Pick<Commands, 'run'>;
  /** Which iptables: the machine's default, or one of its two variants by name. */
  readonly variant: Variant;
  /** Also drop packets to banned destinations. */
  readonly outbound: boolean;
  /** How the packet filter is configured now; `null` when there is none. */
  readonly packets: () => PacketPath | null;
}

export interface InstallResult {
  /** Families whose rules are in the kernel. */
  readonly families: readonly Family[];
  /** Whether first packets are handed to the queue while its worker is alive. */
  readonly queue: boolean;
  /** Whether a packet that is accepted with REJECT_MARK is refused: only where a packet rule rejects, and the kernel can. */
  readonly rejects: boolean;
  /** What is not as configured, one sentence each; for `status` and the log. */
  readonly notes: readonly string[];
}

/** Packets that the rules of the packet filter counted since they were first asked, both families. */
export interface QueueCounts {
  /** Should have been queued and passed: no worker was alive, or they were above `queue.at_most`. */
  readonly unfiltered: number;
  /** Dropped by the kernel itself: hot sources, flooded services, overload with `when_overloaded: drop`. */
  readonly limited: number;
  /** Handed to the queue; where nobody is bound to it they pass. */
  readonly queued: number;
}

/**
 * The few static rules that use the sets. They are compared with what the
 * kernel has, and the difference goes in by one `iptables-restore --noflush` a
 * family; nothing of anybody else's is named in it. The sets must exist first.
 */
export class Rules {
  readonly #o: RulesOptions;
  readonly #iptables: Iptables;
  /** What the kernel refused at the last installation, with its reason: the rest of the rules is kept in force without. */
  readonly #lacking = new Map<Family, ReadonlyMap<Feature, string>>();
  /** Families whose table filter may hold chains of ours. */
  readonly #filterTable = new Set(FAMILIES);
  readonly #drops = new RuleCounts();
  readonly #queue = new RuleCounts();
  #queueBefore: QueueCounts | null = null;

  constructor(options: RulesOptions) {
    this.#o = options;
    this.#iptables = new Iptables(options.commands, options.variant);
  }

  /**
   * Brings the rules into force, at position 1 of their chains. Doing it again
   * changes nothing. Where the kernel cannot queue, lacks a match or a target, or has no
   * IPv6, the rest is installed and a note says so.
   * @throws EnforcementError kind `tool_missing`, `missing` (a set), `unsupported`, `not_permitted` or `refused`
   */
  async install(): Promise<InstallResult> {
    const packets = this.#o.packets();
    const queues = packets?.queue.numbers ?? [];
    if (queues.some((number, i) => number !== (queues[0] ?? 0) + i)) {
      const message = `queue.numbers ${queues.join(', ')} must follow one another, such as 100, 101`;
      throw new EnforcementError('install rules', 'refused', message);
    }
    const notes: string[] = [];
    this.#lacking.clear();
    const families = this.#families(notes);
    for (const family of families) await this.#installFamily(family);
    for (const family of families) notes.push(...this.#notes(family));
    const all = (feature: Feature) => families.every((family) => this.#has(family, feature));
    const rejects = packets?.filter.rules.some(({ then }) => then.kind === 'reject') ?? false;
    return { families, queue: packets !== null && all('queue'), rejects: rejects && all('reject'), notes };
  }

  /**
   * Compares the kernel's rules with the wanted ones. Runs four to six programs, about 20 ms.
   * @param only this table alone: `raw` has the ban rules, which are the same whatever the kernel lacks
   */
  async verify(only?: Table): Promise<'ok' | { readonly missing: readonly string[] }> {
    const missing: string[] = [];
    for (const family of this.#families([])) {
      for (const [table, plan] of await this.#plans(family)) {
        if (only !== undefined && table !== only) continue;
        for (const what of plan.missing) missing.push(`IPv${family}: ${what}`);
      }
    }
    return missing.length === 0 ? 'ok' : { missing };
  }

  /**
   * Removes every rule and chain of Barricata's, of both variants of iptables and
   * whoever left them; tolerates that some or all are gone.
   */
  async remove(): Promise<void> {
    const { variant, commands } = this.#o;
    const others = (['nft', 'legacy'] as const).filter((other) => other !== variant);
    for (const family of this.#families([])) {
      await this.#removeFamily(family, this.#iptables);
      for (const other of others) {
        // None of ours can be where there is no table.
        if (other === 'legacy' && !hasLegacyTables(family)) continue;
        try {
          await this.#removeFamily(family, new Iptables(commands, other));
        } catch (error) {
          // A variant that cannot run here has left nothing either.
          if (!(error instanceof EnforcementError) || !['tool_missing', 'unsupported'].includes(error.kind))
            throw error;
        }
      }
    }
  }

  /**
   * Packets and bytes that the ban rules dropped, inbound and outbound, since
   * this object first counted; it only grows, also when the rules were made anew meanwhile.
   */
  async dropped(): Promise<{ readonly ipv4: RuleCount; readonly ipv6: RuleCount }> {
    const now = new Map<string, RuleCount>();
    for (const family of this.#families([])) {
      const table = await this.#iptables.save(family, 'raw', ['-c']);
      for (const chain of ['BARRICATA', 'BARRICATA-OUT']) {
        const rule = table.get(chain)?.find(({ text }) => text.endsWith('-j DROP'));
        if (rule !== undefined) now.set(`${family} ${chain}`, rule);
      }
    }
    this.#drops.update(now);
    return { ipv4: this.#drops.total('4 '), ipv6: this.#drops.total('6 ') };
  }

  /** What the rules of the packet filter counted since the first call; it only grows. Runs two programs, about 10 ms. */
  async queueCounts(): Promise<QueueCounts> {
    const now = new Map<string, RuleCount>();
    for (const family of this.#families([])) {
      const table = await this.#iptables.save(family, 'mangle', ['-c']);
      for (const chain of ['BARRICATA-QUEUE', 'BARRICATA-NAMED']) {
        for (const rule of table.get(chain) ?? []) {
          const meaning = meaningOf(rule.text);
          // A rule with another rate is the same rule.
          const same = rule.text.replace(/ ?-m hashlimit.* -j/, ' -j');
          if (meaning !== null) now.set(`${meaning} ${family} ${chain} ${same}`, rule);
        }
      }
    }
    this.#queue.update(now);
    const total = (meaning: keyof QueueCounts) =>
      this.#queue.total(meaning).packets - (this.#queueBefore?.[meaning] ?? 0);
    const counts = { unfiltered: total('unfiltered'), limited: total('limited'), queued: total('queued') };
    if (this.#queueBefore !== null) return counts;
    this.#queueBefore = counts;
    return { unfiltered: 0, limited: 0, queued: 0 };
  }

  #families(notes: string[]): Family[] {
    if (kernelHasIpv6()) return [...FAMILIES];
    notes.push('this kernel has no IPv6: only IPv4 rules are installed');
    return [4];
  }

  #has(family: Family, feature: Feature): boolean {
    return this.#lacking.get(family)?.has(feature) !== true;
  }

  /** Why flooded services are held at a rate though SYNPROXY is asked for; `null` when it is not, or works. */
  #withoutSynproxy(family: Family): string | null {
    if (this.#o.packets()?.filter.flood?.then !== 'synproxy') return null;
    for (const feature of ['conntrack', 'notrack', 'synproxy'] as const) {
      const why = this.#lacking.get(family)?.get(feature);
      if (why !== undefined) return why;
    }
    const problem = synproxyProblem();
    return problem === null ? null : `${problem}; to change that: ${SYNPROXY_FIX}`;
  }

  #notes(family: Family): string[] {
    const packets = this.#o.packets();
    const lacking = this.#lacking.get(family);
    if (packets === null) return [];
    const noQueue = lacking?.get('queue');
    if (noQueue !== undefined) return [`IPv${family} packets are not filtered, bans are enforced: ${noQueue}`];
    const rejects = packets.filter.rules.some(({ then }) => then.kind === 'reject');
    const notes: string[] = [];
    for (const [feature, why] of lacking ?? []) {
      const { without } = FEATURES[feature];
      if (without !== null && (feature !== 'reject' || rejects)) notes.push(`IPv${family}: ${without}: ${why}`);
    }
    const why = this.#withoutSynproxy(family);
    if (why !== null) notes.push(`IPv${family}: flooded services are held at the rate of filter.flood: ${why}`);
    return notes;
  }

  async #installFamily(family: Family): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const plans = await this.#plans(family);
      const text = restoreText(plans);
      if (text === '') return;
      if (attempt > ATTEMPTS) {
        const what = plans.flatMap(([, plan]) => plan.missing).join(', ');
        const message = `install IPv${family} rules: still not in force after ${ATTEMPTS} attempts: ${what}`;
        throw new EnforcementError('install rules', 'refused', message);
      }
      const result = await this.#iptables.restore(family, text);
      if (result.code === 0) continue;
      const error = rulesError(family, result);
      const last = attempt >= ATTEMPTS;
      if ((error.kind === 'unsupported' || (error.kind === 'refused' && last)) && (await this.#learns(family))) {
        attempt = 0;
        continue;
      }
      // Somebody else may have changed the tables between reading and writing.
      if (error.kind !== 'refused' || last) throw error;
    }
  }

  /** Finds out what the kernel lacks, once an installation. Whether there is anything. */
  async #learns(family: Family): Promise<boolean> {
    if (this.#o.packets() === null || this.#lacking.has(family)) return false;
    const lacking = await lackingFeatures(this.#iptables, family);
    this.#lacking.set(family, lacking);
    return lacking.size > 0;
  }

  async #removeFamily(family: Family, iptables: Iptables): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const plans: [Table, TablePlan][] = [];
      for (const table of ['raw', 'mangle', 'filter'] as const) {
        plans.push([table, planTable(table, [], await iptables.save(family, table))]);
      }
      const text = restoreText(plans);
      if (text === '') return;
      const result = await iptables.restore(family, text);
      if (result.code !== 0 && attempt >= ATTEMPTS) throw rulesError(family, result);
    }
  }

  #wanted(family: Family): WantedChain[] {
    const packets = this.#o.packets();
    if (packets === null || !this.#has(family, 'queue')) return wantedChains(family, this.#o.outbound, null);
    const synproxy = packets.filter.flood?.then === 'synproxy' && this.#withoutSynproxy(family) === null;
    const has = (feature: Feature) => this.#has(family, feature);
    return wantedChains(family, this.#o.outbound, { ...packets, synproxy, has });
  }

  async #plans(family: Family): Promise<[Table, TablePlan][]> {
    const wanted = this.#wanted(family);
    const inFilter = wanted.some(({ table }) => table === 'filter');
    const plans: [Table, TablePlan][] = [];
    const tables: readonly Table[] =
      inFilter || this.#filterTable.has(family) ? ['raw', 'mangle', 'filter'] : ['raw', 'mangle'];
    for (const table of tables) {
      const saved = await this.#iptables.save(family, table).catch((error: unknown) => {
        // A table that somebody else made unreadable is no concern where nothing is wanted in it.
        if (table === 'filter' && !inFilter) return new Map();
        throw error;
      });
      plans.push([table, planTable(table, wanted, saved)]);
    }
    // Once nothing of ours is there, it need not be looked at until something is wanted there.
    const cleared = !inFilter && plans.every(([table, plan]) => table !== 'filter' || plan.lines.length === 0);
    if (cleared) this.#filterTable.delete(family);
    else this.#filterTable.add(family);
    return plans;
  }
}
