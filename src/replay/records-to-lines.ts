const NEWLINE = 10;
const QUOTE = 34;
const BACKSLASH = 92;
const SPACE = 32;
const COMMA = 44;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;

/**
 * Turns a JSON array of records, or records that are written over several
 * lines, into one record a line, as Suricata writes them. Only brackets and
 * quotes are looked at; what is broken stays broken and is counted by who
 * reads the lines. Memory: two pieces.
 */
export async function* recordsToLines(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let depth = 0;
  let inText = false;
  let escaped = false;
  /** Something other than a record stands between records. */
  let stray = false;
  for await (const piece of pieces) {
    // A record of two bytes becomes three.
    const out = Buffer.allocUnsafe(piece.length * 2);
    let at = 0;
    for (const byte of piece) {
      const lineEnd = byte === NEWLINE || byte === 13;
      if (inText) {
        out[at++] = lineEnd ? SPACE : byte;
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        // JSON texts end before the line does, so that a cut record does not take the next ones with it.
        else if (byte === QUOTE || lineEnd) inText = false;
        continue;
      }
      const blank = lineEnd || byte === SPACE || byte === 9;
      if (depth === 0 && (blank || byte === COMMA || byte === OPEN_BRACKET || byte === CLOSE_BRACKET)) {
        if (stray) out[at++] = NEWLINE;
        stray = false;
        continue;
      }
      out[at++] = blank ? SPACE : byte;
      if (byte === QUOTE) inText = true;
      if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1;
      else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && depth > 0) {
        depth -= 1;
        if (depth === 0) out[at++] = NEWLINE;
        continue;
      }
      if (depth === 0) stray = true;
    }
    yield out.subarray(0, at);
  }
}

/**
 * Whether the beginning of a file shows records that do not each stand on a line
 * of their own: an array, or a first record that goes on on the next line.
 */
export function isSpread(head: string): boolean {
  const text = head.replace(/^\ufeff/, '').trimStart();
  if (text.startsWith('[')) return true;
  if (!text.startsWith('{')) return false;
  const [first, ...rest] = text.split('\n');
  const next = rest.find((line) => line.trim() !== '');
  return next !== undefined && !first?.trimEnd().endsWith('}') && !next.startsWith('{');
}
