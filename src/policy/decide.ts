import type { EpochMs } from '../base/clock.js';
import { formatDuration } from '../base/duration.js';
import { unreachable } from '../base/errors.js';
import type { PolicyAction, PolicyLine } from '../config/config.js';
import type { Address } from '../net/address.js';
import { hostPrefix } from '../net/prefix.js';
import { warning } from '../protection/admits.js';
import type { EveAlert } from '../suricata/eve-alert.js';
import { attribute } from './attribution.js';
import type { Ban, Decision, Outcome, Step } from './ban.js';
import type { DecisionContext } from './context.js';
import { engineEvent } from './engine-event.js';
import { evidenceOf } from './evidence.js';
import { lateralDoubt } from './lateral.js';
import { type Case, firstMatch } from './match.js';
import type { PolicyMemory } from './memory.js';
import { type MetadataAction, metadataAction, metadataFor, metadataVeto } from './metadata.js';
import { type Moment, momentOf } from './moment.js';
import { alertRecord, endOf, nameOf } from './record.js';
import { underMode } from './run-mode.js';

/**
 * Decides one alert. A function of its arguments alone; `memory` is the only one
 * that it changes.
 *
 * The order is fixed: engine events, the sensor's own pass verdict, age, who
 * attacked, whether that is proven, the protections, the policy. Nothing that a
 * policy line says can switch off what comes before it, and what comes after it
 * (doubts, vetoes, the cap on unproven evidence) only ever makes it milder.
 *
 * @param memory what was counted of earlier alerts; without it a line that asks for `distinct_sids` matches nothing
 */
export function decide(alert: EveAlert, context: DecisionContext, memory: PolicyMemory | null = null): Decision {
  const steps: Step[] = [];
  const decided = (outcome: Outcome, candidate: string | null = null): Decision => ({ ...outcome, candidate, steps });

  const engine = engineEvent(alert);
  steps.push(step('engine event', engine === null ? 'no' : 'yes', engine ?? nameOf(alert)));
  if (engine !== null) return decided({ kind: 'ignore', why: `engine event: ${engine}` });

  if (alert.verdict?.toLowerCase() === 'pass') {
    steps.push(step('verdict', 'pass', 'a pass rule of the sensor let the packet through'));
    return decided({ kind: 'ignore', why: 'the sensor passed the packet' });
  }

  const moment = momentOf(alert, context.now, context.ignoreAlertsOlderThan);
  steps.push(step('age', moment.usable ? 'current' : 'too old', moment.detail));

  const attribution = attribute(alert, context);
  const { candidate, doubt, role } = attribution;
  steps.push(step('attribution', role, attributionDetail(attribution)));
  if (!moment.usable) return decided({ kind: 'note', why: moment.detail }, candidate);
  if (doubt?.kind === 'icmp_error') return decided({ kind: 'ignore', why: doubt.detail }, candidate);
  if (doubt?.kind === 'special_source' && candidate !== null) {
    steps.push(step('protection', 'special', doubt.detail));
    return decided({ kind: 'refused', prefix: candidate, cause: 'special', why: doubt.detail }, candidate);
  }

  const evidence = evidenceOf(alert, context);
  steps.push(step('evidence', evidence.proof ?? 'unproven', evidence.detail));
  const one: Case = { alert, attribution, evidence };

  const outcome = act(one, rulingOn(one, context, memory, moment.at), moment, context, steps);
  return decided(outcome, candidate);
}

/** What is asked for, and by whom. */
interface Ruling {
  readonly action: PolicyAction;
  /** The line that matched; `null` for the rule's own metadata and for `otherwise`. */
  readonly line: PolicyLine | null;
  /** Kept in the record of a ban. */
  readonly name: string;
  /** For sentences. */
  readonly said: string;
}

/**
 * The owner's lines come before what a rule's author wrote into its metadata,
 * except that `barricata ignore`, which is always the milder one, comes first.
 */
