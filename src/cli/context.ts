import type { Config } from '../config/config.js';
import { ConfigError } from '../config/errors.js';
import { loadConfig } from '../config/load.js';
import { controlRequest } from '../daemon/control.js';
import type { DaemonStatus } from '../daemon/status.js';
import type { GlobalOptions } from './options.js';
import { tell } from './output.js';
import { instead } from './running.js';

/**
 * The configuration named on the command line. While that file has mistakes, the one
 * that the daemon runs with: an address can be unbanned also then.
 * @throws ConfigError with every problem at once, when no daemon runs either
 */
export async function configOf(options: GlobalOptions): Promise<Config> {
  try {
    return loadConfig(options.config);
  } catch (error) {
    const running = error instanceof ConfigError ? await instead(options.config, error) : null;
    if (running === null) throw error;
    tell(`${options.config} has mistakes (see: barricata policy check); this is by what the daemon runs with`);
    return running;
  }
}

export function controlSocket(config: Pick<Config, 'run'>): string {
  return `${config.run}/control.sock`;
}

/** @throws ControlError `not_running` when no daemon answers */
export async function daemonStatus(config: Config, timeoutMs?: number): Promise<DaemonStatus> {
  return (await controlRequest(controlSocket(config), '/status', timeoutMs)) as DaemonStatus;
}
