import { type EpochMs, FOREVER, type Seconds } from '../base/clock.js';
import type { EveAlert } from '../suricata/eve-alert.js';
import { type BanRecord, NO_EFFECT, type Role } from './ban.js';
import type { DecisionContext } from './context.js';
import type { Case } from './match.js';

/** Longest text that a rule's author can put into a record. */
const LONGEST = 200;

/** One short printable line: control characters and line ends could fake lines in a terminal or a log. */
export function plainLine(text: string): string {
  if (isPlain(text)) return text;
  const line = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return line.length > LONGEST ? `${line.slice(0, LONGEST - 1)}…` : line;
}

/** Whether the text is one short line of ASCII already, as those of nearly all rules are. */
function isPlain(text: string): boolean {
  const { length } = text;
  if (length > LONGEST || text.charCodeAt(0) === 32 || text.charCodeAt(length - 1) === 32) return false;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code < 32 || code > 126) return false;
  }
  return true;
}

/** ISO 8601 UTC of a time that is known to be one. */
export function isoOf(at: EpochMs): string {
  return new Date(at).toISOString();
}

/** The fields that every automatic ban of this host shares. */
export function automaticRecord(
  context: DecisionContext,
  own: Pick<BanRecord, 'reason' | 'source' | 'scope' | 'policy' | 'target'> & {
    readonly at: EpochMs;
    readonly role: Role;
  },
): BanRecord {
  const at = isoOf(own.at);
  return {
    v: 1,
    reason: own.reason,
    source: own.source,
    sid: null,
    gid: null,
    rev: null,
    signature: null,
    category: null,
    policy: own.policy,
    policy_version: context.policyVersion,
    host: context.host,
    sensor: context.sensor,
    scope: own.scope,
    role: own.role,
    resolved_by: null,
    proof: null,
    target: own.target,
    flow_id: null,
    by: null,
    from: 'daemon',
    ticket: null,
    import: null,
    first: at,
    last: at,
    count: 1,
  };
}

/** The record of a ban for an alert. @param policy name of what asked for it */
export function alertRecord(one: Case, policy: string, context: DecisionContext, at: EpochMs): BanRecord {
  const { alert, attribution, evidence } = one;
  const signature = plainLine(alert.signature);
  return {
    ...automaticRecord(context, {
      reason: signature || `Suricata rule ${alert.gid}:${alert.sid}`,
      source: 'suricata',
      scope: evidence.proof === null ? 'host' : 'fleet',
      policy,
      target: attribution.responder?.address ?? null,
      role: attribution.role,
      at,
    }),
    sid: alert.sid,
    gid: alert.gid,
    rev: alert.rev,
    signature: signature || null,
    category: plainLine(alert.category) || null,
    resolved_by: attribution.resolvedBy,
    proof: evidence.proof,
    ...(attribution.via !== null && { effect: NO_EFFECT }),
    flow_id: alert.flowId,
  };
}

/** When a ban of `duration` for something seen at `at` ends. */
export function endOf(at: EpochMs, duration: Seconds): EpochMs {
  return duration === FOREVER ? FOREVER : at + duration * 1000;
}

/** How the alert is called in sentences. */
export function nameOf({ sid, signature }: Pick<EveAlert, 'sid' | 'signature'>): string {
  const text = plainLine(signature);
  return text === '' ? `sid ${sid}` : `sid ${sid} ${text}`;
}
