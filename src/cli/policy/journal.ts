import { messageOf } from '../../base/errors.js';
import { BlocklistError } from '../../blocklist/errors.js';
import { journalEntry } from '../../daemon/reload.js';
import { withBlocklist } from '../blocklist.js';
import type { GlobalOptions } from '../options.js';
import { tell } from '../output.js';
import type { Base } from './base.js';
import type { Wanted } from './install.js';

/** Writes a change down that no daemon took up. The embedded Redis does not run without one. */
export async function journal(base: Base, { config, author }: Wanted, options: GlobalOptions): Promise<void> {
  if (config.redis.embedded) return;
  const versions = { before: base.config?.policyVersion ?? null, after: config.policyVersion };
  try {
    await withBlocklist(config, options, ({ acts }) =>
      acts.journal.write(journalEntry(author, config.host, versions, Date.now())),
    );
  } catch (error) {
    if (!(error instanceof BlocklistError)) throw error;
    tell(`the change is not in the journal: ${messageOf(error)}`);
  }
}
