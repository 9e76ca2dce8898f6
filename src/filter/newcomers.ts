/**
 * Sources of which one packet was seen so far: a small table that stays in the
 * processor's cache, in front of the large one of `SourceRecords`. Only who comes a
 * second time gets a record, so that a flood of forged sources, each of which comes
 * once, neither displaces anybody's counts nor costs a walk to memory.
 *
 * A bucket is one cache line of two entries; a new source takes the older one.
 */
import { hash } from './source-records.js';

const ENTRY_WORDS = 8;
const BUCKET_WORDS = 16;
const AT = 4;
const VALUES = 5;
const FLAGS = 7;
const USED = 1;
const COUNTED = 2;

export class Newcomers {
  /** Set by `seen` when it answers true, about the packet before: when it came, whether it was counted, its values. */
  at = 0;
  counted = false;
  value0 = 0;
  value1 = 0;
  /** Sources that were forgotten while their packet was still within the window. */
  evictions = 0;
  readonly #mask: number;
  readonly #seed: number;
  readonly #keepMs: number;
  readonly #words: Int32Array;

  /**
   * @param entries a power of two
   * @param keepMs how long a packet still matters
   */
  constructor(entries: number, seed: number, keepMs: number) {
    this.#keepMs = keepMs;
    this.#mask = entries / 2 - 1;
    this.#seed = seed;
    this.#words = new Int32Array(entries * ENTRY_WORDS);
  }

  /** Whether the source came before, as told by the fields; it is forgotten here then. */
  seen(k0: number, k1: number, k2: number, k3: number): boolean {
    const words = this.#words;
    const first = (hash(this.#seed, k0, k1, k2, k3, 0) & this.#mask) * BUCKET_WORDS;
    for (let at = first; at < first + BUCKET_WORDS; at += ENTRY_WORDS) {
      if (words[at] !== k0 || words[at + 1] !== k1 || words[at + 2] !== k2 || words[at + 3] !== k3) continue;
      const flags = words[at + FLAGS] as number;
      if (flags === 0) continue;
      this.at = words[at + AT] as number;
      this.counted = (flags & COUNTED) !== 0;
      this.value0 = words[at + VALUES] as number;
      this.value1 = words[at + VALUES + 1] as number;
      words[at + FLAGS] = 0;
      return true;
    }
    return false;
  }

  /** Notes the first packet of a source that `seen` does not know. */
  add(now: number, counted: boolean, value0: number, value1: number, k0: number, k1: number, k2: number, k3: number) {
    const words = this.#words;
    const first = (hash(this.#seed, k0, k1, k2, k3, 0) & this.#mask) * BUCKET_WORDS;
    const second = first + ENTRY_WORDS;
    const at =
      words[first + FLAGS] === 0 ||
      (words[second + FLAGS] !== 0 && (((words[first + AT] as number) - (words[second + AT] as number)) | 0) <= 0)
        ? first
        : second;
    if (words[at + FLAGS] !== 0 && ((now - (words[at + AT] as number)) | 0) < this.#keepMs) this.evictions += 1;
    words[at] = k0;
    words[at + 1] = k1;
    words[at + 2] = k2;
    words[at + 3] = k3;
    words[at + AT] = now;
    words[at + VALUES] = value0;
    words[at + VALUES + 1] = value1;
    words[at + FLAGS] = counted ? USED | COUNTED : USED;
  }
}
