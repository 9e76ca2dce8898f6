import { readFileSync } from 'node:fs';
import { type Document, isMap, isNode, isSeq, LineCounter, parseDocument, stringify, visit } from 'yaml';
import { messageOf } from '../base/errors.js';
import { build, type WrittenLine } from './build.js';
import type { Config } from './config.js';
import { ConfigError, type ConfigProblem } from './errors.js';
import { problemsOf } from './problems.js';
import { schema, type Written } from './schema.js';

const LARGEST_FILE = 4 * 2 ** 20;

/**
 * Reads the configuration file (YAML 1.2, core schema).
 * @throws ConfigError with every problem at once: `unreadable`, `not_yaml` or `invalid`
 */
export function loadConfig(file: string): Config {
  return parseConfig(readConfigText(file), file);
}

/**
 * The text of the file, for whoever has to keep or quote it.
 * @throws ConfigError `unreadable`, `not_yaml`
 */
export function readConfigText(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const message =
      code === 'ENOENT'
        ? 'no such file'
        : code === 'EACCES'
          ? 'no permission to read it'
          : code === 'EISDIR'
            ? 'is a directory'
            : messageOf(error);
    const fix =
      code === 'EACCES'
        ? 'run as root, or name another with --config FILE'
        : 'check the path; --config FILE names another configuration';
    throw new ConfigError('unreadable', file, [{ line: 0, path: '', message, fix }]);
  }
  if (bytes.length > LARGEST_FILE) {
    const fix = 'move long lists to keys of Redis (barricata allow, barricata ban)';
    throw new ConfigError('unreadable', file, [{ line: 0, path: '', message: 'larger than 4 MiB', fix }]);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const fix = 'save it as UTF-8 text';
    throw new ConfigError('not_yaml', file, [{ line: 0, path: '', message: 'is not UTF-8 text', fix }]);
  }
}

const YAML_FIXES: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'indent with spaces',
  DUPLICATE_KEY: 'keep one of the two',
  MULTIPLE_DOCS: 'remove the line ---, and what follows it',
  BAD_INDENT: 'align it with its neighbours',
  BLOCK_AS_IMPLICIT_KEY: 'put quotes around texts that contain ": "',
  MULTILINE_IMPLICIT_KEY: 'look for a missing colon on this line or the one before',
  MISSING_CHAR: 'close the quote or bracket',
};

/**
 * The same from text that was read elsewhere.
 * @param file the name that messages give
 */
export function parseConfig(text: string, file: string): Config {
  const { written, itemIn } = readDocument(text, file);
  return build(
    written,
    file,
    itemIn('policy'),
    (index) => itemIn('never_ban')(index)?.line ?? 0,
    itemIn('filter.rules'),
  );
}

/** One file as it is written, and as it is meant. */
export interface ConfigDocument {
  /** In the words of the file; what it leaves out is not there. */
  readonly root: Readonly<Record<string, unknown>>;
  /** In plain units, with the defaults. */
  readonly written: Written;
  /** Where an item of a list (`policy`, `filter.rules`) stands, by its position; `null` where the file has none. */
  readonly itemIn: (list: string) => (index: number) => WrittenLine | null;
}

/** @throws ConfigError `not_yaml`, `invalid` */
export function readDocument(text: string, file: string): ConfigDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, { version: '1.2', schema: 'core', lineCounter: lines, prettyErrors: false });
  const broken: ConfigProblem[] = [...document.errors, ...document.warnings].map((error) => ({
    line: lines.linePos(error.pos[0]).line,
    path: '',
    message:
      error.code === 'DUPLICATE_KEY' ? `the key ${keyAt(text, error.pos[0])} is written twice` : oneLine(error.message),
    fix: YAML_FIXES[error.code] ?? 'correct the YAML here',
  }));
  const unresolved: ConfigProblem[] = [];
  visit(document, {
    Alias: (_, alias) => {
      if (alias.resolve(document) !== undefined) return;
      const line = lines.linePos(alias.range?.[0] ?? 0).line;
      const fix = `write &${alias.source} before the value it stands for, or put quotes around a text that begins with *`;
      unresolved.push({ line, path: '', message: `*${alias.source} stands for nothing`, fix });
    },
  });
  // After a duplicate key the rest still reads as it is meant; after anything else it may not.
  const readable = document.errors.every((error) => error.code === 'DUPLICATE_KEY') && unresolved.length === 0;
  if (!readable) throw new ConfigError('not_yaml', file, [...broken, ...unresolved]);

  let root: unknown;
  try {
    root = document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (error) {
    const fix = 'write the values out instead of using aliases';
    throw new ConfigError('not_yaml', file, [...broken, { line: 0, path: '', message: messageOf(error), fix }]);
  }
  if (typeof root !== 'object' || Array.isArray(root)) {
    const fix = 'write keys and values, such as "mode: enforce"';
    throw new ConfigError('invalid', file, [
      ...broken,
      { line: 1, path: '', message: 'is not a mapping of keys', fix },
    ]);
  }
  const read = schema.safeParse(root);
  if (!read.success || broken.length > 0) {
    const found = read.success ? [] : problemsOf(read.error.issues, root, document, lines);
    throw new ConfigError(
      'invalid',
      file,
      [...broken, ...found].sort((a, b) => a.line - b.line),
    );
  }
  const itemIn = (list: string) => (index: number) => itemOf(document, lines, list, index);
  return { root: root as Record<string, unknown>, written: read.data, itemIn };
}

/** Longest text of a policy line that is kept to be quoted. */
const QUOTED = 500;

/** An item of a list by its dotted path; `null` where the file has none. */
function itemOf(document: Document.Parsed, lines: LineCounter, key: string, index: number): WrittenLine | null {
  const list = isMap(document.contents) ? document.contents.getIn(key.split('.'), true) : null;
  const item = isSeq(list) ? list.items[index] : undefined;
  if (!isNode(item) || !item.range) return null;
  const text = stringify(item.toJS(document), { collectionStyle: 'flow', lineWidth: 0 }).trim();
  const quoted = text.length > QUOTED ? `${text.slice(0, QUOTED - 1)}…` : text;
  return { line: lines.linePos(item.range[0]).line, text: quoted };
}

function keyAt(text: string, offset: number): string {
  return JSON.stringify(/^[^:\n]{0,60}/.exec(text.slice(offset))?.[0].trim() ?? '');
}

function oneLine(message: string): string {
  return message.replace(/\s+/g, ' ').trim();
}
