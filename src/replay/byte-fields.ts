const SPACE = 32;
const COLON = 58;
const QUOTE = 34;
const BACKSLASH = 92;

/**
 * Text values of one key in lines that are not worth parsing, asked for line by
 * line. Good enough to pass over most lines; what matters is parsed after.
 */
export class ByteField {
  readonly #key: Buffer;
  #buffer: Buffer = Buffer.alloc(0);
  /** Where the key stands next; lines are asked for in order, so that each byte is searched once. */
  #found = 0;

  constructor(name: string) {
    this.#key = Buffer.from(`"${name}"`);
  }

  /** Begins with other lines. */
  in(buffer: Buffer): void {
    this.#buffer = buffer;
    this.#found = -1;
  }

  /** @returns the text at the first such key in `[from, to)`; `null` when there is none, or it has an escape in it */
  text(from: number, to: number): string | null {
    const buffer = this.#buffer;
    if (this.#found < from) {
      this.#found = buffer.indexOf(this.#key, from);
      if (this.#found < 0) this.#found = buffer.length;
    }
    if (this.#found >= to) return null;
    let at = this.#found + this.#key.length;
    while (buffer[at] === SPACE) at += 1;
    if (buffer[at] !== COLON) return null;
    at += 1;
    while (buffer[at] === SPACE) at += 1;
    if (buffer[at] !== QUOTE) return null;
    const start = at + 1;
    for (at = start; at < to; at++) {
      if (buffer[at] === QUOTE) return buffer.toString('latin1', start, at);
      if (buffer[at] === BACKSLASH) return null;
    }
    return null;
  }
}
