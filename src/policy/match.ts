import type { PolicyConditions, PolicyLine, Side } from '../config/config.js';
import type { Address } from '../net/address.js';
import { contains, hostPrefix } from '../net/prefix.js';
import type { EveAlert } from '../suricata/eve-alert.js';
import { type Attribution, isInside } from './attribution.js';
import type { DecisionContext } from './context.js';
import type { Evidence } from './evidence.js';

/** One alert with what was found out about it: what policy lines are asked about. */
export interface Case {
  readonly alert: EveAlert;
  readonly attribution: Attribution;
  readonly evidence: Evidence;
}

type Facts = Pick<DecisionContext, 'home' | 'isOwn'>;

/** The first line whose every condition holds, or `null`: then `otherwise` decides. */
export function firstMatch(lines: readonly PolicyLine[], one: Case, facts: Facts): PolicyLine | null {
  for (const line of lines) if (matches(line.when, one, facts)) return line;
  return null;
}

/** Whether every condition that is present holds. What is unknown never matches, so that doubt reaches no line. */
export function matches(when: PolicyConditions, one: Case, facts: Facts): boolean {
  const { alert, attribution, evidence } = one;
  if (when.sid !== undefined && !when.sid.includes(alert.sid)) return false;
  if (when.sidRange !== undefined && !inRanges(alert.sid, when.sidRange)) return false;
  if (when.severity !== undefined && !inRanges(alert.severity, [when.severity])) return false;
  if (when.category !== undefined && !includesText(when.category, alert.category)) return false;
  if (when.proto !== undefined && !when.proto.some((name) => protoName(name) === protoName(alert.proto))) return false;
  if (when.appProto !== undefined && !includesText(when.appProto, alert.appProto ?? '')) return false;
  if (when.proven !== undefined && when.proven !== (evidence.proof !== null)) return false;
  if (when.from !== undefined && !onSide(when.from, attribution.initiator?.address, facts)) return false;
  if (when.to !== undefined && !onSide(when.to, attribution.responder?.address, facts)) return false;
  if (when.destPort !== undefined) {
    // The port of the server: in a packet to the client `dest_port` is the client's own.
    const port = (attribution.responder ?? alert.dest)?.port ?? null;
    if (port === null || !inRanges(port, when.destPort)) return false;
  }
  if (when.signature !== undefined && !when.signature.some((wanted) => signatureHas(alert.signature, wanted)))
    return false;
  return when.meta === undefined || metaMatches(when.meta, alert.metadata);
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

function onSide(side: Side, address: Address | undefined, facts: Facts): boolean {
  if (address === undefined) return false;
  const host = hostPrefix(address);
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
export function metaMatches(wanted: NonNullable<PolicyConditions['meta']>, metadata: EveAlert['metadata']): boolean {
  return Object.entries(wanted).every(([key, values]) =>
    metadataValues(metadata, key).some((value) => includesText(values, value)),
  );
}

/** The values of a metadata key in any case; the author of a rule chooses keys, so only own ones count. */
export function metadataValues(metadata: EveAlert['metadata'], key: string): readonly string[] {
  const exact = Object.hasOwn(metadata, key) ? metadata[key] : undefined;
  if (exact !== undefined) return exact;
  const lower = key.toLowerCase();
  return Object.entries(metadata).find(([name]) => name.toLowerCase() === lower)?.[1] ?? [];
}

/** Whether a metadata value marks the alert as no ground for a ban; names the value, or `null`. */
export function metadataVeto(metadata: EveAlert['metadata']): string | null {
  const has = (key: string, value: string) =>
    metadataValues(metadata, key).some((v) => v.trim().toLowerCase() === value);
  if (has('signature_severity', 'informational')) return 'the rule calls itself signature_severity Informational';
  return has('confidence', 'low') ? 'the rule calls itself confidence Low' : null;
}
