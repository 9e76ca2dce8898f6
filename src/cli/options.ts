/** Options that every command takes. */
export interface GlobalOptions {
  readonly config: string;
  readonly output?: string;
  readonly dryRun?: boolean;
  readonly as?: string;
  readonly quiet?: boolean;
}

/** Of package.json; a test compares them. */
export const VERSION = '0.1.0';

/** Where the configuration usually is. */
export const DEFAULT_CONFIG = '/etc/barricata/barricata.yaml';
