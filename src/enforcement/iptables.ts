import { readFileSync } from 'node:fs';
import type { Family } from '../net/address.js';
import type { CommandResult, Commands } from './command.js';
import { parseTable, type SavedTable, type Table } from './rules-text.js';
import { EnforcementError } from './set-backend.js';

/** The machine's default iptables, or one of its two variants by name. */
export type Variant = 'auto' | 'nft' | 'legacy';

/** Seconds to wait for another program's lock on the tables. */
const LOCK_SECONDS = '10';

/** `iptables-save` and `iptables-restore` of one variant, both families. */
export class Iptables {
  readonly #commands: Pick<Commands, 'run'>;
  readonly #variant: Variant;

  constructor(commands: Pick<Commands, 'run'>, variant: Variant) {
    this.#commands = commands;
    this.#variant = variant;
  }

  /** Reads one table. @throws EnforcementError as `Rules.install` */
  async save(family: Family, table: Table, args: readonly string[] = []): Promise<SavedTable> {
    const result = await this.#commands.run(this.#program(family, 'save'), [...args, '-t', table]);
    if (result.code !== 0) throw rulesError(family, result);
    return parseTable(result.stdout);
  }

  /** Changes what the text names and nothing else. A refusal is a result, which `rulesError` explains. */
  restore(family: Family, text: string): Promise<CommandResult> {
    return this.#commands.run(this.#program(family, 'restore'), ['--noflush', '-w', LOCK_SECONDS], text);
  }

  #program(family: Family, what: 'save' | 'restore'): string {
    const variant = this.#variant === 'auto' ? '' : `-${this.#variant}`;
    return `${family === 4 ? 'iptables' : 'ip6tables'}${variant}-${what}`;
  }
}

/** Whether there is any legacy table: merely listing one makes it. */
export function hasLegacyTables(family: Family): boolean {
  try {
    return readFileSync(`/proc/net/${family === 4 ? 'ip' : 'ip6'}_tables_names`, 'latin1').trim() !== '';
  } catch {
    return false;
  }
}

/** Says what the words of iptables mean and what repairs it. */
export function rulesError(family: Family, { code, stderr }: CommandResult): EnforcementError {
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
