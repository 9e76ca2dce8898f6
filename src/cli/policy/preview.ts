import type { EpochMs } from '../../base/clock.js';
import type { Config } from '../../config/config.js';
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

/** Alerts as they were recorded, in the order of their time. */
export interface RecordedAlerts {
  readonly completeFrom: EpochMs;
  readonly alerts: AsyncIterable<EveAlert>;
}

/** The recorded alerts of the last day of this host; or why there are none. */
export type AlertHistory = (config: Config) => Promise<RecordedAlerts | { readonly none: string }>;

/** Where alerts are recorded. */
export const alertHistory: AlertHistory = async () => ({ none: 'there is no history yet' });

/** Decides the recorded alerts by both configurations, as replay does: what Redis and this machine know has no say. */
export async function preview(
  running: Config,
  candidate: Config,
  history: AlertHistory = alertHistory,
): Promise<Preview | { readonly none: string }> {
  const recorded = await history(running);
  if ('none' in recorded) return recorded;
  const present = new Judge(running, await factsOf(running));
  const next = new Judge(candidate, await factsOf(candidate));
  const comparison = new Comparison(next, present);
  let alerts = 0;
  for await (const alert of recorded.alerts) {
    comparison.add(alert, next.judge(alert), present.judge(alert));
    alerts += 1;
  }
  const from = new Date(recorded.completeFrom).toISOString();
  return { from, alerts, before: present.bans.size, after: next.bans.size, ...comparison.result() };
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
