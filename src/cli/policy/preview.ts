import type { EpochMs } from '../../base/clock.js';
import type { Config } from '../../config/config.js';
import { historyDirectory } from '../../history/directory.js';
import { History, HistoryError } from '../../history/history.js';
import type { DecisionContext } from '../../policy/context.js';
import { ruleFacts } from '../../policy/rule-facts.js';
import { Comparison, type Difference } from '../../replay/comparison.js';
import { Judge } from '../../replay/judge.js';
import type { EveAlert } from '../../suricata/eve-alert.js';
import { RulesetError, readRuleset } from '../../suricata/ruleset.js';

/** What a candidate would have made of the alerts of the last day, beside what runs. */
export interface Preview {
  /** ISO 8601 UTC: from when on no alert is missing. */
  readonly from: string;
  readonly alerts: number;
  /** Addresses that what runs, and that the candidate would ban. */
  readonly before: number;
  readonly after: number;
  readonly added: Difference['added'];
  readonly removed: Difference['removed'];
  readonly changed: Difference['changed'];
}

/** Recorded alerts of this host in the order of their time, and from when on none is missing; `null` = none are recorded. */
export type AlertHistory = (config: Config) => AsyncGenerator<readonly RecordedAlert[], EpochMs | null>;

export interface RecordedAlert {
  readonly alert: EveAlert;
  /** Alerts of the same kind that it stands for. */
  readonly count: number;
}

const DAY = 86_400_000;

/** The last day in the history of this host. */
async function* lastDay(config: Config): ReturnType<AlertHistory> {
  if (config.history === null) return null;
  const rows = new History(historyDirectory(config)).everyAlert({ since: Date.now() - DAY });
  for (;;) {
    const next = await rows.next();
    if (next.done) return next.value.completeFrom;
    yield next.value.flatMap(({ alert, count }) => (alert === null ? [] : [{ alert, count }]));
  }
}

/** Decides the recorded alerts by both configurations, as replay does: what Redis and this machine know has no say. */
export async function preview(
  running: Config,
  candidate: Config,
  history: AlertHistory = lastDay,
): Promise<Preview | { readonly none: string }> {
  const present = new Judge(running, await factsOf(running), false);
  const next = new Judge(candidate, await factsOf(candidate), false);
  const comparison = new Comparison(next, present);
  let alerts = 0;
  let from: EpochMs | null;
  const recorded = history(running);
  try {
    for (;;) {
      const block = await recorded.next();
      if (block.done) {
        from = block.value;
        break;
      }
      for (const { alert, count } of block.value) {
        comparison.add(alert, next.judge(alert), present.judge(alert));
        alerts += count;
      }
    }
  } catch (error) {
    if (error instanceof HistoryError) return { none: error.message };
    throw error;
  }
  if (from === null) return { none: 'there is no history yet' };
  return {
    from: new Date(from).toISOString(),
    alerts,
    before: present.bans.size,
    after: next.bans.size,
    ...comparison.result(),
  };
}

async function factsOf({ suricata }: Config): Promise<DecisionContext['ruleFacts']> {
  try {
    const ruleset = await readRuleset(suricata.rules);
    return (sid, gid) => ruleFacts(ruleset, sid, gid);
  } catch (error) {
    // Without rules decisions are milder, here as in the daemon.
    if (error instanceof RulesetError) return () => null;
    throw error;
  }
}

const SHOWN = 20;

/** The preview as lines for people. */
export function previewLines(result: Awaited<ReturnType<typeof preview>>): string[] {
  if ('none' in result) return [`no preview: ${result.none}`];
  const { from, alerts, before, after, added, removed, changed } = result;
  const rows = [
    ...added.map(({ address, why }) => `  + ${address}  would be banned (running policy: ${why})`),
    ...removed.map(({ address, why }) => `  - ${address}  no longer banned (${why})`),
    ...changed.map(({ address }) => `  ~ ${address}  banned for another time`),
  ];
  return [
    `over ${alerts} alerts since ${from}: ${after} addresses would be banned (running policy: ${before})`,
    ...rows.slice(0, SHOWN),
    ...(rows.length > SHOWN ? [`  and ${rows.length - SHOWN} more`] : []),
  ];
}