function rulingOn(one: Case, context: DecisionContext, memory: PolicyMemory | null, at: EpochMs): Ruling {
  const tagged = context.metadataActions ? metadataAction(metadataFor(one.alert, context)) : null;
  if (tagged?.kind === 'ignore') return ruledByMetadata(tagged);
  const line = firstMatch(context.policy, one, context, memory, at);
  if (line !== null) return { action: line.then, line, name: line.name, said: quoted(line) };
  if (tagged !== null) return ruledByMetadata(tagged);
  return { action: context.otherwise, line: null, name: 'otherwise', said: 'no policy line matched' };
}

function ruledByMetadata(action: MetadataAction): Ruling {
  return { action, line: null, name: 'rule metadata', said: action.said };
}

function act(
  one: Case,
  ruling: Ruling,
  moment: Moment & { usable: true },
  context: DecisionContext,
  steps: Step[],
): Outcome {
  const { role, doubt, candidate } = one.attribution;
  const { action, line, said } = ruling;
  const inner = role === 'outbound' || role === 'lateral';
  const refusal = role === 'inbound' && candidate !== null ? protection(candidate, context, steps) : null;
  steps.push(step('policy', spoken(action), line === null ? said : inFull(line)));
  switch (action.kind) {
    case 'ignore':
      return { kind: 'ignore', why: said };
    case 'flag':
      return flag(one, said);
    case 'note':
      // An own host that opened the flow is worth a look even where no line speaks of it.
      if (inner && line === null) return flag(one, `${role}: an inside address opened the flow`);
      return { kind: 'note', why: doubt?.detail ?? said };
    case 'ban':
    case 'would_ban':
      if (role === 'lateral' && line?.when.internal === 'ban') {
        return lateralBan(one, ruling, action, moment, context, steps);
      }
      if (inner) return flag(one, `${role}: an inside address opened the flow, and the inside is never banned`);
      if (refusal !== null) return refusal;
      return ban(one, candidate, ruling, action, moment, context, steps);
    default:
      return unreachable(action, 'policy action');
  }
}

/** The protections, asked before any line and recorded whatever the lines say. */
function protection(
  candidate: Address,
  context: DecisionContext,
  steps: Step[],
): (Outcome & { kind: 'refused' }) | null {
  const prefix = hostPrefix(candidate);
  const refusal = context.refuse(prefix);
  const detail = refusal?.detail ?? warning(prefix) ?? `nothing protects ${candidate}`;
  steps.push(step('protection', refusal?.cause ?? 'none', detail));
  return refusal && { kind: 'refused', prefix: candidate, cause: refusal.cause, why: refusal.detail };
}

/** A ban of an inside host by a line that says `internal: ban`. Where it may not be, the host is flagged all the same. */
function lateralBan(
  one: Case,
  ruling: Ruling,
  action: PolicyAction & { kind: 'ban' | 'would_ban' },
  moment: Moment & { usable: true },
  context: DecisionContext,
  steps: Step[],
): Outcome {
  const { alert, attribution } = one;
  const doubt = lateralDoubt(alert, attribution);
  const host = attribution.initiator?.address ?? null;
  if (doubt !== null || host === null) return flag(one, `lateral: no ban, ${doubt ?? 'no initiator'}`);
  const refusal = protection(host, context, steps);
  if (refusal !== null) return flag(one, `lateral: no ban, ${host} ${refusal.why}`);
  if (context.isOwn(hostPrefix(host))) return flag(one, `lateral: no ban, ${host} is this machine`);
  return ban(one, host, ruling, action, moment, context, steps);
}

