import { unreachable } from '../base/errors.js';
import type { Outcome } from './ban.js';
import type { RunMode } from './context.js';

/**
 * What the run-time mode makes of an outcome: only `enforce` lets an automatic
 * ban be one. In the other modes it is recorded as what would have been banned.
 */
export function underMode<Given extends Outcome>(
  outcome: Given,
  mode: RunMode,
): Given | (Outcome & { kind: 'would_ban' }) {
  if (outcome.kind !== 'ban') return outcome;
  switch (mode) {
    case 'enforce':
      return outcome;
    case 'observe':
      return { ...outcome, kind: 'would_ban', why: 'mode observe: automatic decisions are only recorded' };
    case 'pause':
      return { ...outcome, kind: 'would_ban', why: 'mode pause: no new automatic bans' };
    case 'off':
      return { ...outcome, kind: 'would_ban', why: 'mode off: nothing is banned' };
    default:
      return unreachable(mode, 'mode');
  }
}
