import { readFileSync } from 'node:fs';
import type { Family } from '../net/address.js';
import type { CommandResult, Commands } from './command.js';
import {
  parseTable,
  planTable,
  restoreText,
  type SavedTable,
  type Table,
  type TablePlan,
  wantedChains,
} from './rules-text.js';
import { EnforcementError } from './set-backend.js';
import { FAMILIES, kernelHasIpv6 } from './sets.js';

export type Variant = 'auto' | 'nft' | 'legacy';

/** Seconds to wait for another program's lock on the tables. */
const LOCK_SECONDS = '10';
const ATTEMPTS = 3;
const TABLES: readonly Table[] = ['raw', 'mangle'];

export interface RulesOptions {
  readonly commands: Pick<Commands, 'run'>;
  /** Which iptables: the machine's default, or one of its two variants by name. */
  readonly variant: Variant;
  /** Also drop packets to banned destinations. */
  readonly outbound: boolean;
  /** Consecutive NFQUEUE numbers; empty when there is no packet filter. */
  readonly queues: readonly number[];
}

export interface InstallResult {
  /** Families whose rules are in the kernel. */
  readonly families: readonly Family[];
  /** Whether first packets are handed to the queue while its worker is alive. */
  readonly queue: boolean;
  /** What is not as configured, one sentence each; for `status` and the log. */
  readonly notes: readonly string[];
}

export interface DropCount {
  readonly packets: number;
  readonly bytes: number;
}

/**
 * The few static rules that use the sets. They are compared with what the
 * kernel has, and the difference goes in by one `iptables-restore --noflush` a
 * family; nothing of anybody else's is named in it. The sets must exist first.
 */
export class Rules {
  readonly #o: RulesOptions;
  /** Families whose kernel cannot queue: the rest of their rules is kept in force without. */
  readonly #cannotQueue = new Map<Family, string>();
  readonly #counted = new Map<string, { before: DropCount; last: DropCount }>();

  constructor(options: RulesOptions) {
    this.#o = options;
  }