/** @param candidate whom to ban: protected by nothing that was asked before */
function ban(
  one: Case,
  candidate: Address | null,
  ruling: Ruling,
  action: PolicyAction & { kind: 'ban' | 'would_ban' },
  moment: Moment & { usable: true },
  context: DecisionContext,
  steps: Step[],
): Outcome {
  const { alert, attribution, evidence } = one;
  const { role, doubt } = attribution;
  const note = (check: string, why: string): Outcome => {
    steps.push(step(check, 'no ban', why));
    return { kind: 'note', why };
  };
  if (doubt !== null) return note('attribution', doubt.detail);
  if (candidate === null || (role !== 'inbound' && role !== 'lateral'))
    return note('attribution', 'no attacker was found');
  const veto = metadataVeto(metadataFor(alert, context));
  if (veto !== null) return note('rule metadata', veto);
  if (evidence.sourceIsChance) return note('evidence', evidence.detail);
  const proven = evidence.proof !== null;
  const prefix = hostPrefix(candidate);
  let duration = action.duration;
  if (!proven) {
    if (alert.proto !== 'TCP' && ruling.line?.when.sid === undefined) {
      return note('evidence', `${evidence.detail}; others are banned only by a line that names the sid`);
    }
    if (context.isInfrastructure(prefix)) {
      const why = `${candidate} is public infrastructure, which unproven evidence never bans`;
      steps.push(step('evidence', 'infrastructure', why));
      return { kind: 'refused', prefix: prefix.text, cause: 'infrastructure', why };
    }
    duration = Math.min(duration, context.unprovenNeverOver);
    steps.push(step('cap', formatDuration(duration), 'unproven: short, and on this host only'));
  }
  const until = endOf(moment.at, duration);
  if (until <= context.now) return note('duration', `a ban of ${formatDuration(duration)} would have ended already`);
  const made: Ban = {
    prefix: prefix.text,
    until,
    record: alertRecord(one, ruling.name, context, moment.at),
    flowStart: alert.flow?.start ?? null,
    proven,
  };
  if (action.kind === 'would_ban') return { kind: 'would_ban', ban: made, why: ruling.said };
  const outcome = underMode({ kind: 'ban', ban: made }, context.mode);
  if (outcome.kind === 'would_ban') steps.push(step('mode', context.mode, outcome.why));
  return outcome;
}

/** A flag needs an inside and an outside (or two inside) ends that can be trusted to be who they are. */
function flag({ alert, attribution }: Case, why: string): Outcome {
  const { initiator, responder, role, doubt } = attribution;
  if (initiator === null || responder === null || doubt?.kind === 'special_destination') {
    return { kind: 'note', why: doubt?.detail ?? why };
  }
  switch (role) {
    case 'outbound':
    case 'lateral':
      return { kind: 'flag', inside: initiator.address, outside: responder.address, sid: alert.sid, why };
    case 'inbound':
      return { kind: 'flag', inside: responder.address, outside: initiator.address, sid: alert.sid, why };
    case 'unknown':
      return { kind: 'note', why: doubt?.detail ?? why };
    default:
      return unreachable(role, 'role');
  }
}

function attributionDetail(attribution: ReturnType<typeof attribute>): string {
  const { initiator, responder, resolvedBy, via, doubt } = attribution;
  if (initiator === null || responder === null) return doubt?.detail ?? resolvedBy;
  const through = via === null ? '' : ` through the proxy ${via}`;
  const ends = `${initiator.address} opened the flow to ${responder.address}${through} (${resolvedBy})`;
  return doubt === null ? ends : `${ends}; ${doubt.detail}`;
}

function spoken(action: PolicyAction): string {
  switch (action.kind) {
    case 'ban':
      return `ban ${formatDuration(action.duration)}`;
    case 'would_ban':
      return `would ban ${formatDuration(action.duration)}`;
    case 'flag':
    case 'note':
    case 'ignore':
      return action.kind;
    default:
      return unreachable(action, 'policy action');
  }
}

function quoted(line: PolicyLine): string {
  return `line ${line.line} "${line.name}"`;
}

/** With its text as it stood in the file when it decided. */
function inFull(line: PolicyLine): string {
  return line.text === undefined ? quoted(line) : `${quoted(line)}: ${line.text}`;
}

function step(check: string, result: string, detail: string): Step {
  return { check, result, detail };
}
