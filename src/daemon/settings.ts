import { isDeepStrictEqual } from 'node:util';
import type { EpochMs } from '../base/clock.js';
import type { Config } from '../config/config.js';
import type { Alarm } from './status.js';

/** `now`: a change holds from the next decision on. `start`: it is read once, so a change takes a restart. */
type TakenUp = 'now' | 'start';

/** When a change of each key is taken up. Complete by type: a new key of the configuration has to be placed here. */
const TAKEN_UP = {
  file: 'now',
  policyVersion: 'now',
  mode: 'now',
  host: 'start',
  state: 'start',
  run: 'start',
  timeZone: 'now',
  home: 'now',
  neverBan: 'now',
  bannablePrivate: 'now',
  suricata: {
    eve: 'start',
    rules: 'start',
    ignoreAlertsOlderThan: 'now',
    longestLine: 'start',
    trustedProxies: 'now',
    metadataActions: 'now',
  },
  filter: 'now',
  packetRuleLines: 'now',
  policy: 'now',
  otherwise: 'now',
  // The kernel's sets are made for total_bans.
  limits: {
    newBansPerMinute: 'now',
    totalBans: 'start',
    knownGoodShare: 'now',
    whenReached: 'now',
    widest: 'now',
    unprovenNeverOver: 'now',
  },
  repeatOffenders: 'now',
  quarantine: 'now',
  history: 'start',
  redis: 'start',
  enforcement: { backend: 'start', iptables: 'start', outbound: 'start', onStop: 'start' },
  queue: 'start',
  inactive: 'now',
} as const satisfies { [Key in keyof Config]: TakenUp | { [Inner in keyof Config[Key]]: TakenUp } };

type Tree = { readonly [key: string]: unknown };

/** The configuration that can hold without a restart, and what of `next` has to wait for one, in the words of the file. */
export function withoutRestart(running: Config, next: Config): { config: Config; restartNeeded: string[] } {
  const restartNeeded: string[] = [];
  const merged = (
    table: Readonly<Record<string, TakenUp | Readonly<Record<string, TakenUp>>>>,
    of: { readonly running: Tree; readonly next: Tree },
    above: string,
  ): Tree => {
    const result: Record<string, unknown> = {};
    for (const key of Object.keys(of.next)) {
      const [was, wanted] = [of.running[key], of.next[key]];
      const when = table[key] ?? 'now';
      if (typeof when === 'object') result[key] = merged(when, { running: was as Tree, next: wanted as Tree }, key);
      else if (when === 'now' || isDeepStrictEqual(was, wanted)) result[key] = wanted;
      else {
        result[key] = was;
        restartNeeded.push(above === '' ? asWritten(key) : `${asWritten(above)}.${asWritten(key)}`);
      }
    }
    return result;
  };
  const config = merged(TAKEN_UP, { running: running as unknown as Tree, next: next as unknown as Tree }, '');
  return { config: config as unknown as Config, restartNeeded };
}

/** `newBansPerMinute` is `new_bans_per_minute` in the file. */
function asWritten(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * The configuration that holds, and what is known about the file it came from.
 * Everybody asks `config` anew for each decision; a new one takes the place of
 * the old in one assignment, so that no decision sees half of each.
 */
export class Settings {
  #config: Config;
  #restartNeeded: readonly string[] = [];
  #rejected: { readonly since: EpochMs; readonly problems: readonly string[] } | null = null;
  /** Number of the kept version that is what runs; `null` while it is not kept. */
  kept: number | null = null;

  constructor(first: Config) {
    this.#config = first;
  }

  get config(): Config {
    return this.#config;
  }

  /** Keys of the file, such as `queue` or `suricata.eve`, whose change waits for a restart. */
  get restartNeeded(): readonly string[] {
    return this.#restartNeeded;
  }

  /** Takes up what the file says now, as far as it can change without a restart. */
  take(next: Config): void {
    const { config, restartNeeded } = withoutRestart(this.#config, next);
    this.#config = config;
    this.#restartNeeded = restartNeeded;
    this.#rejected = null;
  }

  /** The file is wrong: what holds goes on. */
  reject(problems: readonly string[], at: EpochMs): void {
    this.#rejected = { since: this.#rejected?.since ?? at, problems };
  }

  /** What a person should know, one sentence each. */
  get problems(): string[] {
    return [
      ...(this.#rejected?.problems ?? []).map((problem) => `not taken up: ${problem}`),
      ...(this.#restartNeeded.length === 0 ? [] : [`restart needed for: ${this.#restartNeeded.join(', ')}`]),
    ];
  }

  get alarms(): Alarm[] {
    if (this.#rejected === null) return [];
    const { since, problems } = this.#rejected;
    return [{ name: 'policy_rejected', since: new Date(since).toISOString(), detail: problems.join('\n') }];
  }
}
