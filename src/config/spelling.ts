import { isProblem, parsePrefix } from '../net/prefix.js';

/** Edits (insert, delete, replace, swap of neighbours) that turn one word into the other. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(replace, (previous[j] as number) + 1, (row[j - 1] as number) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (before[j - 2] as number) + 1);
      }
      row.push(best);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length] as number;
}

/** The known word that the writer probably meant, or `null` when none is near. Case, `-` and `_` do not count. */
export function nearest(word: string, known: readonly string[]): string | null {
  if (word.length > 64) return null;
  const plain = (text: string) => text.toLowerCase().replace(/[-\s]/g, '_');
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const edits = distance(plain(word), plain(candidate));
    if (edits < bestDistance) {
      best = candidate;
      bestDistance = edits;
    }
  }
  return bestDistance <= Math.max(1, Math.floor(word.length / 3)) ? best : null;
}

/** What to do about a key that does not exist here. */
export function keyFix(word: string, known: readonly string[]): string {
  if (known.includes('address') && !isProblem(parsePrefix(word))) return `write { address: ${word}, reason: ... }`;
  const near = nearest(word, known);
  return near === null ? `known here: ${known.join(', ')}` : `did you mean "${near}"?`;
}
