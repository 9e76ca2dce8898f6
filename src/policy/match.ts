import type { EpochMs } from '../base/clock.js';
import type { PolicyConditions, PolicyLine, Side } from '../config/config.js';
import { contains } from '../net/prefix.js';
import type { Endpoint, EveAlert } from '../suricata/eve-alert.js';
import { type Attribution, isInside } from './attribution.js';
import type { Role } from './ban.js';
import type { DecisionContext } from './context.js';
import type { Evidence } from './evidence.js';
import type { PolicyMemory } from './memory.js';
import { type Metadata, metadataFor, metadataValues, metadataVeto } from './metadata.js';

/** One alert with what was found out about it: what policy lines are asked about. */
export interface Case {
  readonly alert: EveAlert;
  readonly attribution: Attribution;
  readonly evidence: Evidence;
}

type Facts = Pick<DecisionContext, 'home' | 'isOwn' | 'ruleFacts'>;

/**
 * The first line whose every condition holds, or `null`.
 * @param memory where alerts are counted for `distinct_sids`; without one such lines match nothing
 * @param at when the event happened
 */
export function firstMatch(
  lines: readonly PolicyLine[],
  one: Case,
  facts: Facts,
  memory: PolicyMemory | null,
  at: EpochMs,
): PolicyLine | null {
  for (const line of lines) {
    if (!matches(line.when, one, facts)) continue;
    if (line.when.distinctSids === undefined || hasEnough(lines, line, one, facts, memory, at)) return line;
  }
  return null;
}

/** Whether every condition that is present holds, but for `distinct_sids`. What is unknown never matches, so that doubt reaches no line. */
export function matches(when: PolicyConditions, one: Case, facts: Facts): boolean {
  const { alert, attribution, evidence } = one;
  if (when.sid !== undefined && !when.sid.includes(alert.sid)) return false;
  if (when.sidRange !== undefined && !inRanges(alert.sid, when.sidRange)) return false;
  if (when.severity !== undefined && !inRanges(alert.severity, [when.severity])) return false;
  if (when.category !== undefined && !includesText(when.category, alert.category)) return false;
  if (when.proto !== undefined && !when.proto.some((name) => protoName(name) === protoName(alert.proto))) return false;
  if (when.appProto !== undefined && !includesText(when.appProto, alert.appProto ?? '')) return false;
  if (when.proven !== undefined && when.proven !== (evidence.proof !== null)) return false;
  if (when.from !== undefined && !onSide(when.from, attribution.initiator, facts)) return false;
  if (when.to !== undefined && !onSide(when.to, attribution.responder, facts)) return false;
  if (when.destPort !== undefined) {
    // The port of the server: in a packet to the client `dest_port` is the client's own.
    const port = (attribution.responder ?? alert.dest)?.port ?? null;
    if (port === null || !inRanges(port, when.destPort)) return false;
  }
  if (when.signature !== undefined && !when.signature.some((wanted) => signatureHas(alert.signature, wanted)))
    return false;
  if (when.internal !== undefined && !isInternal(when.internal, attribution.role)) return false;
  return when.meta === undefined || metaMatches(when.meta, metadataFor(alert, facts));
}

/** An alert of unknown role is neither internal nor not. */
function isInternal(wanted: boolean | 'ban', role: Role): boolean {
  return wanted === false ? role === 'inbound' || role === 'outbound' : role === 'lateral';
}

function inRanges(value: number, ranges: readonly (readonly [number, number])[]): boolean {
  return ranges.some(([first, last]) => value >= first && value <= last);
}

/** Equal but for case and outer space; an empty value equals nothing. */
function includesText(wanted: readonly string[], value: string): boolean {
  const text = plain(value);
  return text !== '' && wanted.some((one) => plain(one) === text);
}

/** A category, protocol or metadata value as it is compared. */
export function plain(text: string): string {
  return text.trim().toLowerCase();
}

const PROTOS: Readonly<Record<string, string>> = {
  ICMPV6: 'IPV6-ICMP',
  '1': 'ICMP',
  '6': 'TCP',
  '17': 'UDP',
  '58': 'IPV6-ICMP',
};

/** A transport protocol as it is compared: by name, in the spelling of Suricata. */
export function protoName(name: string): string {
  const upper = name.trim().toUpperCase();
  return PROTOS[upper] ?? upper;
}

function onSide(side: Side, end: Endpoint | null, facts: Facts): boolean {
  if (end === null) return false;
  const { host } = end;
  if (side === 'home') return isInside(host, facts);
  if (side === 'outside') return !isInside(host, facts);
  return side.networks.some((network) => contains(network, host));
}

/** Whether a signature is meant by the text or expression. */
export function signatureHas(signature: string, wanted: string | RegExp): boolean {
  // search() ignores lastIndex, so a pattern with the g or y flag cannot answer differently the second time.
  if (typeof wanted !== 'string') return signature.search(wanted) >= 0;
  return signature.toLowerCase().includes(wanted.toLowerCase());
}

/** Whether each key has one of its values. */
export function metaMatches(wanted: NonNullable<PolicyConditions['meta']>, metadata: Metadata): boolean {
  for (const key in wanted) {
    const values = wanted[key] as readonly string[];
    if (!metadataValues(metadata, key).some((value) => includesText(values, value))) return false;
  }
  return true;
}

/**
 * Counts an alert for a line that asks for `distinct_sids`. One that could not
 * ban by itself, because it is doubtful who attacked or because its rule says
 * that it is no ground for a ban, is not one of several attacks either.
 */
function hasEnough(
  lines: readonly PolicyLine[],
  line: PolicyLine,
  one: Case,
  facts: Facts,
  memory: PolicyMemory | null,
  at: EpochMs,
): boolean {
  const { alert, attribution, evidence } = one;
  const { initiator, doubt } = attribution;
  if (memory === null || initiator === null || doubt !== null || evidence.sourceIsChance) return false;
  if (metadataVeto(metadataFor(alert, facts)) !== null) return false;
  const from = initiator.host;
  const of = { alert, initiator: from, inside: isInside(from, facts), proven: evidence.proof !== null };
  return memory.enough(lines, line, of, at);
}
