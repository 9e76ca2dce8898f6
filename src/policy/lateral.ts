import type { EveAlert } from '../suricata/eve-alert.js';
import { kindOf } from './address-kind.js';
import type { Attribution } from './attribution.js';

/**
 * Why an inside host must not be banned on this alert, even by a line that says
 * `internal: ban`; `null` when nothing speaks against it. Stricter than for a
 * host outside, where only the flow's initiator is looked at: who opened the
 * flow must be known, and nothing may name the other end.
 */
export function lateralDoubt(alert: EveAlert, { initiator, resolvedBy, via, doubt }: Attribution): string | null {
  if (doubt !== null) return doubt.detail;
  if (initiator === null || resolvedBy === 'both ends inside')
    return 'it is not known which of the two opened the flow';
  const from = initiator.address;
  if (via !== null) return `${from} speaks through the proxy ${via}, and only that could be dropped`;
  if (alert.tunnelled) return `${from} was seen inside a tunnel: it is not on our wire`;
  if ((alert.ruleSource !== null && alert.ruleSource !== from) || alert.ruleTarget === from) {
    return `the rule's target keyword does not name ${from} as the attacker`;
  }
  if (kindOf(initiator.host) !== 'host') return `${from} carries another address inside`;
  return null;
}
