import type { Config } from '../config/config.js';

/** Where history is kept. */
export function historyDirectory({ state }: Pick<Config, 'state'>): string {
  return `${state}/history`;
}
