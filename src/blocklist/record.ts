import { createHash } from 'node:crypto';
import { type EpochMs, FOREVER } from '../base/clock.js';
import type { BanRecord } from '../policy/ban.js';

/** What a ban or allow key's value says, beyond the address and the lifetime. */
export interface StoredRecord extends BanRecord {
  /** Signatures that asked for this ban, at most 16; a later unban pardons them. */
  readonly sids: readonly number[];
  /** Last note of a person. */
  readonly note?: string;
}

/** A value as found in Redis. */
export interface StoredValue {
  readonly record: StoredRecord;
  /** When our own writer meant the key to end; `undefined` for a value typed by hand. */
  readonly until: EpochMs | undefined;
}

/**
 * The form that our own writers give a value: one flat JSON object whose last
 * four fields the Lua scripts can find and replace without reading the rest.
 */
const OWN = /^(\{"v":1,.*),"sids":\[([\d,]*)\],"last":"([^"]*)","count":(\d+),"until":(\d+|null)\}$/s;

/** The value without its last four fields, which the commit script appends. */
export function encodeHead(record: BanRecord | StoredRecord): string {
  const { last: _last, count: _count, sids: _sids, v: _v, ...rest } = { sids: [], ...record };
  return JSON.stringify({ v: 1, ...rest }).slice(0, -1);
}

export function encodeValue(record: StoredRecord, until: EpochMs): string {
  const last = JSON.stringify(record.last);
  const end = until === FOREVER ? 'null' : String(Math.round(until));
  return `${encodeHead(record)},"sids":[${record.sids.join(',')}],"last":${last},"count":${record.count},"until":${end}}`;
}

/** Reads a value of ours; `null` when a person typed it. */
export function decodeValue(value: string): StoredValue | null {
  const match = OWN.exec(value);
  if (match === null) return null;
  try {
    const { until, ...record } = JSON.parse(value) as StoredRecord & { until: number | null };
    return { record, until: until === null ? FOREVER : until };
  } catch {
    return null;
  }
}

/** The record of a value that a person typed with redis-cli: its text is the reason, `INC-4521` in front the ticket. */
export function recordOfText(text: string, at: EpochMs): StoredRecord {
  const now = new Date(at).toISOString();
  return manualRecord({ reason: text.slice(0, 1000), from: 'redis', ticket: ticketOf(text), at: now });
}

export function ticketOf(text: string): string | null {
  return /^[A-Z][A-Z0-9]{1,15}-\d{1,9}\b/.exec(text)?.[0] ?? null;
}

/** A record as a person's act makes it. @param of `at` is ISO 8601 UTC */
export function manualRecord(of: {
  readonly reason: string;
  readonly from: BanRecord['from'];
  readonly at: string;
  readonly by?: string | null;
  readonly ticket?: string | null;
  readonly host?: string | null;
  readonly import?: string | null;
}): StoredRecord {
  return {
    v: 1,
    reason: of.reason,
    source: of.import ? 'import' : 'manual',
    sid: null,
    gid: null,
    rev: null,
    signature: null,
    category: null,
    policy: null,
    policy_version: null,
    host: of.host ?? null,
    sensor: null,
    scope: 'fleet',
    role: null,
    resolved_by: null,
    proof: null,
    target: null,
    flow_id: null,
    by: of.by ?? null,
    from: of.from,
    ticket: of.ticket ?? null,
    import: of.import ?? null,
    first: of.at,
    sids: [],
    last: of.at,
    count: 1,
  };
}

/** What identifies one state of a raw key for the whole fleet. @param ends ms since 1970, -1 permanent */
export function digestOf(value: string, ends: number): string {
  return createHash('sha1').update(`${value}|${ends}`).digest('hex');
}

/** `until` as Redis counts it: ms, -1 for permanent. */
export function endsOf(until: EpochMs): number {
  return until === FOREVER ? -1 : Math.round(until);
}

export function untilOf(ends: number): EpochMs {
  return ends === -1 ? FOREVER : ends;
}
