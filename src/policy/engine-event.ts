import type { EveAlert } from '../suricata/eve-alert.js';

const FIRST = 2_200_000;
const LAST = 2_299_999;
/** Released in dns-events.rules with a digit missing (224008 to 224010), so outside the range of engine events. */
const MISNUMBERED = [224_000, 224_099] as const;
const CATEGORY = 'generic protocol command decode';

/**
 * Whether the alert is about Suricata's own decoding, stream or protocol
 * engine: bad checksums, odd retransmissions, malformed headers. Networks raise
 * them by the thousand, half of them against the victim, so none ever bans.
 *
 * @returns what shows it, or `null`
 */
export function engineEvent(alert: Pick<EveAlert, 'sid' | 'category' | 'signature'>): string | null {
  if (isEngineSid(alert.sid)) {
    return `sid ${alert.sid} is one of Suricata's own engine events`;
  }
  const { category } = alert;
  if (category.length >= CATEGORY.length && category.trim().toLowerCase() === CATEGORY) {
    return `category "${category.trim()}"`;
  }
  if (alert.signature.trimStart().startsWith('SURICATA ')) return 'the signature begins with "SURICATA "';
  return null;
}

function isEngineSid(sid: number): boolean {
  return (sid >= FIRST && sid <= LAST) || (sid >= MISNUMBERED[0] && sid <= MISNUMBERED[1]);
}
