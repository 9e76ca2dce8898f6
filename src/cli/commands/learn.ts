import { live } from '../learn/live.js';
import { offline } from '../learn/offline.js';
import type { LearnOptions } from '../learn/show.js';
import { CommandExit, EXIT } from '../output.js';

/** Proposes thresholds from normal traffic: of captures and eve files, or of what the running daemon sees. Changes nothing. */
export async function run(files: readonly string[], options: LearnOptions): Promise<number> {
  const form = options.output ?? 'yaml';
  if (form !== 'yaml' && form !== 'json')
    throw new CommandExit(EXIT.usage, `-o ${form}: the forms of learn are yaml and json`);
  const asked = [options.for, options.status, options.stop].filter((option) => option !== undefined).length;
  if (files.length > 0) {
    if (asked > 0)
      throw new CommandExit(EXIT.usage, '--for, --status and --stop are for the running daemon: name no files');
    return offline(files, options);
  }
  if (asked !== 1)
    throw new CommandExit(EXIT.usage, 'name captures or eve files, or one of --for 24h, --status and --stop');
  return live(options);
}
