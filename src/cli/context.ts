import type { Config } from '../config/config.js';
import { loadConfig } from '../config/load.js';
import { controlRequest } from '../daemon/control.js';
import type { DaemonStatus } from '../daemon/status.js';
import type { GlobalOptions } from './options.js';

/** The configuration named on the command line. @throws ConfigError with every problem at once */
export async function configOf(options: GlobalOptions): Promise<Config> {
  return loadConfig(options.config);
}

export function controlSocket(config: Config): string {
  return `${config.run}/control.sock`;
}

/** @throws ControlError `not_running` when no daemon answers */
export async function daemonStatus(config: Config, timeoutMs?: number): Promise<DaemonStatus> {
  return (await controlRequest(controlSocket(config), '/status', timeoutMs)) as DaemonStatus;
}
