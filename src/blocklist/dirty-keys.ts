import type { EntryId } from './keys.js';

/**
 * Keys that are to be read. Allow entries are taken before all others, so that
 * one counts before the ban that came with it.
 */
export class DirtyKeys {
  readonly #allows = new Set<EntryId>();
  readonly #others = new Set<EntryId>();

  get size(): number {
    return this.#allows.size + this.#others.size;
  }

  add(id: EntryId): void {
    (id.startsWith('a') ? this.#allows : this.#others).add(id);
  }

  has(id: EntryId): boolean {
    return this.#allows.has(id) || this.#others.has(id);
  }

  /** Takes at most `count` keys out. */
  take(count: number): EntryId[] {
    const taken: EntryId[] = [];
    const from = this.#allows.size > 0 ? this.#allows : this.#others;
    for (const id of from) {
      if (taken.push(id) === count) break;
    }
    for (const id of taken) from.delete(id);
    return taken;
  }
}
