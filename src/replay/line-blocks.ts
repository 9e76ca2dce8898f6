const NEWLINE = 10;
const NOTHING: Buffer = Buffer.alloc(0);

/** Complete lines, each with its newline. The buffer is reused: read it before asking for the next. */
export interface LineBlock {
  readonly lines: Buffer;
  /** The one last line of the input, which may have been cut; its newline is added where it had none. */
  readonly last: boolean;
}

/**
 * Puts pieces of a file together to blocks of complete lines, without copying
 * what lies inside one piece. Memory is bounded by the longest line and one piece.
 *
 * @param longestLine bytes; a longer line is passed over and told by `passedOver`
 */
export async function* lineBlocks(
  pieces: AsyncIterable<Buffer>,
  longestLine: number,
  passedOver: () => void,
): AsyncGenerator<LineBlock> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let skipping = false;
  const hold = (piece: Buffer) => {
    if (piece.length === 0) return;
    // The piece's memory is used again for the next.
    held.push(Buffer.from(piece));
    heldBytes += piece.length;
  };
  const take = (): Buffer => {
    const all = held.length === 1 ? (held[0] as Buffer) : Buffer.concat(held);
    held = [];
    heldBytes = 0;
    return all;
  };

  for await (const piece of pieces) {
    let from = 0;
    if (skipping) {
      const end = piece.indexOf(NEWLINE);
      if (end < 0) continue;
      passedOver();
      skipping = false;
      from = end + 1;
    }
    // A line that is complete is held as well where only blanks follow: it may turn out to be the last of all.
    let end = piece.length;
    while (end > from && isBlank(piece[end - 1] as number)) end -= 1;
    const start = end > from ? piece.lastIndexOf(NEWLINE, end - 1) + 1 : from;
    if (start > from) {
      if (heldBytes > 0) {
        const first = piece.indexOf(NEWLINE, from) + 1;
        hold(piece.subarray(from, first));
        yield { lines: take(), last: false };
        from = first;
      }
      if (start > from) yield { lines: piece.subarray(from, start), last: false };
      from = start;
    }
    hold(piece.subarray(from));
    if (heldBytes <= longestLine) continue;
    const all = take();
    const complete = all.lastIndexOf(NEWLINE) + 1;
    if (complete > 0) yield { lines: all.subarray(0, complete), last: false };
    if (all.length - complete > longestLine) skipping = true;
    else hold(all.subarray(complete));
  }
  if (skipping) passedOver();
  yield* ending(heldBytes === 0 ? NOTHING : take());
}

/** What is left at the end of the input: lines, and the last of them by itself. */
function* ending(rest: Buffer): Generator<LineBlock> {
  let end = rest.length;
  while (end > 0 && isBlank(rest[end - 1] as number)) end -= 1;
  if (end === 0) return;
  const start = rest.subarray(0, end).lastIndexOf(NEWLINE) + 1;
  if (start > 0) yield { lines: rest.subarray(0, start), last: false };
  yield { lines: Buffer.concat([rest.subarray(start, end), Buffer.from('\n')]), last: true };
}

function isBlank(byte: number): boolean {
  return byte === NEWLINE || byte === 13 || byte === 32 || byte === 9;
}
