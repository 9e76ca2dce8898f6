import type { DirtyKeys } from './dirty-keys.js';
import type { Facts } from './facts.js';
import { breathe, type Intake, type Outcome, outcome, type WrittenKey } from './intake.js';
import { kernelLosses } from './kernel-memory.js';
import { type EntryId, type EntryKind, LETTER, suffixOf } from './keys.js';
import type { Level } from './level.js';
import type { MirrorOptions } from './mirror-options.js';
import type { Refusals } from './refusals.js';
import { type Found, walkPages } from './walk-pages.js';

const ENTRY_KINDS: readonly EntryKind[] = ['allow', 'ban', 'local'];
export const READ_AT_MOST = 1000;

export interface FullWalkOptions extends MirrorOptions {
  readonly level: Level;
  readonly facts: Facts;
  readonly refusals: Refusals;
  readonly intake: Intake;
  /** Keys that events named and that are still to be read. */
  readonly dirty: Pick<DirtyKeys, 'has'>;
  /** Reads every dirty key. */
  readonly drain: () => Promise<void>;
  /** Reads these keys by name. */
  readonly read: (ids: readonly EntryId[], out: Outcome) => Promise<void>;
}

/**
 * The full comparison of what is known with every key that Redis has. One that
 * fails midway has added what it saw and removes nothing.
 */
export class FullWalk {
  readonly #o: FullWalkOptions;
  #brokenOff = false;

  constructor(options: FullWalkOptions) {
    this.#o = options;
  }

  /**
   * @param isFirst whether none was completed before
   * @throws BlocklistError
   */
  async run(isFirst: boolean): Promise<void> {
    const { level, facts, refusals, dirty, drain } = this.#o;
    for (const kind of ENTRY_KINDS) level.tables[kind].beginWalk(this.#brokenOff);
    this.#brokenOff = true;
    facts.beginWalk();
    refusals.beginWalk();
    const refused = new Set(refusals.ids());
    const found: Found = { facts: [], bans: [], refused };
    try {
      await walkPages({ ...this.#o, isFirst }, found);
    } finally {
      // An allow entry counts before the bans that the same walk found.
      await this.#tellBans(found.bans);
    }
    for (let at = 0; at < found.facts.length; at += READ_AT_MOST) {
      await facts.read(found.facts.slice(at, at + READ_AT_MOST));
    }
    await drain();
    await this.#sweep();
    for (const id of refused) if (!dirty.has(id)) refusals.forget(id);
    facts.endWalk();
    refusals.endWalk();
    level.forgetEnded();
    if (isFirst) await this.#compareWithKernel();
    this.#brokenOff = false;
  }

  /** Every key that is known, read as it is consumed, so that no second copy of all keys is held. */
  *everyKey(): Generator<WrittenKey> {
    for (const kind of ENTRY_KINDS) {
      for (const suffix of this.#o.level.tables[kind].suffixes()) yield [LETTER[kind] + suffix, true];
    }
  }

  async #tellBans(bans: readonly string[]): Promise<void> {
    for (let at = 0; at < bans.length; at += READ_AT_MOST) {
      this.#o.intake.tell({ ban: bans.slice(at, at + READ_AT_MOST), allow: [] });
      await breathe();
    }
  }

  /** Keys that the walk did not see are read once more by name; those gone are judged together. */
  async #sweep(): Promise<void> {
    const { level, dirty, read, intake } = this.#o;
    const out = outcome();
    for (const kind of ENTRY_KINDS) {
      const unseen: EntryId[] = [];
      for (const suffix of level.tables[kind].unseen()) {
        const id = LETTER[kind] + suffix;
        if (!dirty.has(id)) unseen.push(id);
      }
      for (let at = 0; at < unseen.length; at += READ_AT_MOST) await read(unseen.slice(at, at + READ_AT_MOST), out);
    }
    // A key that an event settled while others were read is no longer in its table.
    const still = out.gone.filter(({ id }) => level.tableOf(id).textOf(suffixOf(id)) !== undefined);
    await intake.settle({ ...out, gone: still });
  }

  /** At the first walk: what the kernel holds and Redis does not was removed meanwhile, or Redis lost it. */
  async #compareWithKernel(): Promise<void> {
    const { kernelAtStart, level, intake } = this.#o;
    if (kernelAtStart === undefined) return;
    const out = outcome();
    const found = await kernelLosses(kernelAtStart(), level, this.#o);
    const before = { ban: found.ban.count, allow: found.allow.count };
    await intake.judgeKernel([...found.allow.losses, ...found.ban.losses], before, out);
  }
}
