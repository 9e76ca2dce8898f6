import { formatDuration } from '../base/duration.js';
import { unreachable } from '../base/errors.js';
import type { FilterConfig } from '../config/config.js';
import type { Detection } from '../filter/detection.js';
import { formatWords } from '../net/address.js';
import { isProblem, type Prefix, parsePrefix, widthOf } from '../net/prefix.js';
import { carriesIpv4, isSpecialKind, kindOf } from './address-kind.js';
import { isInside } from './attribution.js';
import type { Ban, Decision, Outcome, Step } from './ban.js';
import type { DecisionContext } from './context.js';
import type { Evidence } from './evidence.js';
import { momentOf } from './moment.js';
import { automaticRecord, endOf } from './record.js';
import { underMode } from './run-mode.js';

/**
 * Decides one detection of the packet filter. First packets can be forged, so
 * a detection alone is no proof: its ban is short and of this host only. Only
 * connections that the source completed within the offence prove it, and then the
 * ban is the fleet's and as long as the configuration says. Never banned, with
 * proof or without, is anything protected or public infrastructure.
 */
export function decideDetection(detection: Detection, context: DecisionContext): Decision {
  const steps: Step[] = [];
  const add = (check: string, result: string, detail: string) => steps.push({ check, result, detail });
  const prefix = parsePrefix(detection.source);
  const candidate = isProblem(prefix) ? detection.source : prefix.text;
  const decided = (outcome: Outcome): Decision => ({ ...outcome, candidate, steps });
  const reason = reasonOf(detection, context.filter);
  add('detector', detection.detector, reason);

  const moment = momentOf(
    { at: detection.at, flow: null, packetSource: null },
    context.now,
    context.ignoreAlertsOlderThan,
  );
  add('age', moment.usable ? 'current' : 'too old', moment.detail);
  if (!moment.usable) return decided({ kind: 'note', why: moment.detail });

  if (isProblem(prefix)) {
    add('attribution', 'unknown', prefix.detail);
    return decided({ kind: 'note', why: `${detection.source}: ${prefix.detail}` });
  }
  if (carriesIpv4(kindOf(prefix))) {
    const why = `${prefix.text} stands for IPv4 hosts behind a relay or a translator`;
    add('attribution', 'unknown', why);
    return decided({ kind: 'note', why });
  }
  add('attribution', 'inbound', 'source address of the packets');
  const evidence = evidenceOf(detection, prefix);
  add('evidence', evidence.proof ?? 'unproven', evidence.detail);

  const refusal = refusalOf(prefix, context);
  add('protection', refusal?.cause ?? 'none', refusal?.detail ?? `nothing protects ${prefix.text}`);
  if (refusal !== null)
    return decided({ kind: 'refused', prefix: prefix.text, cause: refusal.cause, why: refusal.detail });

  const isProven = evidence.proof !== null;
  const duration = isProven ? detection.ban : Math.min(detection.ban, context.unprovenNeverOver);
  if (!isProven) add('cap', formatDuration(duration), 'unproven: short, and on this host only');
  const until = endOf(moment.at, duration);
  if (!(until > context.now)) {
    const why = `a ban of ${formatDuration(duration)} would have ended already`;
    add('duration', 'no ban', why);
    return decided({ kind: 'note', why });
  }
  const ban: Ban = {
    prefix: prefix.text,
    until,
    record: {
      ...automaticRecord(context, {
        reason,
        source: 'filter',
        scope: isProven ? 'fleet' : 'host',
        policy: detection.detector,
        target: detection.target,
        role: 'inbound',
        at: moment.at,
      }),
      resolved_by: 'packet source',
      proof: evidence.proof,
      count: 1,
    },
    // Nothing of what was counted is older.
    flowStart: isProven ? moment.at - detection.window * 1000 : null,
    proven: isProven,
  };
  const outcome = underMode({ kind: 'ban', ban }, context.mode);
  if (outcome.kind === 'would_ban') add('mode', context.mode, outcome.why);
  return decided(outcome);
}

/**
 * What the detection says of proof, and the doubts that stay: a /64 is many hosts,
 * of which one completed connections, and of a client that was known good before,
 * or where nothing tells whether it was, they may be of another kind.
 */
function evidenceOf({ proof, knownGood }: Detection, prefix: Prefix): Pick<Evidence, 'proof' | 'detail'> {
  const unproven = (detail: string) => ({ proof: null, detail });
  if (proof === null) {
    const known = knownGood ? '; it completed connections within the last day, before this' : '';
    return unproven(`the source of a first packet can be forged${known}`);
  }
  if (prefix.length < widthOf(prefix.family)) return unproven(`${prefix.text} is more than one host`);
  if (knownGood === null)
    return unproven('it completed connections, but nothing tells whether it was a good client before');
  if (knownGood) return unproven('it completed connections, but was a good client before');
  return {
    proof,
    detail: 'connection tracking saw connections of this offence completed, so the source is not forged',
  };
}

/** Why the filter may not ban the prefix: special, inside, protected, infrastructure, or wider than one host or /64. */
function refusalOf(prefix: Prefix, context: DecisionContext): ReturnType<DecisionContext['refuse']> {
  const narrowest = prefix.family === 4 ? 32 : 64;
  if (prefix.length < narrowest) {
    return { cause: 'too_wide', detail: `${prefix.text} is wider than /${narrowest}, the widest automatic ban` };
  }
  const kind = kindOf(prefix);
  if (isSpecialKind(kind)) {
    return { cause: 'special', detail: `${formatWords(prefix)} is a ${kind.replaceAll('_', '-')} address` };
  }
  const refusal = context.refuse(prefix);
  if (refusal !== null) return refusal;
  if (isInside(prefix, context)) return { cause: 'home', detail: `${prefix.text} is inside: home, or this machine` };
  if (context.isInfrastructure(prefix)) {
    return {
      cause: 'infrastructure',
      detail: `${prefix.text} touches public infrastructure, which the packet filter never bans`,
    };
  }
  return null;
}

/** A short sentence with the figures that people tune by. */
function reasonOf({ detector, count, window, rule }: Detection, filter: FilterConfig): string {
  const seconds = `${round(window)} s`;
  const rate = (name: string, limit: number | undefined) => {
    const perSecond = window > 0 ? Math.round(count / window) : count;
    return `${name} rate ${perSecond}/s for ${seconds}${limited(limit, '/s')}`;
  };
  const counted = (what: string, limit: number | undefined) => `${count} ${what} in ${seconds}${limited(limit, '')}`;
  switch (detector) {
    case 'syn_rate':
      return rate('SYN', filter.syn?.perSecond);
    case 'icmp_rate':
      return rate('ICMP', filter.icmp?.perSecond);
    case 'udp_rate':
      return rate('UDP', filter.udp?.perSecond);
    case 'port_scan':
      return counted('ports', filter.scan?.most);
    case 'slow_scan':
      return counted('ports', filter.slowScan?.most);
    case 'host_sweep':
      return counted('hosts', filter.sweep?.most);
    case 'ping_sweep':
      return counted('pinged hosts', filter.pingSweep?.most);
    case 'stealth_scan':
      return counted('ports by NULL, FIN, Xmas or SYN+FIN packets', filter.stealth?.most);
    case 'ack_scan':
      return counted('closed ports by ACK', filter.ackScan?.most);
    case 'packet_rule':
      return `packet rule ${rule ?? ''}`.trim();
    default:
      return unreachable(detector, 'detector');
  }
}

function limited(limit: number | undefined, unit: string): string {
  return limit === undefined || limit === Number.POSITIVE_INFINITY ? '' : ` (limit ${limit}${unit})`;
}

function round(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}
