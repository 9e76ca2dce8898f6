import { formatDuration } from '../../base/duration.js';
import type { Regular } from './regulars.js';
import type { ProfileReport } from './report.js';

/** Comes at least so often, over at least this share of the time, before it is anybody's habit. */
const OFTEN = 12;
const SHARE = 0.5;
/** Standard deviation of the time between visits, as a share of it, below which they are by the clock. */
const BY_THE_CLOCK = 0.2;
/** A partner uses several services and completes this many connections without one that failed. */
const SERVICES = 3;
const CONNECTIONS = 100;
const PROPOSED = 20;

/** Somebody who might be never banned. It is proposed, with its reason, and never done. */
export interface Exception {
  readonly address: string;
  readonly kind: 'monitor' | 'partner';
  readonly reason: string;
}

/**
 * Monitors come by the clock, partners often and to several services; neither
 * ever fails. Without word of completed connections only pings tell of a monitor.
 */
export function exceptionsOf(report: ProfileReport): Exception[] {
  const span = report.to - report.from;
  const found = report.regulars.flatMap((regular): Exception[] => {
    const { occasions, failed, completed, pings, attempts, every, spread, who, services } = regular;
    if (occasions < OFTEN || regular.last - regular.first < SHARE * span) return [];
    const proven = report.answers && completed > 0 && failed === 0 && completed >= attempts;
    if (attempts > 0 && !proven) return [];
    if (spread < BY_THE_CLOCK * every) return [{ address: who, kind: 'monitor', reason: monitorReason(regular) }];
    if (pings === 0 && completed >= CONNECTIONS && services >= SERVICES) {
      const reason = `partner: ${completed} connections to about ${services} services, each completed`;
      return [{ address: who, kind: 'partner', reason }];
    }
    return [];
  });
  return found.slice(0, PROPOSED);
}

function monitorReason({ every, occasions, completed, pings }: Regular): string {
  const what = [pings > 0 ? `${pings} pings` : '', completed > 0 ? `${completed} connections, each completed` : ''];
  return `monitor: every ${formatDuration(Math.max(1, every / 1000))}, ${occasions} times, ${what.filter(Boolean).join(' and ')}`;
}
