import type { Warning } from '../../policy/lint.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, mark, outputForm, print, printable, printRows, tell } from '../output.js';
import { type Candidate, candidateOf, quoted } from './candidate.js';

/** One finding, as it is printed with `-o json`; `text` is the line of the file. */
interface Finding {
  readonly line: number;
  readonly text: string;
  readonly message: string;
  readonly fix: string;
  /** Of an error the dotted path of the key, of a warning the name of the policy line. */
  readonly subject: string;
  /** `error`, or what kind of warning. */
  readonly code: string;
  /** See `Warning`. */
  readonly sids?: Warning['sids'];
}

/** Says everything that is wrong, then what looks like a mistake. Exit 1 with errors, else 0. */
export async function check(file: string, options: GlobalOptions): Promise<number> {
  const form = outputForm(options.output);
  const candidate = await candidateOf(file);
  if (!options.quiet) {
    if (form === 'json') print(JSON.stringify(asJson(candidate)));
    else if (form === 'tsv') {
      printTsv(candidate);
      for (const reason of candidate.skipped) tell(printable(`not checked: ${reason}`));
    } else for (const line of screen(candidate)) print(line);
  }
  return candidate.errors.length > 0 ? EXIT.no : EXIT.done;
}

/** What `-o json` prints: `version` is the policy version, `null` with errors. */
function asJson(candidate: Candidate): unknown {
  const { file, config, skipped } = candidate;
  const { errors, warnings } = findings(candidate);
  return { file, version: config?.policyVersion ?? null, ok: errors.length === 0, errors, warnings, skipped };
}

function findings({ text, errors, warnings }: Candidate): { errors: Finding[]; warnings: Finding[] } {
  const at = (line: number) => ({ line, text: quoted(text, line) });
  return {
    errors: errors.map(({ line, path, message, fix }) => ({ ...at(line), code: 'error', subject: path, message, fix })),
    warnings: warnings.map((warning) => ({ ...at(warning.line), ...warning })),
  };
}

function printTsv(candidate: Candidate): void {
  const { errors, warnings } = findings(candidate);
  printRows(
    'tsv',
    [...errors, ...warnings],
    [
      { title: 'LINE', value: (f) => String(f.line) },
      { title: 'CODE', value: (f) => f.code },
      { title: 'SUBJECT', value: (f) => f.subject },
      { title: 'MESSAGE', value: (f) => f.message },
      { title: 'FIX', value: (f) => f.fix },
      { title: 'TEXT', value: (f) => f.text },
    ],
    (f) => f,
  );
}

/** For people: each finding with its line quoted, then how many there are. */
export function screen(candidate: Candidate): string[] {
  const { file, config, skipped } = candidate;
  const { errors, warnings } = findings(candidate);
  const told = (finding: Finding, kind: 'error' | 'warning') => {
    const { line, text, subject, message, fix } = finding;
    const about = subject === '' ? '' : `${subject}: `;
    const where = `${file}${line === 0 ? '' : `:${line}`}`;
    return [
      `${where}: ${mark(kind === 'error' ? 'bad' : 'warn', kind)}: ${printable(`${about}${message}`)}`,
      ...(text === '' ? [] : [`    ${printable(text)}`]),
      `    -> ${printable(fix)}`,
    ];
  };
  const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`;
  const version = config === null ? '' : `, policy ${config.policyVersion}`;
  return [
    ...errors.flatMap((error) => told(error, 'error')),
    ...warnings.flatMap((warning) => told(warning, 'warning')),
    ...skipped.map((reason) => printable(`not checked: ${reason}`)),
    `${file}: ${count(errors.length, 'error')}, ${count(warnings.length, 'warning')}${version}`,
  ];
}
