import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, parseConfig } from '../../config/load.js';
import { ReplayError } from '../../replay/errors.js';
import { learnFrom } from '../../replay/learn.js';
import { prefixArgument } from '../address.js';
import { DEFAULT_CONFIG } from '../options.js';
import { CommandExit, EXIT, tell } from '../output.js';
import { type LearnOptions, show } from './show.js';

/** Always the same, so that the same files say the same each time. */
const SEED = 1;

/** Learns from captures and eve files. Needs no root, no daemon and no Redis. */
export async function offline(files: readonly string[], options: LearnOptions): Promise<number> {
  if (files.filter((file) => file === '-').length > 1)
    throw new CommandExit(EXIT.usage, '- (standard input) can be read only once');
  const isAbsent = options.config === DEFAULT_CONFIG && !existsSync(options.config);
  const config = isAbsent ? parseConfig('', 'default') : loadConfig(options.config);
  const home = options.home === undefined ? config.home : options.home.map((text) => prefixArgument(text));
  const scratch = mkdtempSync(join(tmpdir(), 'barricata-learn-'));
  const clear = () => rmSync(scratch, { recursive: true, force: true });
  const interrupted = () => {
    clear();
    process.exit(130);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const { longestLine } = config.suricata;
    const learned = await learnFrom(files, { filter: config.filter, home, seed: SEED, scratch, longestLine });
    if (!options.quiet) {
      for (const { name, kind, read, unusable } of learned.files) {
        const what = kind === 'capture' ? 'packets' : 'flows';
        tell(`${name}: ${read} ${what}${unusable > 0 ? `, ${unusable} that could not be used` : ''}`);
      }
    }
    await show(learned.report, config.filter, options, {
      files: learned.files.map(({ name, kind, read, unusable }) => ({ name, kind, read, unusable })),
    });
    return EXIT.done;
  } catch (error) {
    if (error instanceof ReplayError) throw new CommandExit(EXIT.usage, error.message);
    throw error;
  } finally {
    clear();
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}
