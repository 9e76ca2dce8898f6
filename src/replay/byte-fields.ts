const SPACE = 32;
const COLON = 58;
const QUOTE = 34;
const BACKSLASH = 92;

/** A JSON key as bytes, to look for in lines that are not worth parsing. */
export function keyBytes(name: string): Buffer {
  return Buffer.from(`"${name}"`);
}

/**
 * The text value of the first such key in `buffer[from, to)`, without parsing
 * the line. Good enough to pass over most lines; what matters is parsed after.
 *
 * @returns `null` when there is none, or when it has an escape in it
 */
export function textOf(buffer: Buffer, key: Buffer, from: number, to: number): string | null {
  // Within the line only, so that lines without the key do not search all that follows.
  const found = buffer.subarray(from, to).indexOf(key);
  if (found < 0) return null;
  let at = from + found + key.length;
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
