import type { EpochMs } from '../base/clock.js';
import type { PolicyConditions, PolicyLine, Side } from '../config/config.js';
import { contains } from '../net/prefix.js';
import { type Endpoint, type EveAlert, protoName } from '../suricata/eve-alert.js';
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

/** Conditions on words and numbers in the form in which they are asked. */
interface Asked {
  readonly sid: ReadonlySet<number> | null;
  readonly category: ReadonlySet<string> | null;
  readonly proto: ReadonlySet<string> | null;
  readonly appProto: ReadonlySet<string> | null;
}

/** The conditions of a configuration never change in place, so that each line is made ready once. */
const ready = new WeakMap<PolicyConditions, Asked>();

function askedOf(when: PolicyConditions): Asked {
  let asked = ready.get(when);
  if (asked === undefined) {
    asked = {
      sid: when.sid === undefined ? null : new Set(when.sid),
      category: when.category === undefined ? null : new Set(when.category.map(plain)),
      proto: when.proto === undefined ? null : new Set(when.proto.map(protoName)),
      appProto: when.appProto === undefined ? null : new Set(when.appProto.map(plain)),
    };
    ready.set(when, asked);
  }
  return asked;
}

/** Whether every condition that is present holds, but for `distinct_sids`. What is unknown never matches, so that doubt reaches no line. */
export function matches(when: PolicyConditions, one: Case, facts: Facts): boolean {
  const { alert, attribution, evidence } = one;
  const { severity } = when;
  const { sid, category, proto, appProto } = askedOf(when);
  if (sid !== null && !sid.has(alert.sid)) return false;
  if (when.sidRange !== undefined && !inRanges(alert.sid, when.sidRange)) return false;
  if (severity !== undefined && (alert.severity < severity[0] || alert.severity > severity[1])) return false;
  if (category !== null && !hasText(category, alert.category)) return false;
  if (proto !== null && !proto.has(alert.proto)) return false;
  if (appProto !== null && !hasText(appProto, alert.appProto ?? '')) return false;
  if (when.proven !== undefined && when.proven !== (evidence.proof !== null)) return false;
  if (when.from !== undefined && !onSide(when.from, 'initiator', attribution, facts)) return false;
  if (when.to !== undefined && !onSide(when.to, 'responder', attribution, facts)) return false;
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
function hasText(wanted: ReadonlySet<string>, value: string): boolean {
  const fold = plain(value);
  return fold !== '' && wanted.has(fold);
}

/** The same few texts of rules, such as categories, come again and again. */
const folds = new Map<string, string>();
const FOLDS = 1000;

/** A category, protocol or metadata value as it is compared: without case and outer space. */
export function plain(text: string): string {
  const known = folds.get(text);
  if (known !== undefined) return known;
  const fold = text.trim().toLowerCase();
  if (folds.size < FOLDS && text.length <= 200) folds.set(text, fold);
  return fold;
}

function onSide(side: Side, which: 'initiator' | 'responder', attribution: Attribution, facts: Facts): boolean {
  const end = attribution[which];
  if (end === null) return false;
  if (typeof side === 'object') return side.networks.some((network) => contains(network, end.host));
  return (side === 'home') === isEndInside(which, end, attribution, facts);
}

/** A role says on which side both ends are, unless the packet went to a group address. */
function isEndInside(
  which: 'initiator' | 'responder',
  end: Endpoint,
  { role, doubt }: Attribution,
  facts: Facts,
): boolean {
  if (role === 'unknown' || doubt?.kind === 'special_destination') return isInside(end.host, facts);
  return role === 'lateral' || role === (which === 'initiator' ? 'outbound' : 'inbound');
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
    const values = new Set((wanted[key] as readonly string[]).map(plain));
    if (!metadataValues(metadata, key).some((value) => hasText(values, value))) return false;
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
