import { writeFile } from 'node:fs/promises';
import { messageOf } from '../../base/errors.js';
import type { FilterConfig } from '../../config/config.js';
import { propose } from '../../filter/learn/propose.js';
import type { ProfileReport } from '../../filter/learn/report.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, print, tell } from '../output.js';

export interface LearnOptions extends GlobalOptions {
  readonly for?: string;
  readonly status?: boolean;
  readonly stop?: boolean;
  readonly background?: boolean;
  readonly tight?: boolean;
  readonly out?: string;
  readonly home?: readonly string[];
}

/**
 * Prints a proposal, or writes it to a file.
 * @param about further fields of the JSON form
 */
export async function show(
  report: ProfileReport,
  filter: FilterConfig,
  options: LearnOptions,
  about: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const proposal = propose(report, filter, options.tight === true);
  const text = options.output === 'json' ? `${JSON.stringify({ ...about, ...proposal })}\n` : proposal.yaml;
  if (options.out !== undefined && options.dryRun !== true) {
    try {
      await writeFile(options.out, text);
    } catch (error) {
      throw new CommandExit(EXIT.usage, `${options.out} cannot be written: ${messageOf(error)}`);
    }
    if (!options.quiet)
      tell(`written to ${options.out}; put its filter section into the configuration, then: barricata policy diff`);
  } else if (!options.quiet) print(text.trimEnd());
}
