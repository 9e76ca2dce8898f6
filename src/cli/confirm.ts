import { createInterface } from 'node:readline/promises';
import { CommandExit, EXIT } from './output.js';

/**
 * Asks on the terminal; `--yes` answers for it.
 * @throws CommandExit `usage` without a terminal and without `--yes`
 */
export async function confirmed(question: string, options: { readonly yes?: boolean }): Promise<boolean> {
  if (options.yes) return true;
  if (!process.stdin.isTTY)
    throw new CommandExit(EXIT.usage, `${question} Nobody can be asked without a terminal: add --yes`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
