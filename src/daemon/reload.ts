import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { EpochMs } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { JournalEntry } from '../blocklist/journal.js';
import type { Config } from '../config/config.js';
import { ConfigError } from '../config/errors.js';
import { parseConfig, readConfigText } from '../config/load.js';
import type { Parts } from './compose.js';
import { type Author, PolicyVersions } from './policy-versions.js';

export interface ConfigSourceOptions {
  readonly file: string;
  readonly log: Log;
  readonly onStop?: 'keep' | 'remove';
  readonly embeddedRedis: boolean;
}

/** What became of reading the configuration again. `kept` is the number of the version that was kept of it. */
export type Reloaded =
  | {
      readonly taken: true;
      /** Policy versions. */
      readonly before: string;
      readonly after: string;
      readonly restartNeeded: readonly string[];
      readonly kept: number | null;
    }
  | { readonly taken: false; readonly problems: readonly string[] };

type Changed = Pick<Parts, 'settings' | 'facts' | 'kernel' | 'filterPath' | 'acts' | 'clock' | 'log'>;

/**
 * The file that the configuration comes from, and the options of the command
 * line that go before it. A file that is wrong changes nothing.
 */
export class ConfigSource {
  readonly #o: ConfigSourceOptions;
  readonly #file: string;
  #text = '';
  #keeping: Promise<unknown> = Promise.resolve();

  constructor(options: ConfigSourceOptions) {
    this.#o = options;
    this.#file = resolve(options.file);
  }

  /** @throws ConfigError */
  load(): Config {
    const text = readConfigText(this.#file);
    const config = parseConfig(text, this.#file);
    this.#text = text;
    const enforcement = { ...config.enforcement, onStop: this.#o.onStop ?? config.enforcement.onStop };
    const redis = this.#o.embeddedRedis ? { ...config.redis, embedded: true, url: null } : config.redis;
    return { ...config, enforcement, redis };
  }

  /** Reads the file again and takes up what can change while running. Never fails: the answer says what is wrong. */
  async reload(parts: Changed, author: Author): Promise<Reloaded> {
    const { settings, clock, log } = parts;
    let next: Config;
    try {
      next = this.load();
    } catch (error) {
      const problems = error instanceof ConfigError ? error.message.split('\n') : [messageOf(error)];
      settings.reject(problems, clock.now());
      log.error({ problems }, 'the configuration is wrong; the one before stays in force');
      return { taken: false, problems };
    }
    const before = settings.config;
    settings.take(next);
    const { config, restartNeeded } = settings;
    parts.facts.reconfigured();
    if (!isDeepStrictEqual(before.filter, config.filter)) parts.kernel.reconfigured(config);
    if (!isDeepStrictEqual([before.filter, before.home], [config.filter, config.home])) parts.filterPath.reconfigured();
    const [was, is] = [before.policyVersion, config.policyVersion];
    log.info({ policy: is, before: was, by: author.by, restartNeeded }, 'the configuration was read again');
    const kept = await this.keep(parts, author);
    // A Redis that is away must not hold up the answer.
    if (was !== is) void journal(parts, was, author);
    return { taken: true, before: was, after: is, restartNeeded, kept };
  }

  /** Keeps the text that is in force among the versions. A disk that takes no write is logged and stops nothing. */
  keep(parts: Pick<Changed, 'settings' | 'clock' | 'log'>, author: Author): Promise<number | null> {
    const { settings, clock, log } = parts;
    const { state, policyVersion } = settings.config;
    const at = new Date(clock.now()).toISOString();
    const of = { version: policyVersion, at, ...author, restores: null, inForce: true, text: this.#text };
    // One after the other, so that the last one that was read is the one that is known to run.
    const keeping = this.#keeping.then(async () => {
      try {
        settings.kept = (await new PolicyVersions(state).keep(of)).number;
      } catch (error) {
        settings.kept = null;
        log.warn({ err: messageOf(error) }, 'the configuration runs, but no copy of it could be kept for policy undo');
      }
      return settings.kept;
    });
    this.#keeping = keeping;
    return keeping;
  }
}

/** One line in the journal of the fleet; while Redis is away the log and the kept versions have it. */
async function journal({ settings, acts, clock, log }: Changed, before: string, author: Author): Promise<void> {
  const { policyVersion, host } = settings.config;
  try {
    await acts.journal.write(journalEntry(author, host, { before, after: policyVersion }, clock.now()));
  } catch (error) {
    log.warn({ err: messageOf(error) }, 'the change of the policy is not in the journal');
  }
}

/** What the journal says of a change of the policy: the versions before and after. */
export function journalEntry(
  { by, reason, ticket }: Author,
  host: string,
  versions: { readonly before: string | null; readonly after: string },
  now: EpochMs,
): JournalEntry {
  const { before, after } = versions;
  return {
    at: new Date(now).toISOString(),
    act: 'policy',
    address: host,
    by,
    from: by === null ? 'daemon' : 'cli',
    host,
    why: reason,
    ticket,
    before: before === null ? null : JSON.stringify({ version: before }),
    after: JSON.stringify({ version: after }),
  };
}
