/**
 * cli: one file a command under `commands/`, loaded only when it is asked for.
 * What they print goes through here: a table on a terminal, tab-separated lines
 * in a pipe, JSON on request. Messages for people go to standard error when a
 * machine reads standard output.
 */
import { styleText } from 'node:util';

export type OutputForm = 'table' | 'json' | 'tsv';

/** Exit codes of every command (CONTRACT section 2). */
export const EXIT = {
  done: 0,
  no: 1,
  usage: 2,
  refused: 3,
  unreachable: 4,
  notInKernel: 5,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A command that ends early: what to say on standard error, and the exit code. */
export class CommandExit extends Error {
  readonly code: ExitCode;
  constructor(code: ExitCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: 'right';
  /** May be cut to make the table fit the terminal. */
  readonly elastic?: boolean;
}

/** The form that was asked for, else a table on a terminal and TSV elsewhere. */
export function outputForm(asked: string | undefined): OutputForm {
  if (asked === undefined) return process.stdout.isTTY ? 'table' : 'tsv';
  if (asked === 'table' || asked === 'json' || asked === 'tsv') return asked;
  throw new CommandExit(EXIT.usage, `-o ${asked}: the forms are table, json and tsv`);
}

/** Removes what could move the cursor or break a line: log text and Redis values are hostile. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.codePointAt(0) ?? 0;
    return `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** Prints rows in the given form; `json` prints `asJson` of each row. */
export function printRows<Row>(
  form: OutputForm,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  asJson: (row: Row) => unknown,
): void {
  if (form === 'json') {
    print(JSON.stringify(rows.map(asJson)));
    return;
  }
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))));
  if (form === 'tsv') {
    for (const line of [columns.map((c) => c.title), ...cells]) print(line.join('\t'));
    return;
  }
  for (const line of layOut(columns, cells, process.stdout.columns ?? 120)) print(line);
}

/** Lines of a table at most `width` wide: elastic columns give way first. Pure. */
export function layOut<Row>(columns: readonly Column<Row>[], cells: readonly string[][], width: number): string[] {
  const widths = columns.map((column, i) =>
    Math.max(column.title.length, ...cells.map((row) => (row[i] ?? '').length)),
  );
  let over = widths.reduce((sum, w) => sum + w, 0) + 2 * (columns.length - 1) - width;
  columns.forEach((column, i) => {
    if (!column.elastic || over <= 0) return;
    const cut = Math.min(over, Math.max(0, (widths[i] as number) - Math.max(column.title.length, 12)));
    widths[i] = (widths[i] as number) - cut;
    over -= cut;
  });
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => {
        const w = widths[i] as number;
        const fitted = cell.length > w ? `${cell.slice(0, w - 1)}…` : cell;
        return columns[i]?.align === 'right' ? fitted.padStart(w) : fitted.padEnd(w);
      })
      .join('  ')
      .trimEnd();
  return [line(columns.map((c) => c.title)), ...cells.map(line)];
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** For people, on standard error. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Colour only on a terminal that wants it, and never as the only sign. */
export function mark(
  kind: 'good' | 'bad' | 'warn' | 'dim',
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  if (!stream.isTTY || process.env['NO_COLOR']) return text;
  return styleText(({ good: 'green', bad: 'red', warn: 'yellow', dim: 'dim' } as const)[kind], text);
}

/** `2026-11-23 17:02 UTC` */
export function utc(at: number | string): string {
  return `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
