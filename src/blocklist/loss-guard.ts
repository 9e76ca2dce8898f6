import type { EpochMs } from '../base/clock.js';
import type { ListName } from '../enforcement/set-backend.js';
import { type EntryId, kindOf } from './keys.js';

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
 * Tells a person's unbans from a mass loss: more than twenty keys and more than
 * half of them within ten seconds, of the bans, of the allows, or of both
 * together (CONTRACT section 3). Whatever went in that time is then held, the
 * few allows of a list full of bans included: a lost allow must not let a held
 * ban come into force. A loss that goes on is held from then on without a new
 * count.
 */
export class LossGuard {
  #recent: { readonly at: EpochMs; readonly loss: Loss }[] = [];
  #lastHeld: EpochMs = Number.NEGATIVE_INFINITY;
  /** Keys written since the last hold; their removal is somebody's wish again. */
  readonly #fresh = new Set<EntryId>();

  /** A key was written: it is no longer lost, whatever happened to it before. */
  written(id: EntryId, now: EpochMs): void {
    if (now - this.#lastHeld < WINDOW && this.#fresh.size < 10_000) this.#fresh.add(id);
    if (this.#recent.length > 0) this.#recent = this.#recent.filter(({ loss }) => loss.id !== id);
  }

  /**
   * @param losses those that went now
   * @param before keys of each list before they went
   * @returns the losses to hold, earlier ones of the window included; `[]` when they are to be obeyed
   */
  judge(losses: readonly Loss[], before: Readonly<Record<ListName, number>>, now: EpochMs): readonly Loss[] {
    if (losses.length === 0) return [];
    const recent = this.#recent.filter(({ at }) => now - at < WINDOW);
    if (isMass(recent, losses, before)) {
      this.#lastHeld = now;
      this.#recent = [];
      this.#fresh.clear();
      return [...recent.map(({ loss }) => loss), ...losses];
    }
    const goesOn = now - this.#lastHeld < WINDOW;
    const held = goesOn ? losses.filter(({ id }) => !this.#fresh.has(id)) : [];
    if (held.length > 0) this.#lastHeld = now;
    const obeyed = goesOn ? losses.filter(({ id }) => this.#fresh.has(id)) : losses;
    this.#recent = [...recent, ...obeyed.map((loss) => ({ at: now, loss }))];
    return held;
  }
}

const LISTS: readonly ListName[] = ['ban', 'allow'];

function isMass(
  recent: readonly { readonly loss: Loss }[],
  losses: readonly Loss[],
  before: Readonly<Record<ListName, number>>,
): boolean {
  const earlier = count(recent.map(({ loss }) => loss));
  const now = count(losses);
  const lost = LISTS.map((list) => earlier[list] + now[list]);
  const there = LISTS.map((list) => earlier[list] + before[list]);
  lost.push(recent.length + losses.length);
  there.push(recent.length + before.ban + before.allow);
  return lost.some((n, i) => n > MORE_THAN && n > (there[i] as number) * SHARE);
}

function count(losses: readonly Loss[]): Record<ListName, number> {
  const allow = losses.filter(({ id }) => kindOf(id) === 'allow').length;
  return { ban: losses.length - allow, allow };
}
