import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseDocument } from 'yaml';
import type { Config } from '../config/config.js';
import { ConfigError } from '../config/errors.js';
import { parseConfig, readConfigText } from '../config/load.js';
import { ControlError, controlRequest } from '../daemon/control.js';
import { PolicyVersions } from '../daemon/policy-versions.js';
import type { RunningConfig } from '../daemon/routes.js';

/** The configuration that a daemon runs with, whatever its file says by now. */
export interface Running extends RunningConfig {
  readonly text: string;
}

/** Where a daemon with this configuration file is found: also when the file has mistakes. */
export interface Place {
  readonly run: string;
  readonly state: string;
}

const USUAL: Place = { run: '/run/barricata', state: '/var/lib/barricata' };

/** `run` and `state` of a file that may be wrong elsewhere; what cannot be read has its usual place. */
export function placeIn(text: string): Place {
  let root: unknown;
  try {
    root = parseDocument(text, { version: '1.2', schema: 'core' }).toJS({ maxAliasCount: 100 });
  } catch {
    return USUAL;
  }
  const path = (key: keyof Place) => {
    const value = (root as Record<string, unknown> | null)?.[key];
    return typeof value === 'string' && value.startsWith('/') ? value : USUAL[key];
  };
  return { run: path('run'), state: path('state') };
}

/**
 * Asks the daemon which configuration it runs with, and reads the copy that it kept.
 * @returns `null` when none runs; with an empty text when there is no copy
 * @throws ControlError `no_answer`, `failed`
 */
export async function runningConfig(place: Place): Promise<Running | null> {
  try {
    const running = (await controlRequest(`${place.run}/control.sock`, '/config', 2000)) as RunningConfig;
    const kept = running.kept === null ? null : await new PolicyVersions(running.state).find(running.kept);
    return { ...running, text: kept !== null && kept.version === running.version ? kept.text : '' };
  } catch (error) {
    if (error instanceof ControlError && error.kind === 'not_running') return null;
    throw error;
  }
}

/** Whether two paths name one file. */
export async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => realpath(path).catch(() => resolve(path))));
  return a === b;
}

/**
 * What a running daemon works with while its file has mistakes, so that people can go on working meanwhile.
 * @returns `null` when no daemon runs with this file
 */
export async function instead(file: string, mistakes: ConfigError): Promise<Config | null> {
  if (mistakes.kind === 'unreadable') return null;
  let place = USUAL;
  try {
    place = placeIn(readConfigText(file));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
  }
  const running = await runningConfig(place).catch(() => null);
  if (running === null || running.text === '' || !(await isSameFile(running.file, file))) return null;
  return parseConfig(running.text, running.file);
}
