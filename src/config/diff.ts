import { stringify } from 'yaml';
import { canonical, isEmbedded, versionOf } from './build.js';
import type { ConfigDocument } from './load.js';
import { SECRET_KEYS, withoutSecrets } from './secrets.js';

/** What changed at one place; `null` = there is nothing on that side. */
export interface Change {
  /** Dotted path in the file; of a list, the path of the list and one entry of it. */
  readonly path: string;
  readonly before: string | null;
  readonly after: string | null;
}

export interface LineChange {
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed' | 'moved';
  /** Positions in the policy, counted from 1. */
  readonly from: number | null;
  readonly to: number | null;
  /** Of a changed line the parts that changed, of an added or removed one everything. */
  readonly parts: readonly Change[];
}

/** What one configuration means differently from another. Spelling, comments and order of keys do not count. */
export interface ConfigDiff {
  /** Policy versions. */
  readonly before: string;
  readonly after: string;
  readonly policy: readonly LineChange[];
  readonly keys: readonly Change[];
}

type Tree = Readonly<Record<string, unknown>>;
interface Side {
  /** In the words of the file; `undefined` where the file leaves it to the default. */
  readonly root: unknown;
  readonly written: unknown;
}
interface Line {
  readonly name: string;
  readonly side: Side;
}

const DEFAULT = '(default)';
const HIDDEN = '(not shown)';

/** Compares two configurations. Passwords are left out of what it says. */
export function diffConfigs(before: ConfigDocument, after: ConfigDocument): ConfigDiff {
  return {
    before: versionOf(before.written),
    after: versionOf(after.written),
    policy: lineChanges(linesOf(before), linesOf(after)),
    keys: changesAt('', withoutPolicy(before), withoutPolicy(after)),
  };
}

function withoutPolicy({ root, written }: ConfigDocument): Side {
  const redis = { ...written.redis, embedded: isEmbedded(written.redis) };
  return { root: { ...root, policy: undefined }, written: { ...written, redis, policy: undefined } };
}

function linesOf({ root, written }: ConfigDocument): Line[] {
  const asWritten = Array.isArray(root['policy']) ? (root['policy'] as unknown[]) : null;
  // The lines of the built-in policy have no text of their own.
  return written.policy.map((line, index) => ({
    name: line.name,
    side: { root: asWritten?.[index] ?? { when: DEFAULT, then: DEFAULT }, written: line },
  }));
}

function lineChanges(before: readonly Line[], after: readonly Line[]): LineChange[] {
  const was = new Map(before.map((line, index) => [line.name, { line, index }]));
  const is = new Map(after.map((line, index) => [line.name, { line, index }]));
  const moved = movedNames(
    before.map(({ name }) => name).filter((name) => is.has(name)),
    is,
  );
  const changes: LineChange[] = [];
  for (const [name, { line, index }] of was) {
    if (!is.has(name))
      changes.push({ name, change: 'removed', from: index + 1, to: null, parts: parts(line.side, null) });
  }
  for (const [name, { line, index }] of is) {
    const old = was.get(name);
    const to = index + 1;
    if (old === undefined) {
      changes.push({ name, change: 'added', from: null, to, parts: parts(null, line.side) });
      continue;
    }
    const from = old.index + 1;
    const changed = parts(old.line.side, line.side);
    if (changed.length > 0) changes.push({ name, change: 'changed', from, to, parts: changed });
    if (moved.has(name)) changes.push({ name, change: 'moved', from, to, parts: [] });
  }
  return changes;
}

/** The fewest lines whose moving makes the one order of the other: all but a longest run that kept its order. */
function movedNames(names: readonly string[], is: ReadonlyMap<string, { readonly index: number }>): Set<string> {
  const places = names.map((name) => is.get(name)?.index ?? 0);
  const longest: { length: number; previous: number }[] = [];
  let end = -1;
  for (const [i, place] of places.entries()) {
    let best = { length: 1, previous: -1 };
    for (let j = 0; j < i; j++) {
      const run = longest[j] as { length: number };
      if ((places[j] as number) < place && run.length >= best.length) best = { length: run.length + 1, previous: j };
    }
    longest.push(best);
    if (end < 0 || best.length > (longest[end]?.length ?? 0)) end = i;
  }
  const moved = new Set(names);
  for (; end >= 0; end = longest[end]?.previous ?? -1) moved.delete(names[end] as string);
  return moved;
}

/** A policy line as a tree: `when` key by key, and `then`. */
function parts(before: Side | null, after: Side | null): Change[] {
  const nothing: Side = { root: {}, written: {} };
  return changesAt('', before ?? nothing, after ?? nothing, null).filter(({ path }) => path !== 'name');
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param absent what stands for a key that one side leaves out */
function changesAt(path: string, before: Side, after: Side, absent: string | null = DEFAULT): Change[] {
  if (canonical(before.written ?? null) === canonical(after.written ?? null)) return [];
  const [a, b] = [before.root, after.root];
  if (SECRET_KEYS.includes(path)) return [{ path, before: HIDDEN, after: HIDDEN }];
  if ((isTree(a) || a === undefined) && (isTree(b) || b === undefined) && !(a === undefined && b === undefined)) {
    const names = new Set([...Object.keys(a ?? {}), ...Object.keys(b ?? {})]);
    const found = [...names].flatMap((name) =>
      changesAt(path === '' ? name : `${path}.${name}`, inside(before, name), inside(after, name), absent),
    );
    if (found.length > 0) return found;
  }
  if (Array.isArray(a) && Array.isArray(b)) return entryChanges(path, a, b);
  const [from, to] = [shownOr(a, absent), shownOr(b, absent)];
  return [{ path, before: from, after: from === to ? `${to} (another secret)` : to }];
}

/**
 * What a side says and means under one name. A condition of a policy line has
 * another name where it is read (`sid_range`, `sidRange`); it is then compared as it is written.
 */
function inside({ root, written }: Side, name: string): Side {
  const inner = isTree(root) ? root[name] : undefined;
  if (!isTree(written)) return { root: inner, written: inner };
  return { root: inner, written: Object.hasOwn(written, name) ? written[name] : inner };
}

/** Entries of a list that came and went; their order, when that is all that changed. */
function entryChanges(path: string, before: readonly unknown[], after: readonly unknown[]): Change[] {
  const [was, is] = [new Map(before.map(keyed)), new Map(after.map(keyed))];
  const gone = [...was].filter(([key]) => !is.has(key)).map(([, entry]) => entry);
  const come = [...is].filter(([key]) => !was.has(key)).map(([, entry]) => entry);
  if (gone.length + come.length === 0) return [{ path, before: shown(before), after: shown(after) }];
  return [
    ...gone.map((entry) => ({ path, before: shown(entry), after: null })),
    ...come.map((entry) => ({ path, before: null, after: shown(entry) })),
  ];
}

const keyed = (entry: unknown) => [canonical(entry), entry] as const;

function shownOr(value: unknown, absent: string | null): string | null {
  return value === undefined ? absent : shown(value);
}

/** A value as it could stand in the file, on one line. */
function shown(value: unknown): string {
  return withoutSecrets(stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim()).replace(/\s*\n\s*/g, ' ');
}
