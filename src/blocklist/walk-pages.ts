import type { Clock, EpochMs } from '../base/clock.js';
import type { Log } from '../base/log.js';
import type { RedisConnection } from './connection.js';
import { type Intake, outcome } from './intake.js';
import type { EntryId, Keys } from './keys.js';

const PAGE = 2000;

/** What a walk gathers for its end. */
export interface Found {
  readonly facts: string[];
  /** Prefixes whose ban is new or other than before. */
  readonly bans: string[];
  /** Refused ids that the walk has not seen. */
  readonly refused: Set<EntryId>;
}

export interface WalkOptions {
  readonly connection: RedisConnection;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly log: Log;
  readonly intake: Intake;
  /** Whether no walk was completed before. */
  readonly isFirst: boolean;
}

/**
 * Takes in every page of one walk. The next page is asked for before a page is
 * taken in, and each is taken in at once, so that replies keep their order.
 * @throws BlocklistError
 */
export async function walkPages(options: WalkOptions, found: Found): Promise<void> {
  const { connection, keys, clock } = options;
  // The kernel waits for the first walk; what cannot be an entry is told by the second, soon after.
  const types = options.isFirst ? 'strings' : 'all';
  const ask = (cursor: string) => {
    const page = connection.script('page-1', [keys.told], [cursor, PAGE, keys.walkPattern, types, ...keys.walked()]);
    page.catch(() => {});
    return page as Promise<(number | string)[]>;
  };
  let asked = clock.now();
  let coming = ask('0');
  for (;;) {
    const page = await coming;
    const cursor = String(page[0]);
    learnSkew(options, Number(page[1]), asked);
    asked = clock.now();
    if (cursor !== '0') coming = ask(cursor);
    await takeIn(page, options, found);
    if (cursor === '0') return;
  }
}

async function takeIn(
  page: readonly (number | string)[],
  { intake, isFirst }: WalkOptions,
  { facts, bans, refused }: Found,
): Promise<void> {
  const out = outcome();
  for (let i = 2; i < page.length; i += 2) {
    const id = page[i] as EntryId;
    const ends = page[i + 1] as number | string;
    if (id[0] === 'p' || id[0] === 's') facts.push(id);
    else {
      if (refused.size > 0) refused.delete(id);
      if (isFirst) intake.load(id, ends, out);
      else intake.see(id, ends, out, false);
    }
  }
  for (const text of out.changed.ban.splice(0)) bans.push(text);
  // Nothing to settle is the common case; waiting for it would let the next page grow old.
  if (out.gone.length + out.written.length + out.changed.allow.length > 0) await intake.settle(out);
}

function learnSkew({ intake, clock, log }: WalkOptions, server: EpochMs, asked: EpochMs): void {
  const answered = clock.now();
  const skew = server - (asked + answered) / 2;
  if (Math.abs(skew - intake.skew) < 1000 + (answered - asked)) return;
  intake.skew = Math.abs(skew) < 1000 ? 0 : Math.round(skew);
  if (intake.skew !== 0) log.warn({ milliseconds: intake.skew }, 'the clock of Redis differs from ours');
}
