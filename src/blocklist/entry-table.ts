import { type EpochMs, FOREVER } from '../base/clock.js';

/** 2020-09-13, so that an end and the walk's mark fit a small integer, which V8 stores without a heap object. */
const ORIGIN = 1_600_000_000;
const FOREVER_SECONDS = 2 ** 30 - 1;

/**
 * When the keys of one kind end, by suffix. Nearly every suffix is the
 * canonical text of its prefix and costs one map entry; other spellings are kept
 * in a small table of exceptions. Whole seconds, rounded up, so that a ban never
 * ends early. One bit of each value says which walk saw the key last.
 */
export class EntryTable {
  readonly #codes = new Map<string, number>();
  /** Suffixes that are not canonical. */
  readonly #aliases = new Map<string, { readonly text: string; code: number }>();
  readonly #byText = new Map<string, string[]>();
  #mark = 0;

  /** Number of keys. */
  get size(): number {
    return this.#codes.size + this.#aliases.size;
  }

  /** The canonical text that this suffix names, when the key is known. */
  textOf(suffix: string): string | undefined {
    return this.#codes.has(suffix) ? suffix : this.#aliases.get(suffix)?.text;
  }

  /** When the key with this very suffix ends. */
  endOf(suffix: string): EpochMs | undefined {
    const code = this.#codes.get(suffix) ?? this.#aliases.get(suffix)?.code;
    return code === undefined ? undefined : decode(code);
  }

  /** The latest end of all spellings of this prefix, whether or not it is past. */
  get(text: string): EpochMs | undefined {
    const code = this.#codes.get(text);
    let until = code === undefined ? undefined : decode(code);
    if (this.#aliases.size > 0) {
      for (const suffix of this.#byText.get(text) ?? []) {
        const end = this.endOf(suffix) as EpochMs;
        if (until === undefined || end > until) until = end;
      }
    }
    return until;
  }

  /** Records a key. Returns whether it is new or ends at another second. */
  set(suffix: string, text: string, until: EpochMs): boolean {
    const code = encode(until, this.#mark);
    if (suffix === text) {
      const before = this.#codes.get(suffix);
      if (before === code) return false;
      this.#codes.set(suffix, code);
      return before === undefined || before >>> 1 !== code >>> 1;
    }
    const alias = this.#aliases.get(suffix);
    if (alias) {
      const changed = alias.code >>> 1 !== code >>> 1;
      alias.code = code;
      return changed;
    }
    this.#aliases.set(suffix, { text, code });
    this.#byText.set(text, [...(this.#byText.get(text) ?? []), suffix]);
    return true;
  }

  delete(suffix: string): void {
    const alias = this.#aliases.get(suffix);
    if (alias === undefined) {
      this.#codes.delete(suffix);
      return;
    }
    this.#aliases.delete(suffix);
    const rest = (this.#byText.get(alias.text) ?? []).filter((other) => other !== suffix);
    if (rest.length > 0) this.#byText.set(alias.text, rest);
    else this.#byText.delete(alias.text);
  }

  /** Canonical texts, each at least once. */
  *texts(): Generator<string> {
    yield* this.#codes.keys();
    yield* this.#byText.keys();
  }

  /** Canonical texts with the latest end of all spellings, past or not. */
  *entries(): Generator<readonly [string, EpochMs]> {
    const plain = this.#aliases.size === 0;
    for (const [text, code] of this.#codes) yield [text, plain ? decode(code) : (this.get(text) as EpochMs)];
    for (const text of this.#byText.keys()) if (!this.#codes.has(text)) yield [text, this.get(text) as EpochMs];
  }

  /** Suffixes of all keys, in any spelling. */
  *suffixes(): Generator<string> {
    yield* this.#codes.keys();
    yield* this.#aliases.keys();
  }

  /** Every spelling under which this prefix has a key. */
  spellings(text: string): string[] {
    return [...(this.#codes.has(text) ? [text] : []), ...(this.#byText.get(text) ?? [])];
  }

  /**
   * From now on `set` marks keys as seen by a new walk.
   * @param afterFailure whether the walk before broke off, so that old marks mean nothing
   */
  beginWalk(afterFailure: boolean): void {
    this.#mark ^= 1;
    if (!afterFailure) return;
    const old = this.#mark ^ 1;
    for (const [suffix, code] of this.#codes) this.#codes.set(suffix, (code & ~1) | old);
    for (const alias of this.#aliases.values()) alias.code = (alias.code & ~1) | old;
  }

  /** Suffixes that no `set` has touched since `beginWalk`. */
  *unseen(): Generator<string> {
    for (const [suffix, code] of this.#codes) if ((code & 1) !== this.#mark) yield suffix;
    for (const [suffix, { code }] of this.#aliases) if ((code & 1) !== this.#mark) yield suffix;
  }
}

function encode(until: EpochMs, mark: number): number {
  const seconds = until === FOREVER ? FOREVER_SECONDS : Math.min(Math.ceil(until / 1000) - ORIGIN, FOREVER_SECONDS - 1);
  return (Math.max(0, seconds) << 1) | mark;
}

function decode(code: number): EpochMs {
  const seconds = code >>> 1;
  return seconds === FOREVER_SECONDS ? FOREVER : (seconds + ORIGIN) * 1000;
}
