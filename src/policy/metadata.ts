import { FOREVER, type Seconds } from '../base/clock.js';
import { parseDuration } from '../base/duration.js';
import type { EveAlert } from '../suricata/eve-alert.js';
import type { DecisionContext } from './context.js';

/** What a rule author's metadata says: a list of values for each key, in any spelling. */
export type Metadata = EveAlert['metadata'];

/** How long `barricata ban` bans where the rule does not say `barricata_for`. */
export const METADATA_BAN: Seconds = 3600;

/** The metadata of the alert; where it carries none (Suricata can leave it out), that of the rules file. */
export function metadataFor(alert: EveAlert, { ruleFacts }: Pick<DecisionContext, 'ruleFacts'>): Metadata {
  for (const _ in alert.metadata) return alert.metadata;
  return ruleFacts(alert.sid, alert.gid)?.metadata ?? alert.metadata;
}

/** The values of a metadata key in any case; the author of a rule chooses keys, so only own ones count. */
export function metadataValues(metadata: Metadata, key: string): readonly string[] {
  const exact = Object.hasOwn(metadata, key) ? metadata[key] : undefined;
  if (exact !== undefined) return exact;
  const lower = key.toLowerCase();
  return Object.entries(metadata).find(([name]) => name.toLowerCase() === lower)?.[1] ?? [];
}

/** Whether a metadata value marks the alert as no ground for a ban; names the value, or `null`. */
export function metadataVeto(metadata: Metadata): string | null {
  if (has(metadata, 'signature_severity', 'informational')) {
    return 'the rule calls itself signature_severity Informational';
  }
  return has(metadata, 'confidence', 'low') ? 'the rule calls itself confidence Low' : null;
}

/** What a rule's metadata asks of us. */
export type MetadataAction =
  | { readonly kind: 'ignore'; readonly said: string }
  | { readonly kind: 'ban'; readonly duration: Seconds; readonly said: string };

/**
 * Reads `barricata ban`, `barricata_for 24h` and `barricata ignore`. `ignore`
 * beats `ban` where a rule says both. A duration that is none, or `forever`,
 * which is not for a rule's author to say, counts as not written.
 */
export function metadataAction(metadata: Metadata): MetadataAction | null {
  if (has(metadata, 'barricata', 'ignore')) return { kind: 'ignore', said: 'rule metadata: barricata ignore' };
  if (!has(metadata, 'barricata', 'ban')) return null;
  const written = metadataValues(metadata, 'barricata_for')[0]?.trim() ?? '';
  const duration = parseDuration(written);
  if (duration === null || duration === FOREVER) {
    return { kind: 'ban', duration: METADATA_BAN, said: 'rule metadata: barricata ban' };
  }
  return { kind: 'ban', duration, said: `rule metadata: barricata ban, barricata_for ${written}` };
}

function has(metadata: Metadata, key: string, value: string): boolean {
  return metadataValues(metadata, key).some((one) => one.trim().toLowerCase() === value);
}
