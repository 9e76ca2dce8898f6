import { FOREVER } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import type { Config } from '../config/config.js';
import { ControlError, controlRequest } from '../daemon/control.js';
import type { RecentDecision, Step } from '../daemon/recent-decisions.js';
import type { AlertRow } from '../history/alert-row.js';
import { historyDirectory } from '../history/directory.js';
import { type AlertAnswer, History, HistoryError } from '../history/history.js';
import type { Coverage } from '../history/reading.js';
import type { RecorderStatus } from '../history/recorder.js';
import type { Prefix } from '../net/prefix.js';
import { controlSocket } from './context.js';
import { utc } from './output.js';

/** One thing that was decided about an address: alerts of one signature, or a detection. */
export interface Seen {
  /** When it was last seen. */
  readonly at: number;
  readonly kind: string;
  /** What the blocklist made of it; `none` where there was nothing to store. */
  readonly outcome: string;
  readonly about: string;
  readonly sid: number | null;
  readonly count: number;
  readonly steps: readonly Step[];
}

export interface SeenAnswer {
  /** Newest first. */
  readonly seen: readonly Seen[];
  /** How far history can be relied on; `null` when it was not read. */
  readonly coverage: Coverage | null;
  /** What could not be read, and why. */
  readonly unread: readonly string[];
}

const AT_MOST = 100;

/**
 * What was decided about an address, from the files of history, and from the
 * daemon's memory where history is off or cannot be written.
 */
export async function seenOf(config: Config, address: Prefix): Promise<SeenAnswer> {
  const unread: string[] = [];
  // What the daemon still holds in memory goes to the files first; without a daemon the files are all there is.
  const status = await ask<RecorderStatus | null>(config, '/history/flush');
  const { seen, coverage } = await fromHistory(config, address, unread);
  if (status !== null && status.problem === null) return { seen, coverage, unread };
  const path = `/why?address=${encodeURIComponent(address.text)}`;
  const recent = ((await ask<RecentDecision[]>(config, path)) ?? []).map(seenOfRecent).reverse();
  const oldest = recent.at(-1)?.at ?? FOREVER;
  return { seen: [...recent, ...seen.filter(({ at }) => at < oldest)], coverage, unread };
}

async function fromHistory(
  config: Config,
  address: Prefix,
  unread: string[],
): Promise<Pick<SeenAnswer, 'seen' | 'coverage'>> {
  if (config.history === null) {
    unread.push('history: off in the configuration; only what the daemon still remembers is known');
    return { seen: [], coverage: null };
  }
  try {
    const history = new History(historyDirectory(config));
    const judged = await history.alerts({ address, judged: true, limit: AT_MOST });
    // A flag is about the inside host, while what was judged is the outside end.
    const flags = await history.alerts({ address, decision: 'flag', limit: AT_MOST });
    const flagged = flags.rows.filter(({ candidate }) => candidate !== address.text);
    const rows = [...judged.rows, ...flagged].sort((a, b) => b.last - a.last);
    return { seen: rows.map(seenOfRow), coverage: coverageOf(judged) };
  } catch (error) {
    if (!(error instanceof HistoryError)) throw error;
    unread.push(`history: ${messageOf(error)}`);
    return { seen: [], coverage: null };
  }
}

function coverageOf({ completeFrom, damaged, lost }: AlertAnswer): Coverage {
  return { completeFrom, damaged, lost };
}

/** `null` without a daemon. */
async function ask<T>(config: Config, path: string): Promise<T | null> {
  try {
    return (await controlRequest(controlSocket(config), path)) as T;
  } catch (error) {
    if (error instanceof ControlError) return null;
    throw error;
  }
}

function seenOfRow({ last, kind, outcome, count, alert, detection, steps }: AlertRow): Seen {
  const about = alert === null ? (detection?.detector ?? '') : `sid ${alert.sid} ${alert.signature}`.trimEnd();
  return { at: last, kind, outcome, about, sid: alert?.sid ?? null, count, steps };
}

function seenOfRecent({ at, kind, about, steps }: RecentDecision): Seen {
  const sid = /^sid (\d+)/.exec(about)?.[1];
  return { at, kind, outcome: 'none', about, sid: sid === undefined ? null : Number(sid), count: 1, steps };
}

/** The one that explains most: of what led to a ban the newest, else of what might have, else the newest. */
export function tellingOf(seen: readonly Seen[], banned: boolean): Seen | undefined {
  const led = banned ? seen.find(({ kind }) => kind === 'ban') : undefined;
  return led ?? seen.find(({ kind }) => kind !== 'ignore') ?? seen[0];
}

/** What became of it, in words: for what did not lead to a ban, the check that stopped it. */
export function decisionStep({ kind, outcome, about, count, at, steps }: Seen): Step {
  const times = `${about}, ${count === 1 ? 'once' : `${count} times`}, last ${utc(at)}`;
  if (outcome === 'pardoned') {
    const detail = `${times}; a person lifted the ban, and only a proven flow that began after that bans again`;
    return { check: 'decision', result: 'pardoned', detail };
  }
  if (outcome === 'suppressed') {
    return {
      check: 'decision',
      result: 'suppressed',
      detail: `${times}; the signature is suppressed for this address`,
    };
  }
  const result = kind.replaceAll('_', ' ');
  const last = steps.at(-1);
  if (kind === 'ban' || last === undefined) return { check: 'decision', result, detail: times };
  return { check: 'decision', result, detail: `${times}; decided by ${last.check}: ${last.detail}` };
}

/** One sentence on how far the answer can be relied on. */
export function coverageLine({ completeFrom, damaged, lost }: Coverage): string {
  if (completeFrom === null) return 'no history yet';
  const parts = [`history is complete from ${utc(completeFrom)}`];
  if (damaged > 0) parts.push(`${damaged} damaged blocks were passed over`);
  if (lost > 0) parts.push(`${lost} alerts could not be written in time`);
  return parts.join('; ');
}
