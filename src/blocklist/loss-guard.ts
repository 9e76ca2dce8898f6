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
  /** Recent losses that were obeyed, the oldest first. */
  readonly #recent = new Map<EntryId, { readonly at: EpochMs; readonly loss: Loss }>();
  #recentAllows = 0;
  #lastHeld: EpochMs = Number.NEGATIVE_INFINITY;
  /** Keys written since the last hold; their removal is somebody's wish again. */
  readonly #fresh = new Set<EntryId>();

  /** A key was written: it is no longer lost, whatever happened to it before. */
  written(id: EntryId, now: EpochMs): void {
    if (now - this.#lastHeld < WINDOW) {
      if (this.#fresh.size < 10_000) this.#fresh.add(id);
    } else if (this.#fresh.size > 0) this.#fresh.clear();
    if (this.#recent.size > 0) this.#forget(id);
  }

  /** Number of losses remembered now. */
  get remembered(): number {
    return this.#recent.size;
  }

  /** Forgets what lies before the window; each loss is forgotten once, so that frequent calls cost nothing. */
  prune(now: EpochMs): void {
    for (const [id, { at }] of this.#recent) {
      if (now - at < WINDOW) break;
      this.#forget(id);
    }
  }

  /**
   * @param losses those that went now
   * @param before keys of each list before they went
   * @returns the losses to hold, earlier ones of the window included; `[]` when they are to be obeyed
   */
  judge(losses: readonly Loss[], before: Readonly<Record<ListName, number>>, now: EpochMs): readonly Loss[] {
    if (losses.length === 0) return [];
    this.prune(now);
    if (this.#isMass(losses, before)) {
      const held = [...Array.from(this.#recent.values(), ({ loss }) => loss), ...losses];
      this.#lastHeld = now;
      this.#recent.clear();
      this.#recentAllows = 0;
      this.#fresh.clear();
      return held;
    }
    const goesOn = now - this.#lastHeld < WINDOW;
    const held: Loss[] = [];
    for (const loss of losses) {
      if (goesOn && !this.#fresh.has(loss.id)) held.push(loss);
      else this.#remember(loss, now);
    }
    if (held.length > 0) this.#lastHeld = now;
    return held;
  }

  #isMass(losses: readonly Loss[], before: Readonly<Record<ListName, number>>): boolean {
    let allows = 0;
    for (const { id } of losses) if (kindOf(id) === 'allow') allows += 1;
    const earlier = { allow: this.#recentAllows, ban: this.#recent.size - this.#recentAllows };
    const isMost = (lost: number, there: number) => lost > MORE_THAN && lost > there * SHARE;
    return (
      isMost(earlier.allow + allows, earlier.allow + before.allow) ||
      isMost(earlier.ban + losses.length - allows, earlier.ban + before.ban) ||
      isMost(this.#recent.size + losses.length, this.#recent.size + before.ban + before.allow)
    );
  }

  #remember(loss: Loss, at: EpochMs): void {
    this.#forget(loss.id);
    this.#recent.set(loss.id, { at, loss });
    if (kindOf(loss.id) === 'allow') this.#recentAllows += 1;
  }

  #forget(id: EntryId): void {
    if (this.#recent.delete(id) && kindOf(id) === 'allow') this.#recentAllows -= 1;
  }
}
