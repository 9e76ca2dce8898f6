import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isRotatedName } from './siblings.js';

/** What rotation leaves behind is found by the tailer of its file, never followed as a file of its own. */
const NEVER_A_SOURCE = /\.(?:gz|xz|zst|bz2|lz4|lzma|Z|old|bak|orig|tmp|swp|\d+)$|~$|-\d{8}(?:\d{2})?(?:-\d+)?$/;

/** One entry of `suricata.eve`: a path, or a pattern with `*` and `?` in its last component. */
export interface EveGlob {
  readonly text: string;
  readonly directory: string;
  /** `null` when the entry is one literal path, followed also while it does not exist. */
  readonly pattern: RegExp | null;
}

/** Reads an entry. Wildcards in the directory part are literal characters. */
export function parseEveGlob(text: string): EveGlob {
  const last = basename(text);
  const pattern = /[*?]/.test(last)
    ? new RegExp(
        `^${last
          .replace(/[.+^${}()|[\]\\]/g, '\\$&')
          .replaceAll('*', '[^/]*')
          .replaceAll('?', '[^/]')}$`,
      )
    : null;
  return { text, directory: dirname(text), pattern };
}

/**
 * The paths that an entry names now, in order of name. Throws the system's
 * error when the directory cannot be listed.
 */
export function matchesOf(glob: EveGlob): string[] {
  const { pattern } = glob;
  if (pattern === null) return [glob.text];
  const names = readdirSync(glob.directory)
    .filter((name) => pattern.test(name) && !name.startsWith('.') && !NEVER_A_SOURCE.test(name))
    .sort();
  return names
    .filter((name) => !names.some((other) => other !== name && isRotatedName(name, other)))
    .map((name) => join(glob.directory, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
}
