import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter } from 'yaml';
import type { z } from 'zod';
import type { ConfigProblem } from './errors.js';
import { said, shown } from './scalars.js';

type Path = readonly PropertyKey[];
type Issue = z.core.$ZodIssue;

/** Dotted, with list positions counted from 0: `policy[2].when.sid`. */
export function pathText(path: Path): string {
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index > 0 ? '.' : ''}${String(part)}`))
    .join('');
}

/**
 * The 1-based line of what a path names: of its value, of its key when the key
 * is meant, or of the nearest thing around it that the file has.
 */
function lineOf(document: Document.Parsed, lines: LineCounter, path: Path, key: boolean): number {
  let node: unknown = document.contents;
  let offset = 0;
  const at = (found: unknown): void => {
    const range = (found as { range?: readonly number[] | null } | null)?.range;
    if (range) offset = range[0] as number;
  };
  at(node);
  for (const [index, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
      if (pair === undefined) break;
      // A block that begins on the next line is reported at its key.
      at(pair.key);
      if (!(key && index === path.length - 1) && isScalar(pair.value)) at(pair.value);
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      if (node === undefined) break;
      at(node);
    } else break;
  }
  return lines.linePos(offset).line;
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}

/** The issues of the one alternative that the writer meant, or the union's own when that is not clear. */
function expand(issue: Issue, base: Path): { issue: Issue; path: Path }[] {
  const path = [...base, ...issue.path];
  if (issue.code !== 'invalid_union') return [{ issue, path }];
  const meant = issue.errors.filter((branch) => !branch.some(isWrongType));
  const branch = meant.length === 1 ? meant[0] : undefined;
  return branch === undefined ? [{ issue, path }] : branch.flatMap((inner) => expand(inner, path));
}

function isWrongType(issue: Issue): boolean {
  return issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value');
}

/** Everything the schema found, each with its line, path and fix, in the order of the file. */
export function problemsOf(
  issues: readonly Issue[],
  root: unknown,
  document: Document.Parsed,
  lines: LineCounter,
): ConfigProblem[] {
  const problems = issues
    .flatMap((issue) => expand(issue, []))
    .flatMap(({ issue, path }) => {
      if (issue.code === 'unrecognized_keys') {
        const fixes = issue.message.split('\n');
        return issue.keys.map((key, index) => ({
          line: lineOf(document, lines, [...path, key], true),
          path: pathText([...path, key]),
          message: 'unknown key',
          fix: fixes[index] ?? '',
        }));
      }
      return [problem(issue, path, root, document, lines)];
    });
  return problems.sort((a, b) => a.line - b.line);
}

function problem(
  issue: Issue,
  path: Path,
  root: unknown,
  document: Document.Parsed,
  lines: LineCounter,
): ConfigProblem {
  const place = { line: lineOf(document, lines, path, false), path: pathText(path) };
  const value = valueAt(root, path);
  if (value === null) {
    return { ...place, message: 'has no value', fix: 'write one, or remove the key to get the default' };
  }
  if (value === undefined && issue.code === 'invalid_type') {
    return { ...place, message: 'is missing', fix: `add the key "${String(path.at(-1))}"` };
  }
  if (value === undefined && issue.code === 'invalid_value') {
    return { ...place, message: 'is missing', fix: `add the key "${String(path.at(-1))}"` };
  }
  const { message, fix } = said(issue.message);
  if (fix !== '') return { ...place, message, fix };
  if (issue.code === 'invalid_union') {
    const { message, fix } = said(firstWithFix(issue) ?? '');
    return {
      ...place,
      message: `${shown(value)} is not allowed here`,
      fix: fix || message || 'see the reference of the configuration',
    };
  }
  const kind = issue.code === 'invalid_type' ? issue.expected : 'value';
  const wanted = kind === 'array' ? 'write a list: [first, second]' : 'see the reference of the configuration';
  return { ...place, message: `${shown(value)} is not a ${kind === 'array' ? 'list' : kind}`, fix: wanted };
}

function firstWithFix(issue: Issue): string | undefined {
  if (issue.code !== 'invalid_union') return said(issue.message).fix === '' ? undefined : issue.message;
  for (const branch of issue.errors) {
    for (const inner of branch) {
      const found = firstWithFix(inner);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}
