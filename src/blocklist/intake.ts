import { type Clock, type EpochMs, FOREVER } from '../base/clock.js';
import type { Log } from '../base/log.js';
import type { Changed } from '../enforcement/desired.js';
import type { ListName } from '../enforcement/set-backend.js';
import { type EntryId, parseSuffix, suffixOf } from './keys.js';
import { type Level, listOf } from './level.js';
import { type Loss, LossGuard } from './loss-guard.js';
import type { Refusals } from './refusals.js';

const LISTS: readonly ListName[] = ['allow', 'ban'];
/** Entries handled before the event loop gets a turn: about 1 ms of work. */
const CHUNK = 500;
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
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
  /** Every key found at start; read as it is consumed. */
  all?(ids: Iterable<WrittenKey>): void;
  /** What a mode key was found to say, `''` when it was removed. */
  mode?(key: string, value: string): void;
  /** Entries whose keys somebody removed. */
  unbanned(losses: readonly Loss[]): void;
  /** A mass loss of `total` entries; these, told in parts, were taken for unbans before. */
  held(losses: readonly Loss[], total: number): void;
}

export const breathe = () => new Promise<void>((resolve) => setImmediate(resolve));

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
  /** Keys seen while a long settlement runs; what it found of them is older. */
  #seenMeanwhile: Set<EntryId> | null = null;
  #settling = 0;
  /** Losses that are being entered as held, piece by piece. */
  #entering = 0;
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
    this.#seenMeanwhile?.add(id);
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
    text ??= this.#understand(id, suffix);
    if (text === undefined) return;
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

  /**
   * Takes in one key of the first walk: nothing is told of bans, because the
   * whole level is compared when the walk is over.
   */
  load(id: EntryId, ends: number | string, out: Outcome): void {
    const table = this.#o.level.tableOf(id);
    const suffix = suffixOf(id);
    const known = table.textOf(suffix);
    const quiet = this.#settling === 0 && this.#guard.remembered === 0 && this.#o.level.heldCount === 0;
    if (typeof ends === 'string' || ends < -1 || !quiet) {
      this.see(id, ends, out, false);
      return;
    }
    const text = known ?? this.#understand(id, suffix);
    if (text === undefined) return;
    if (table.set(suffix, text, ends === -1 ? FOREVER : ends - this.skew) && listOf(id) === 'allow') {
      out.changed.allow.push(text);
    }
  }

  #understand(id: EntryId, suffix: string): string | undefined {
    if (IPV4.test(suffix)) {
      this.#o.refusals.forget(id);
      return suffix;
    }
    const parsed = parseSuffix(id.startsWith('a') ? 'allow' : 'ban', suffix);
    if ('problem' in parsed) {
      this.#o.refusals.refuse(id, parsed.problem, parsed.detail);
      return undefined;
    }
    this.#o.refusals.forget(id);
    return parsed.text;
  }

  /**
   * Applies what a batch of reads found, the kernel's part first, in pieces
   * that leave the event loop to others. A key seen again meanwhile is left alone.
   */
  async settle(out: Outcome): Promise<void> {
    const now = this.#o.clock.now();
    this.#guard.prune(now);
    const { level, edits } = this.#o;
    const early = out.gone.filter(({ until, told }) => !told && until > now + DUE);
    const held = this.#guard.judge(early, { ban: level.sizeOf('ban'), allow: level.sizeOf('allow') }, now);
    const kept = new Set<Loss>(held);
    if (held.length === 0) await this.#settleGone(out, kept);
    else {
      await this.#entered(async () => {
        await this.#settleGone(out, kept);
        // Losses of earlier batches, obeyed then, belong to this one.
        const now = new Set<Loss>(early);
        await this.#hold(
          held.filter((loss) => !now.has(loss)),
          held.length,
          out,
        );
      });
    }
    this.tell(out.changed);
    if (out.written.length > 0) edits?.written(out.written);
    const obeyed = kept.size === 0 ? early : early.filter((loss) => !kept.has(loss));
    if (obeyed.length > 0) edits?.unbanned(obeyed);
  }

  async #settleGone(out: Outcome, kept: ReadonlySet<Loss>): Promise<void> {
    if (out.gone.length === 0) return;
    const { level } = this.#o;
    this.#settling += 1;
    this.#seenMeanwhile ??= new Set();
    const seen = this.#seenMeanwhile;
    try {
      let done = 0;
      for (const loss of out.gone) {
        if (++done % CHUNK === 0) {
          this.#tellBans(out);
          await breathe();
        }
        if (seen.has(loss.id)) continue;
        if (kept.has(loss)) level.hold(loss);
        level.tableOf(loss.id).delete(suffixOf(loss.id));
        out.changed[listOf(loss.id)].push(loss.text);
      }
    } finally {
      this.#settling -= 1;
      if (this.#settling === 0) this.#seenMeanwhile = null;
    }
  }

  /** Lets every held entry go, those too that are still being entered. */
  async dropHeld(): Promise<void> {
    const { level, onHeld } = this.#o;
    let more: boolean;
    do {
      more = this.#entering > 0;
      const out = outcome();
      let count = 0;
      for (const { id, text } of [...level.held()]) {
        level.release(id);
        out.changed[listOf(id)].push(text);
        count += 1;
        if (count % CHUNK > 0) continue;
        this.#tellBans(out);
        await breathe();
      }
      this.tell(out.changed);
      if (more) await breathe();
    } while (more);
    onHeld?.(level.heldCount);
  }

  async #entered(enter: () => Promise<void>): Promise<void> {
    if (this.#o.level.heldCount === 0) this.heldSince = this.#o.clock.now();
    this.#entering += 1;
    try {
      await enter();
    } finally {
      this.#entering -= 1;
    }
  }

  /** What the kernel held at start and Redis lacks: held when it is most of it, else a person's unbans. */
  async judgeKernel(losses: readonly Loss[], before: Readonly<Record<ListName, number>>, out: Outcome): Promise<void> {
    const kept = this.#guard.judge(losses, before, this.#o.clock.now());
    if (kept.length > 0) {
      await this.#entered(() => this.#hold(kept, kept.length, out));
    } else if (losses.length > 0) this.#o.edits?.unbanned(losses);
  }

  /** Keeps entries wanted although their keys are gone. */
  async #hold(losses: readonly Loss[], total: number, out: Outcome): Promise<void> {
    const { level, edits, log, onHeld } = this.#o;
    edits?.held([], total);
    for (let at = 0; at < losses.length; at += CHUNK) {
      const part = losses.slice(at, at + CHUNK);
      for (const loss of part) {
        if (level.tableOf(loss.id).textOf(suffixOf(loss.id)) !== undefined) continue;
        level.hold(loss);
        out.changed[listOf(loss.id)].push(loss.text);
      }
      edits?.held(part, total);
      this.#tellBans(out);
      await breathe();
    }
    log.error(
      { held: level.heldCount },
      'most keys went from Redis at once; their entries stay in the kernel until their own time: unban --held accepts the loss, ban --held writes the keys back',
    );
    onHeld?.(level.heldCount);
  }

  /** Bans are told piece by piece; allows together, because the protections are then computed anew. */
  #tellBans(out: Outcome): void {
    this.tell({ ban: out.changed.ban.splice(0), allow: [] });
  }

  /** Tells the reconciler where to look. */
  tell(changed: Readonly<Record<ListName, readonly string[]>>): void {
    for (const list of LISTS) if (changed[list].length > 0) this.#o.onChange({ list, texts: changed[list] });
  }
}
