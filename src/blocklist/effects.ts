import { type EpochMs, FOREVER } from '../base/clock.js';
import { prefix } from '../net/prefix.js';
import type { Ban, Decision } from '../policy/ban.js';
import { offenderOf } from '../policy/past-bans.js';
import type { Facts } from './facts.js';
import type { Keys } from './keys.js';
import type { CommitOutcome } from './outcome.js';
import { encodeHead, endsOf } from './record.js';

/** One decision as the commit script takes it. */
export interface Effect {
  /** The key that it writes. */
  readonly key: string;
  readonly json: string;
  /** Events that it stands for. */
  readonly count: number;
  /** Events of earlier batches that it carries to the store with its own. */
  readonly carried: number;
  /** `null` when nothing is to be dropped for it. */
  readonly ban: Ban | null;
}

export interface EffectOptions {
  readonly keys: Keys;
  readonly facts: Pick<Facts, 'suppressed'>;
  /** Redis time minus our time, ms. */
  readonly skew: number;
  readonly now: EpochMs;
}

/** Entries whose uncounted events are remembered. */
const UNCOUNTED_AT_MOST = 10_000;

/** The effects of one batch after the other, with the events that were not worth a write of their own. */
export class Effects {
  /** Key to events that no write has counted yet. */
  readonly #uncounted = new Map<string, number>();

  /** The effects of a batch, each with the place of its decision in it; `suppressed` names the decisions that may do nothing. */
  of(
    decisions: readonly Decision[],
    options: EffectOptions,
  ): { readonly effects: readonly (Effect & { readonly index: number })[]; readonly suppressed: readonly number[] } {
    const effects: (Effect & { readonly index: number })[] = [];
    const suppressed: number[] = [];
    // Of several effects on one entry the first carries what was not counted.
    const named = new Set<string>();
    decisions.forEach((decision, index) => {
      const { kind } = decision;
      if (kind !== 'ban' && kind !== 'would_ban' && kind !== 'flag') return;
      if (kind === 'ban' && isSuppressed(decision.ban, options)) {
        suppressed.push(index);
        return;
      }
      const fields = kind === 'flag' ? flagFields(decision, options) : banFields(decision, options);
      const carried = named.has(fields.key) ? 0 : (this.#uncounted.get(fields.key) ?? 0);
      named.add(fields.key);
      const json = JSON.stringify({ ...fields, count: fields.count + carried });
      const { key, count } = fields;
      effects.push({ index, key, json, count, carried, ban: kind === 'ban' ? decision.ban : null });
    });
    return { effects, suppressed };
  }

  /** What became of an effect, so that the count of its entry is right at the next write. */
  settle({ key, count, carried }: Effect, outcome: CommitOutcome): void {
    const known = this.#uncounted.get(key) ?? 0;
    const left = outcome === 'unchanged' ? known + count : known - carried;
    this.#uncounted.delete(key);
    if (left <= 0) return;
    this.#uncounted.set(key, left);
    if (this.#uncounted.size > UNCOUNTED_AT_MOST) {
      this.#uncounted.delete(this.#uncounted.keys().next().value as string);
    }
  }
}

/** An end of ours as Redis counts it, -1 for permanent. @param skew Redis time minus our time, ms */
export function inRedisTime(until: EpochMs, skew: number): number {
  return until === FOREVER ? -1 : endsOf(until + skew);
}

/** The prefixes whose pardon holds for this one too: itself, and the /64 of an IPv6 address. */
export function pardonable(text: string): string[] {
  if (!text.includes(':')) return [text];
  const offender = offenderOf(prefix(text)).text;
  return offender === text ? [text] : [text, offender];
}

function isSuppressed({ record, prefix: text }: Ban, { facts }: EffectOptions): boolean {
  return record.sid !== null && facts.suppressed(record.gid ?? 1, record.sid, text) !== null;
}

function banFields(decision: Decision & { kind: 'ban' | 'would_ban' }, { keys, skew }: EffectOptions) {
  const { ban } = decision;
  const { record } = ban;
  const isBan = decision.kind === 'ban';
  const onHost = record.scope === 'host';
  return {
    t: isBan ? 'ban' : 'would',
    key: !isBan ? keys.would(ban.prefix) : onHost ? keys.local(ban.prefix) : keys.ban(ban.prefix),
    address: ban.prefix,
    ...(isBan && onHost ? { fleet: keys.ban(ban.prefix) } : {}),
    ...(isBan ? { pardons: pardonable(ban.prefix).map(keys.pardon) } : {}),
    ...(isBan && ban.offence ? { offence: offenceFields(ban, ban.offence, keys) } : {}),
    ends: inRedisTime(ban.until, skew),
    head: encodeHead(record),
    ...times(record.last),
    count: record.count,
    ...(record.sid === null ? {} : { sid: record.sid }),
    ...(ban.flowStart === null ? {} : { flow: ban.flowStart + skew }),
    proven: ban.proven,
    why: decision.kind === 'would_ban' ? decision.why : record.reason,
  };
}

/** The first alert tells this ban from others of the same address; a person's unban takes it back by that. */
function offenceFields(
  { record, prefix: text }: Ban,
  { offender, keepFor }: NonNullable<Ban['offence']>,
  keys: Keys,
): object {
  const { first } = record;
  return { key: keys.offence(offender), member: `${first} ${text}`, at: Date.parse(first), keep: keepFor };
}

function flagFields(flag: Decision & { kind: 'flag' }, { keys, now }: EffectOptions) {
  return {
    t: 'flag',
    key: keys.flag(flag.inside, flag.sid),
    address: flag.inside,
    outside: flag.outside,
    ...times(new Date(now).toISOString()),
    count: flag.count ?? 1,
    why: flag.why,
  };
}

function times(last: string): { readonly last: string; readonly minuteAgo: string } {
  return { last, minuteAgo: new Date(Date.parse(last) - 60_000).toISOString() };
}
