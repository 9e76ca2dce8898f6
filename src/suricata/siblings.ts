/**
 * What a rotation leaves beside a file: renamed generations (`eve.json.1`,
 * `eve.json-20261122`), copies that a truncation made, compressed ones.
 */
import { closeSync, lstatSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { beginsLike, type FileMark, holds } from './bookmark.js';
import { type FileFacts, type FileId, factsOf, factsOfFd, openForReading, sameFile } from './open-file.js';

const COMPRESSED = /\.(?:gz|xz|zst|bz2|lz4|lzma|Z)$/;
/** A directory of more than this is not a log directory; what lies beyond is not looked at. */
const MOST_ENTRIES = 8192;

export interface Entry extends FileFacts {
  readonly path: string;
  /** Whether the name says that it is a rotated generation: the file's own name and a suffix. */
  readonly rotated: boolean;
  /** Whether the name begins like the file's without its extension (`eve.1.json` beside `eve.json`). */
  readonly kindred: boolean;
  readonly compressed: boolean;
}

/** The file that a path names now: the path itself, or where its symbolic link leads. */
export function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Whether `name` is `base` with a suffix as rotation adds it. */
export function isRotatedName(name: string, base: string): boolean {
  return name.length > base.length && name.startsWith(base) && /^[._~-]/.test(name.slice(base.length));
}

/** The regular files beside `path` (and beside its link's target), the path itself included. */
export function filesAround(path: string, real = realPathOf(path)): Entry[] {
  const found: Entry[] = [];
  const bases = [...new Set([basename(path), basename(real)])];
  for (const directory of new Set([dirname(path), dirname(real)])) {
    let names: string[];
    try {
      names = readdirSync(directory);
    } catch {
      continue;
    }
    for (const name of names.slice(0, MOST_ENTRIES)) {
      const at = join(directory, name);
      const st = lstatSync(at, { bigint: true, throwIfNoEntry: false });
      if (!st?.isFile()) continue;
      const kindred = bases.some((base) => name.startsWith(basename(base, extname(base))));
      const rotated = bases.some((base) => isRotatedName(name, base));
      found.push({ ...factsOf(st), path: at, rotated, kindred, compressed: COMPRESSED.test(name) });
    }
  }
  return found;
}

/** Opens an entry and makes sure that the name did not move to another file meanwhile. `null` when it did or cannot be read. */
export function openEntry(entry: Entry): { fd: number; facts: FileFacts } | null {
  let fd: number;
  try {
    fd = openForReading(entry.path);
  } catch {
    return null;
  }
  try {
    const facts = factsOfFd(fd);
    if (sameFile(facts, entry)) return { fd, facts };
  } catch {
    // As if it had moved.
  }
  closeSync(fd);
  return null;
}

/** The longest plain file that holds what was read up to this mark, other than the files in `except`. Its descriptor is the caller's. */
export function findByContent(
  entries: readonly Entry[],
  mark: FileMark,
  except: readonly FileId[],
): { fd: number; facts: FileFacts } | null {
  const able = entries.filter(
    (entry) =>
      entry.kindred && !entry.compressed && entry.size >= mark.offset && !except.some((file) => sameFile(file, entry)),
  );
  for (const entry of able.sort((a, b) => b.size - a.size)) {
    const opened = openEntry(entry);
    if (opened === null) continue;
    if (holds(opened.fd, mark)) return opened;
    closeSync(opened.fd);
  }
  return null;
}

/**
 * Rotated generations that were never read: written after `since`, and not
 * beginning like anything that was. Oldest first; descriptors are the caller's.
 */
export function findUnread(
  entries: readonly Entry[],
  since: number,
  held: readonly FileId[],
  known: readonly FileMark[],
): { fd: number; facts: FileFacts }[] {
  const found: { fd: number; facts: FileFacts }[] = [];
  const able = entries.filter(
    (entry) =>
      entry.rotated &&
      !entry.compressed &&
      entry.size > 0 &&
      entry.mtime >= since &&
      !held.some((file) => sameFile(file, entry)),
  );
  for (const entry of able.sort((a, b) => a.mtime - b.mtime)) {
    const opened = openEntry(entry);
    if (opened === null) continue;
    if (known.some((mark) => beginsLike(opened.fd, mark))) closeSync(opened.fd);
    else found.push(opened);
  }
  return found;
}