  /**
   * Brings the rules into force, at position 1 of their chains. Doing it again
   * changes nothing. Where the kernel cannot queue, or has no IPv6, the rest is
   * installed and a note says so.
   * @throws EnforcementError kind `tool_missing`, `missing` (a set), `unsupported`, `not_permitted` or `refused`
   */
  async install(): Promise<InstallResult> {
    const { queues } = this.#o;
    if (queues.some((number, i) => number !== (queues[0] ?? 0) + i)) {
      const message = `queue.numbers ${queues.join(', ')} must follow one another, such as 100, 101`;
      throw new EnforcementError('install rules', 'refused', message);
    }
    const notes: string[] = [];
    this.#cannotQueue.clear();
    const families = this.#families(notes);
    for (const family of families) await this.#installFamily(family);
    for (const [family, why] of this.#cannotQueue) {
      notes.push(`IPv${family} packets are not filtered, bans are enforced: ${why}`);
    }
    return { families, queue: queues.length > 0 && this.#cannotQueue.size === 0, notes };
  }

  /** Compares the kernel's rules with the wanted ones. Runs four programs, about 15 ms. */
  async verify(): Promise<'ok' | { readonly missing: readonly string[] }> {
    const missing: string[] = [];
    for (const family of this.#families([])) {
      for (const [, plan] of await this.#plans(family)) {
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
    const { variant } = this.#o;
    const others = (['nft', 'legacy'] as const).filter((other) => other !== variant);
    for (const family of this.#families([])) {
      await this.#removeFamily(family, variant);
      for (const other of others) {
        // Merely listing a legacy table makes it; none of ours can be where there is no table.
        if (other === 'legacy' && !hasLegacyTables(family)) continue;
        try {
          await this.#removeFamily(family, other);
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
  async dropped(): Promise<{ readonly ipv4: DropCount; readonly ipv6: DropCount }> {
    const counts = { 4: { packets: 0, bytes: 0 }, 6: { packets: 0, bytes: 0 } };
    for (const family of this.#families([])) {
      const table = await this.#save(family, 'raw', this.#o.variant, ['-c']);
      for (const chain of ['BARRICATA', 'BARRICATA-OUT']) {
        const rule = table.get(chain)?.find(({ text }) => text.endsWith('-j DROP'));
        const total = this.#total(`${family} ${chain}`, rule ?? { packets: 0, bytes: 0 });
        counts[family].packets += total.packets;
        counts[family].bytes += total.bytes;
      }
    }
    return { ipv4: counts[4], ipv6: counts[6] };
  }

  #total(key: string, now: DropCount): DropCount {
    const known = this.#counted.get(key) ?? { before: { packets: 0, bytes: 0 }, last: { packets: 0, bytes: 0 } };
    if (now.packets < known.last.packets) {
      const { before, last } = known;
      known.before = { packets: before.packets + last.packets, bytes: before.bytes + last.bytes };
    }
    known.last = { packets: now.packets, bytes: now.bytes };
    this.#counted.set(key, known);
    return { packets: known.before.packets + now.packets, bytes: known.before.bytes + now.bytes };
  }

  #families(notes: string[]): Family[] {
    if (kernelHasIpv6()) return [...FAMILIES];
    notes.push('this kernel has no IPv6: only IPv4 rules are installed');
    return [4];
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
      const result = await this.#restore(family, this.#o.variant, text);
      if (result.code === 0) continue;
      const error = rulesError(family, result);
      const why = await this.#whyNotQueued(family, error);
      if (why !== null) this.#cannotQueue.set(family, why);
      // Somebody else may have changed the tables between reading and writing.
      else if (error.kind !== 'refused' || attempt >= ATTEMPTS) throw error;
    }
  }

  /** When all but the queue rules went in and the kernel refuses those: its reason. */
  async #whyNotQueued(family: Family, error: EnforcementError): Promise<string | null> {
    if (this.#o.queues.length === 0 || this.#cannotQueue.has(family)) return null;
    if (error.kind !== 'unsupported' && error.kind !== 'refused') return null;
    for (const [table, plan] of await this.#plans(family)) {
      if (table === 'raw' ? plan.lines.length > 0 : plan.lines.length === 0) return null;
    }
    return error.kind === 'unsupported' ? error.message : null;
  }

  async #removeFamily(family: Family, variant: Variant): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const plans: [Table, TablePlan][] = [];
      for (const table of [...TABLES, 'filter'] as const) {
        plans.push([table, planTable(table, [], await this.#save(family, table, variant))]);
      }
      const text = restoreText(plans);
      if (text === '') return;
      const result = await this.#restore(family, variant, text);
      if (result.code !== 0 && attempt >= ATTEMPTS) throw rulesError(family, result);
    }
  }

  async #plans(family: Family): Promise<[Table, TablePlan][]> {
    const queues = this.#cannotQueue.has(family) ? [] : this.#o.queues;
    const wanted = wantedChains(family, this.#o.outbound, queues);
    const plans: [Table, TablePlan][] = [];
    for (const table of TABLES) {
      plans.push([table, planTable(table, wanted, await this.#save(family, table, this.#o.variant))]);
    }
    return plans;
  }

  async #save(family: Family, table: Table, variant: Variant, args: readonly string[] = []): Promise<SavedTable> {
    const result = await this.#o.commands.run(program(family, variant, 'save'), [...args, '-t', table]);
    if (result.code !== 0) throw rulesError(family, result);
    return parseTable(result.stdout);
  }

  #restore(family: Family, variant: Variant, text: string): Promise<CommandResult> {
    return this.#o.commands.run(program(family, variant, 'restore'), ['--noflush', '-w', LOCK_SECONDS], text);
  }
}

function program(family: Family, variant: Variant, what: 'save' | 'restore'): string {
  return `${family === 4 ? 'iptables' : 'ip6tables'}${variant === 'auto' ? '' : `-${variant}`}-${what}`;
}

function hasLegacyTables(family: Family): boolean {
  try {
    return readFileSync(`/proc/net/${family === 4 ? 'ip' : 'ip6'}_tables_names`, 'latin1').trim() !== '';
  } catch {
    return false;
  }
}

/** Says what the words of iptables mean and what repairs it. */
function rulesError(family: Family, { code, stderr }: CommandResult): EnforcementError {
  const said = stderr.trim().replace(/\s*\n\s*/g, '; ') || `ended with status ${code}`;
  const operation = `install IPv${family} rules`;
  const error = (kind: EnforcementError['kind'], message: string) =>
    new EnforcementError(operation, kind, `${operation}: ${message} (${said})`);
  const set = /Set (\S+) doesn't exist/.exec(said)?.[1];
  if (set !== undefined) return error('missing', `set ${set} does not exist`);
  const extension = /Extension (\S+) .*missing kernel module/.exec(said)?.[1];
  if (extension !== undefined || /Couldn't load (?:match|target)|No chain\/target\/match by that name/.test(said)) {
    const module = extension === undefined ? 'xt_set or xt_NFQUEUE' : `xt_${extension}`;
    return error(
      'unsupported',
      `the kernel module ${module} is missing; load it with modprobe or install the full kernel`,
    );
  }
  if (/Can't open socket to ipset|Kernel module xt_set/.test(said)) {
    return error(
      'unsupported',
      'the kernel module xt_set is missing; load it with modprobe or install the full kernel',
    );
  }
  if (/Table does not exist|Protocol not supported|generation id: (?!Permission|Operation)/i.test(said)) {
    return error('unsupported', 'the kernel lacks a table; set enforcement.iptables to the other of nft and legacy');
  }
  if (/Permission denied|not permitted|must be root/i.test(said)) return error('not_permitted', 'run as root');
  if (/xtables lock/.test(said)) return error('timeout', `another program held the lock for ${LOCK_SECONDS} s`);
  return error('refused', 'iptables-restore failed');
}
