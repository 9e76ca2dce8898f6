/**
 * A regular expression over signature texts, written `/re/`. JavaScript's
 * engine backtracks, so an expression may take time that is exponential in the
 * length of the text. Signatures come from rule files, yet one unlucky line must
 * not stop the daemon: what can repeat inside a repetition is refused.
 */

const LONGEST = 200;
/**
 * Each repetition without an end adds one to the power of the text's length that
 * matching may cost, and so does a start that is not fixed by `^`.
 */
const MOST_REPETITIONS = 3;

export type PatternResult = RegExp | { readonly wrong: string; readonly fix: string };

/** Reads the text between the slashes. The result ignores case. */
export function signaturePattern(source: string): PatternResult {
  if (source.length === 0) return { wrong: 'the expression is empty', fix: 'write /text/' };
  if (source.length > LONGEST) {
    return { wrong: `the expression is longer than ${LONGEST} characters`, fix: 'shorten it, or list several' };
  }
  let expression: RegExp;
  try {
    expression = new RegExp(source, 'i');
  } catch (error) {
    return {
      wrong: `not a regular expression: ${(error as Error).message.replace(/^Invalid regular expression: /, '')}`,
      fix: 'correct it, or write the text without slashes',
    };
  }
  const danger = dangerIn(source);
  if (danger !== null) return { wrong: danger, fix: 'write a simpler expression, or list several' };
  return expression;
}

/** Why the expression may be slow, or `null`. Scans the source once; character classes count as one character. */
function dangerIn(source: string): string | null {
  /** For each open group: whether something in it repeats or it offers alternatives. */
  const groups: { branches: boolean }[] = [];
  let closed: { branches: boolean } | null = null;
  let unbounded = 0;
  for (let i = 0; i < source.length; i++) {
    const c = source[i];
    const quantifier = /^(?:[*+?]|\{\d+(?:,\d*)?\})/.exec(source.slice(i))?.[0];
    if (quantifier !== undefined) {
      const long = isLong(quantifier);
      if (quantifier !== '?' && closed?.branches) return 'a repeated group may not repeat or offer alternatives inside';
      if (long) unbounded += 1;
      for (const group of groups) group.branches = true;
      i += quantifier.length - 1;
      // A `?` after a quantifier only makes it lazy.
      if (source[i + 1] === '?') i += 1;
      closed = null;
      continue;
    }
    closed = null;
    if (c === '\\') {
      if (/[1-9k]/.test(source[i + 1] ?? '')) return 'references to groups are not supported';
      i += 1;
    } else if (c === '[') i = endOfClass(source, i);
    else if (c === '(') {
      groups.push({ branches: false });
      const prefix = /^\(\?(?:[:=!]|<[=!]|<[A-Za-z_$][\w$]*>)/.exec(source.slice(i))?.[0];
      if (prefix !== undefined) i += prefix.length - 1;
    } else if (c === ')') closed = groups.pop() ?? null;
    else if (c === '|') for (const group of groups) group.branches = true;
  }
  const most = source.startsWith('^') ? MOST_REPETITIONS : MOST_REPETITIONS - 1;
  return unbounded > most ? `more than ${most} repetitions without an end` : null;
}

function isLong(quantifier: string): boolean {
  if (quantifier === '?') return false;
  const most = /^\{\d+(?:,(\d+))?\}$/.exec(quantifier);
  if (most === null) return true;
  const bound = most[1] ?? /\d+/.exec(quantifier)?.[0];
  return Number(bound) > 20;
}

function endOfClass(source: string, start: number): number {
  for (let i = start + 1; i < source.length; i++) {
    if (source[i] === '\\') i += 1;
    else if (source[i] === ']') return i;
  }
  return source.length;
}
