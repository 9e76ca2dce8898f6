import { lstat, realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Config } from '../../config/config.js';
import { ConfigError } from '../../config/errors.js';
import { type ConfigDocument, parseConfig, readConfigText, readDocument } from '../../config/load.js';
import type { GlobalOptions } from '../options.js';
import { CommandExit, EXIT, tell } from '../output.js';
import { isSameFile, type Place, placeIn, type Running, runningConfig } from '../running.js';

/** What a new configuration is compared with, and takes the place of. */
export interface Base {
  /** The configuration file, links followed. */
  readonly file: string;
  /** Its text now; `null` when there is no such file. */
  readonly installed: string | null;
  readonly place: Place;
  /** What the daemon runs with; `null` when none runs. */
  readonly running: Running | null;
  /** What runs, else what is installed; `null` when that has errors or is not there. */
  readonly document: ConfigDocument | null;
  readonly config: Config | null;
  /** How that is called. */
  readonly name: string;
}

/**
 * @param candidate the text of the new configuration, which says where the daemon is when no file is installed
 * @throws CommandExit when the daemon runs with another file
 * @throws ControlError when it runs and does not answer
 */
export async function baseOf(options: GlobalOptions, candidate: string | null): Promise<Base> {
  const file = await realpath(options.config).catch(() => resolve(options.config));
  const installed = await installedText(file);
  const place = placeIn(installed ?? candidate ?? '');
  const running = await runningConfig(place);
  if (running !== null && !(await isSameFile(running.file, file))) {
    throw new CommandExit(EXIT.usage, `the daemon runs with ${running.file}: add --config ${running.file}`);
  }
  if (running?.text === '') tell('no copy of what the daemon runs with can be read: the file stands for it');
  const text = running?.text || installed;
  const name = running?.text ? 'running' : file;
  const state = running?.state ?? place.state;
  return { file, installed, place: { ...place, state }, running, ...readOrNothing(text, file), name };
}

async function installedText(file: string): Promise<string | null> {
  return (await lstat(file).catch(() => null)) === null ? null : readConfigText(file);
}

function readOrNothing(text: string | null, file: string): Pick<Base, 'document' | 'config'> {
  const nothing = { document: null, config: null };
  if (text === null) return nothing;
  try {
    return { document: readDocument(text, file), config: parseConfig(text, file) };
  } catch (error) {
    if (error instanceof ConfigError) return nothing;
    throw error;
  }
}
