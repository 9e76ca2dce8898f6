import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import type { Config } from '../config/config.js';
import { loadConfig } from '../config/load.js';
import type { Prefix } from '../net/prefix.js';

/** The configuration as it comes with the program. */
const SHIPPED = fileURLToPath(new URL('../../config/barricata.yaml', import.meta.url));
/** A file with no other keys is a part of a configuration: the rest is the present one's. */
const POLICY_KEYS: readonly string[] = ['policy', 'otherwise'];

export interface PolicySource {
  /** A whole configuration, or only its policy; `null` = the present configuration. */
  readonly policy: string | null;
  /** The present configuration's file. */
  readonly config: string;
  /** Whether `config` was named and not only the usual place, which may be empty. */
  readonly named: boolean;
  /** Replaces `home` of the file where it has any. */
  readonly home: readonly Prefix[];
}

/**
 * The configuration that a replay decides by.
 * @throws ConfigError with every problem at once
 */
export function configOf(source: PolicySource): Config {
  const config = source.policy === null ? presentConfig(source) : candidate(source.policy, source);
  return source.home.length === 0 ? config : { ...config, home: source.home };
}

function presentConfig({ config, named }: PolicySource): Config {
  return loadConfig(named || existsSync(config) ? config : SHIPPED);
}

function candidate(file: string, source: PolicySource): Config {
  const whole = loadConfig(file);
  const keys = Object.keys((parse(readFileSync(file, 'utf8')) as Record<string, unknown> | null) ?? {});
  if (keys.length === 0 || keys.some((key) => !POLICY_KEYS.includes(key))) return whole;
  const present = presentConfig(source);
  return {
    ...present,
    file,
    policyVersion: whole.policyVersion,
    policy: keys.includes('policy') ? whole.policy : present.policy,
    otherwise: keys.includes('otherwise') ? whole.otherwise : present.otherwise,
  };
}
