import { stat } from 'node:fs/promises';
import { messageOf } from '../../base/errors.js';
import type { Config } from '../../config/config.js';
import { ConfigError } from '../../config/errors.js';
import { parseConfig, readConfigText } from '../../config/load.js';
import { type FileAttributes, replaceFile } from '../../daemon/atomic-file.js';
import { ControlError, controlRequest } from '../../daemon/control.js';
import { type Author, PolicyVersions } from '../../daemon/policy-versions.js';
import type { Reloaded } from '../../daemon/reload.js';
import { CommandExit, EXIT } from '../output.js';
import type { Base } from './base.js';

/** A new configuration, judged and wanted. */
export interface Wanted {
  readonly text: string;
  readonly config: Config;
  readonly author: Author;
  /** Number of the version that this brings back; `null` when it is a new one. */
  readonly restores: number | null;
}

export interface Installed {
  /**
   * `applied`: the daemon decides by it. `written`: it is in place and no daemon has taken it up.
   * `refused`: the daemon did not take it, and the old file is back.
   */
  readonly outcome: 'applied' | 'written' | 'refused';
  /** The number under which it is kept; `null` when it is not. */
  readonly kept: number | null;
  /** Keys whose change waits for a restart, as the daemon says. */
  readonly restartNeeded: readonly string[];
  /** Why it is not applied, or what else did not work. */
  readonly problems: readonly string[];
}

/** The daemon reads a file of at most 4 MiB, and answers no sooner than what it is doing is done. */
const RELOAD_WITHIN_MS = 15_000;

/**
 * Puts a configuration in place and has the daemon take it up. At each moment the
 * file is the old one or the new one, whole, whenever this process is killed.
 * @throws CommandExit when somebody else changes the configuration at the same time
 * @throws PolicyVersionsError when the old one cannot be kept; nothing is changed then
 */
export async function install(base: Base, wanted: Wanted): Promise<Installed> {
  const versions = new PolicyVersions(base.place.state);
  const lock = await versions.lock();
  try {
    // Between the look at the differences and the yes somebody may have edited it.
    if (textOf(base.file) !== base.installed)
      throw new CommandExit(EXIT.no, `${base.file} was changed meanwhile: look at the difference again`);
    await keepOld(base, wanted, versions);
    const attributes = await attributesOf(base.file);
    if (wanted.text !== base.installed) await replaceFile(base.file, wanted.text, attributes);
    const { version, problems } = await keepNew(wanted, versions);
    if (base.running === null) return { outcome: 'written', kept: version, restartNeeded: [], problems };
    const answer = await tellDaemon(base, wanted);
    if (answer.outcome === 'refused') {
      if (version !== null) await versions.forget(version);
      if (base.installed !== null && wanted.text !== base.installed) {
        await replaceFile(base.file, base.installed, attributes);
        await reload(base, wanted.author).catch(() => undefined);
      }
      return { ...answer, kept: null };
    }
    return { ...answer, kept: version, problems: [...problems, ...answer.problems] };
  } finally {
    await lock.release();
  }
}

function textOf(file: string): string | null {
  try {
    return readConfigText(file);
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}

/** What is in place now, by whoever wrote it, so that it can be brought back. */
async function keepOld(base: Base, wanted: Wanted, versions: PolicyVersions): Promise<void> {
  const { installed, file } = base;
  if (installed === null || installed === wanted.text) return;
  let version: string;
  try {
    version = parseConfig(installed, file).policyVersion;
  } catch (error) {
    // A file with errors was never in force.
    if (error instanceof ConfigError) return;
    throw error;
  }
  const at = (await stat(file)).mtime.toISOString();
  const inForce = base.running === null || base.running.text === installed;
  await versions.keep({ version, at, by: null, reason: null, ticket: null, restores: null, inForce, text: installed });
}

async function keepNew(
  { text, config, author, restores }: Wanted,
  versions: PolicyVersions,
): Promise<{ version: number | null; problems: string[] }> {
  const of = { version: config.policyVersion, at: new Date().toISOString(), ...author, restores, inForce: true, text };
  try {
    return { version: (await versions.keep(of)).number, problems: [] };
  } catch (error) {
    return { version: null, problems: [messageOf(error)] };
  }
}

/** Whose it is and who may read it stays as it is; a new file is for root and its group. */
async function attributesOf(file: string): Promise<FileAttributes> {
  const present = await stat(file).catch(() => null);
  return present === null ? { mode: 0o640 } : { mode: present.mode & 0o7777, uid: present.uid, gid: present.gid };
}

function reload(base: Base, { by, reason, ticket }: Author): Promise<Reloaded> {
  const query = new URLSearchParams({ by: by ?? '', reason: reason ?? '', ticket: ticket ?? '' });
  return controlRequest(`${base.place.run}/control.sock`, `/reload?${query}`, RELOAD_WITHIN_MS) as Promise<Reloaded>;
}

async function tellDaemon(base: Base, wanted: Wanted): Promise<Omit<Installed, 'kept'>> {
  const written = (problem: string) => ({ outcome: 'written' as const, restartNeeded: [], problems: [problem] });
  try {
    const answer = await reload(base, wanted.author);
    if (!answer.taken) return { outcome: 'refused', restartNeeded: [], problems: answer.problems };
    const { after, restartNeeded } = answer;
    if (after === wanted.config.policyVersion) return { outcome: 'applied', restartNeeded, problems: [] };
    return written(`the daemon read another configuration, policy ${after}`);
  } catch (error) {
    if (error instanceof ControlError) return written(error.message);
    throw error;
  }
}
