import { type Clock, type EpochMs, FOREVER } from '../base/clock.js';
import type { Log } from '../base/log.js';
import type { Changed } from '../enforcement/desired.js';
import type { ListName } from '../enforcement/set-backend.js';
import { type EntryId, parseSuffix, suffixOf } from './keys.js';
import { type Level, listOf } from './level.js';
import { type Loss, LossGuard } from './loss-guard.js';
import type { Refusals } from './refusals.js';

const LISTS: readonly ListName[] = ['allow', 'ban'];
/** A key may go this much before its end, in ms, and still count as expired. */
export const DUE = 2000;
/** What the scripts say of a key that is not there. */
export const GONE = -2;
const GONE_BY_COMMAND = -4;

/** A key that was written, and whether it was not there before. */
export type WrittenKey = readonly [id: EntryId, isNew: boolean];

/** What people did to keys without a command of ours; handled off the hot path. */
export interface EditSink {
  /** Keys that were written: their value says whether by our own writers. */
  written(ids: readonly WrittenKey[]): void;
  /** Entries whose keys somebody removed. */
  unbanned(losses: readonly Loss[]): void;
  /** Removals taken for unbans that belong to a mass loss after all. */
  held(losses: readonly Loss[]): void;
}

/** What a batch of reads found. */
export interface Outcome {
  readonly changed: Record<ListName, string[]>;
  readonly gone: { readonly id: EntryId; readonly text: string; readonly until: EpochMs; readonly told: boolean }[];
  readonly written: WrittenKey[];
}

export const outcome = (): Outcome => ({ changed: { ban: [], allow: [] }, gone: [], written: [] });

export interface IntakeOptions {
  readonly level: Level;
  readonly refusals: Refusals;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: (changed: Changed) => void;
  readonly onHeld?: ((held: number) => void) | undefined;
  readonly edits?: EditSink | undefined;
}

/** Takes the states of keys, as read, into the level, and judges what is gone. */
export class Intake {
  readonly #o: IntakeOptions;
  readonly #guard = new LossGuard();
  /** Redis time minus our time, in ms. */
  skew = 0;
  /** When the loss that is held now began. */
  heldSince = 0;

  constructor(options: IntakeOptions) {
    this.#o = options;
  }

  /**
   * Takes in the state of one key.
   * @param ends ms since 1970 in Redis time, -1 permanent, -2 gone, -4 gone by a journaled command, or a type's name
   * @param byEvent whether somebody touched the key, so that its value is looked at too
   */
  see(id: EntryId, ends: number | string, out: Outcome, byEvent: boolean): void {
    const table = this.#o.level.tableOf(id);
    const suffix = suffixOf(id);
    let text = table.textOf(suffix);
    const isNew = text === undefined;
    if (typeof ends === 'string' || ends === GONE || ends === GONE_BY_COMMAND) {
      if (text !== undefined) {
        out.gone.push({ id, text, until: table.endOf(suffix) as EpochMs, told: ends === GONE_BY_COMMAND });
      }
      if (typeof ends === 'string') {
        this.#o.refusals.refuse(id, 'wrong_type', `the key holds a ${ends}; an entry is a plain string`);
      } else this.#o.refusals.forget(id);
      return;
    }
    const list = listOf(id);
    if (text === undefined) {
      const parsed = parseSuffix(id.startsWith('a') ? 'allow' : 'ban', suffix);
      if ('problem' in parsed) {
        this.#o.refusals.refuse(id, parsed.problem, parsed.detail);
        return;
      }
      text = parsed.text;
      this.#o.refusals.forget(id);
    }
    const before = this.#o.level.get(list, text);
    const changed = table.set(suffix, text, ends === -1 ? FOREVER : ends - this.skew);
    if (changed || byEvent) {
      this.#guard.written(id, this.#o.clock.now());
      if (this.#o.level.heldCount > 0 && this.#o.level.releaseText(list, text) && this.#o.level.heldCount === 0) {
        this.#o.onHeld?.(0);
      }
      out.written.push([id, isNew]);
      if (this.#o.level.get(list, text) !== before) out.changed[list].push(text);
    }
  }

  /** Applies what a batch of reads found, the kernel's part first. */
  settle(out: Outcome): void {
    const now = this.#o.clock.now();
    const { level } = this.#o;
    const early = out.gone.filter(({ until, told }) => !told && until > now + DUE);
    const held = this.#guard.judge(early, { ban: level.sizeOf('ban'), allow: level.sizeOf('allow') }, now);
    for (const { id, text } of out.gone) {
      level.tableOf(id).delete(suffixOf(id));
      out.changed[listOf(id)].push(text);
    }
    if (held.length > 0) this.hold(held, out);
    const kept = new Set(held);
    const obeyed = early.filter((loss) => !kept.has(loss));
    this.tell(out.changed);
    if (out.written.length > 0) this.#o.edits?.written(out.written);
    if (obeyed.length > 0) this.#o.edits?.unbanned(obeyed);
  }

  /** What the kernel held at start and Redis lacks: held when it is most of it, else a person's unbans. */
  judgeKernel(losses: readonly Loss[], before: Readonly<Record<ListName, number>>, out: Outcome): void {
    const kept = this.#guard.judge(losses, before, this.#o.clock.now());
    if (kept.length > 0) this.hold(kept, out);
    else if (losses.length > 0) this.#o.edits?.unbanned(losses);
  }

  /** Keeps entries wanted although their keys are gone. */
  hold(losses: readonly Loss[], out: Outcome): void {
    const first = this.#o.level.heldCount === 0;
    for (const loss of losses) {
      if (this.#o.level.tableOf(loss.id).textOf(suffixOf(loss.id)) !== undefined) continue;
      this.#o.level.hold(loss);
      out.changed[listOf(loss.id)].push(loss.text);
    }
    if (first) this.heldSince = this.#o.clock.now();
    this.#o.log.error(
      { held: this.#o.level.heldCount },
      'most keys went from Redis at once; their entries stay in the kernel until their own time: unban --held accepts the loss, ban --held writes the keys back',
    );
    this.#o.edits?.held(losses);
    this.#o.onHeld?.(this.#o.level.heldCount);
  }

  /** Tells the reconciler where to look. */
  tell(changed: Record<ListName, string[]>): void {
    for (const list of LISTS) if (changed[list].length > 0) this.#o.onChange({ list, texts: changed[list] });
  }
}
