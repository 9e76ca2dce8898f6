import type { EpochMs } from '../base/clock.js';
import type { ListName } from '../enforcement/set-backend.js';
import type { EntryId } from './keys.js';

/** An entry whose key went before its time without a journaled command. */
export interface Loss {
  readonly id: EntryId;
  /** Canonical prefix text. */
  readonly text: string;
  readonly until: EpochMs;
}

const WINDOW = 10_000;
const MORE_THAN = 20;
const SHARE = 0.5;

/**
 * Tells a person's unbans from a mass loss: more than half of the keys and more
 * than twenty of them within ten seconds (CONTRACT section 3). Judged for each
 * list by itself. A loss that goes on is held from then on without a new count.
 */
export class LossGuard {
  readonly #recent: Record<ListName, { at: EpochMs; loss: Loss }[]> = { ban: [], allow: [] };
  readonly #lastHeld: Record<ListName, EpochMs> = { ban: Number.NEGATIVE_INFINITY, allow: Number.NEGATIVE_INFINITY };
  /** Keys written since the last hold; their removal is somebody's wish again. */
  readonly #fresh = new Set<EntryId>();

  /** A key was written: it is no longer lost, whatever happened to it before. */
  written(id: EntryId, now: EpochMs): void {
    if (now - Math.max(this.#lastHeld.ban, this.#lastHeld.allow) < WINDOW && this.#fresh.size < 10_000) {
      this.#fresh.add(id);
    }
    for (const list of ['ban', 'allow'] as const) {
      if (this.#recent[list].length > 0) this.#recent[list] = this.#recent[list].filter(({ loss }) => loss.id !== id);
    }
  }

  /**
   * @param losses those that went now
   * @param before keys of the list before they went
   * @returns the losses to hold, earlier ones of the window included; `[]` when they are to be obeyed
   */
  judge(list: ListName, losses: readonly Loss[], before: number, now: EpochMs): readonly Loss[] {
    if (losses.length === 0) return [];
    const recent = this.#recent[list].filter(({ at }) => now - at < WINDOW);
    const goesOn = now - this.#lastHeld[list] < WINDOW;
    const count = recent.length + losses.length;
    if (count > MORE_THAN && count > (before + recent.length) * SHARE) {
      this.#lastHeld[list] = now;
      this.#recent[list] = [];
      this.#fresh.clear();
      return [...recent.map(({ loss }) => loss), ...losses];
    }
    const held = goesOn ? losses.filter(({ id }) => !this.#fresh.has(id)) : [];
    if (held.length > 0) this.#lastHeld[list] = now;
    const obeyed = goesOn ? losses.filter(({ id }) => this.#fresh.has(id)) : losses;
    this.#recent[list] = [...recent, ...obeyed.map((loss) => ({ at: now, loss }))];
    return held;
  }
}
