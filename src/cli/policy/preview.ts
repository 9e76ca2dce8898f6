import type { Config } from '../../config/config.js';

/** A ban that one of the two configurations makes and the other does not, or makes otherwise. */
export interface PreviewedBan {
  readonly address: string;
  readonly sid: number | null;
  /** Name of the policy line. */
  readonly policy: string | null;
}

/** What the last day would have been. */
export interface PreviewResult {
  /** ISO 8601 UTC: from when on the history is complete. */
  readonly from: string;
  readonly alerts: number;
  /** Addresses banned by what runs, and by the candidate. */
  readonly before: number;
  readonly after: number;
  readonly added: readonly PreviewedBan[];
  readonly removed: readonly PreviewedBan[];
}

/** Replays the recorded alerts of the last day by both configurations; or says why that cannot be done. */
export type Preview = (running: Config, candidate: Config) => Promise<PreviewResult | { readonly none: string }>;

/** Reads the history of this host. */
export const preview: Preview = async () => ({ none: 'there is no history yet' });

const SHOWN = 20;

/** The preview as lines for people. */
export function previewLines(result: Awaited<ReturnType<Preview>>): string[] {
  if ('none' in result) return [`no preview: ${result.none}`];
  const { from, alerts, before, after, added, removed } = result;
  const ban = (sign: string, { address, sid, policy }: PreviewedBan) =>
    `  ${sign} ${address}  ${policy ?? ''}${sid === null ? '' : ` (sid ${sid})`}`;
  const rows = [...added.map((one) => ban('+', one)), ...removed.map((one) => ban('-', one))];
  return [
    `over ${alerts} alerts since ${from}: ${after} addresses banned (running policy: ${before})`,
    ...rows.slice(0, SHOWN),
    ...(rows.length > SHOWN ? [`  and ${rows.length - SHOWN} more`] : []),
  ];
}
