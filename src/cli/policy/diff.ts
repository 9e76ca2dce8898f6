import { type Change, type ConfigDiff, diffConfigs, type LineChange } from '../../config/diff.js';
import { withoutRestart } from '../../daemon/settings.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, mark, outputForm, print, printable, printRows, tell } from '../output.js';
import { type Base, baseOf } from './base.js';
import { type Candidate, candidateOf } from './candidate.js';
import { screen } from './check.js';

/** What a candidate changes. */
export interface Changes extends ConfigDiff {
  /** Keys whose change waits for a restart of the daemon. */
  readonly restartNeeded: readonly string[];
}

/** Compares a file, or the installed one, with what runs. Exit 0 when they differ, 1 when they do not or the file has errors. */
export async function diff(file: string | undefined, options: GlobalOptions): Promise<number> {
  const form = outputForm(options.output);
  const candidate = await candidateOf(file ?? options.config);
  if (candidate.document === null) return refuse(candidate);
  const base = await baseOf(options, candidate.text);
  const changes = changesOf(base, candidate);
  if (changes === null) {
    tell(`${base.file} ${base.installed === null ? 'is not there' : 'has errors'}: nothing to compare with`);
    return EXIT.no;
  }
  if (!options.quiet) {
    if (form === 'json') print(JSON.stringify({ running: base.running !== null, ...changes }));
    else if (form === 'tsv') printTsv(changes);
    else for (const line of diffLines(changes, base.name, candidate.file)) print(line);
  }
  return isEmpty(changes) ? EXIT.no : EXIT.done;
}

/** Says what is wrong with a candidate that cannot be taken. */
export function refuse(candidate: Candidate): number {
  for (const line of screen(candidate)) tell(line);
  return EXIT.no;
}

/** `null` when there is nothing to compare with. */
export function changesOf(base: Base, candidate: Candidate): Changes | null {
  if (base.document === null || base.config === null) return null;
  if (candidate.document === null || candidate.config === null) return null;
  const restartNeeded = base.running === null ? [] : withoutRestart(base.config, candidate.config).restartNeeded;
  return { ...diffConfigs(base.document, candidate.document), restartNeeded };
}

export function isEmpty({ policy, keys }: ConfigDiff): boolean {
  return policy.length + keys.length === 0;
}

/** The changes as in a unified diff: policy lines by name, other keys by path. */
export function diffLines(changes: Changes, before: string, after: string): string[] {
  if (isEmpty(changes)) return ['no difference'];
  const { policy, keys, restartNeeded } = changes;
  return [
    `--- ${printable(before)}  policy ${changes.before}`,
    `+++ ${printable(after)}  policy ${changes.after}`,
    ...policy.flatMap((line) => [
      printable(`@ policy line ${JSON.stringify(line.name)} ${how(line)}`),
      ...sides(line.parts),
    ]),
    ...(keys.length === 0 ? [] : ['@ keys', ...sides(keys)]),
    ...(restartNeeded.length === 0 ? [] : [`restart needed for: ${restartNeeded.join(', ')}`]),
  ];
}

function how({ change, from, to }: LineChange): string {
  switch (change) {
    case 'added':
      return `added at ${to}`;
    case 'removed':
      return `removed from ${from}`;
    case 'changed':
      return 'changed';
    case 'moved':
      return `moved from ${from} to ${to}`;
  }
}

function sides(changes: readonly Change[]): string[] {
  return changes.flatMap(({ path, before, after }) => [
    ...(before === null ? [] : [mark('bad', printable(`-   ${path}: ${before}`))]),
    ...(after === null ? [] : [mark('good', printable(`+   ${path}: ${after}`))]),
  ]);
}

function printTsv({ policy, keys }: Changes): void {
  const rows = [
    ...policy.flatMap(({ name, change, parts }) =>
      (parts.length === 0 ? [{ path: '', before: null, after: null }] : parts).map((part) => ({
        name,
        change,
        ...part,
      })),
    ),
    ...keys.map((key) => ({ name: '', change: 'changed', ...key })),
  ];
  printRows(
    'tsv',
    rows,
    [
      { title: 'LINE', value: (row) => row.name },
      { title: 'CHANGE', value: (row) => row.change },
      { title: 'PATH', value: (row) => row.path },
      { title: 'BEFORE', value: (row) => row.before ?? '' },
      { title: 'AFTER', value: (row) => row.after ?? '' },
    ],
    (row) => row,
  );
}
