import type { EpochMs, Seconds } from '../base/clock.js';
import { formatDuration } from '../base/duration.js';
import type { EveAlert } from '../suricata/eve-alert.js';

/** A clock may run ahead of ours by this much before its times are replaced by ours. */
const AHEAD = 60_000;
/** Bounds of what a `Date` can hold (ECMA-262, time range). */
const LATEST = 8.64e15;

export type Moment =
  | { readonly usable: true; readonly at: EpochMs; readonly detail: string }
  | { readonly usable: false; readonly detail: string };

/**
 * When the alert's event happened, for deciding and for the end of a ban. An
 * alert raised at a flow's time-out carries the time of the flush, minutes after
 * the packets, so its flow's start counts.
 *
 * @returns not usable when it is older than `oldest`, as in a catch-up or a replayed capture
 */
export function momentOf(alert: Pick<EveAlert, 'at' | 'flow' | 'packetSource'>, now: EpochMs, oldest: Seconds): Moment {
  const flushed = alert.packetSource?.toLowerCase() === 'stream (flow timeout)';
  const start = alert.flow?.start ?? null;
  const at = flushed && start !== null ? Math.min(start, alert.at) : alert.at;
  if (!(Math.abs(at) <= LATEST)) return { usable: false, detail: 'the alert has no usable time' };
  if (at > now + AHEAD) {
    return {
      usable: true,
      at: now,
      detail: `dated ${formatDuration((at - now) / 1000)} ahead of this clock: counted as now`,
    };
  }
  const age = Math.max(0, (now - at) / 1000);
  if (age > oldest) {
    const what = flushed ? "the flow's start" : 'the alert';
    return { usable: false, detail: `${what} is ${formatDuration(age)} old, over ${formatDuration(oldest)}` };
  }
  return { usable: true, at, detail: `${formatDuration(age)} old` };
}
