import { promisify } from 'node:util';
import { constants, deflateRaw, inflateRawSync } from 'node:zlib';
import type { EpochMs } from '../base/clock.js';
import type { EveAlert } from '../suricata/eve-alert.js';
import { type AlertRow, type DecisionKind, KINDS, OUTCOMES, untilFromJson, untilToJson } from './alert-row.js';
import { addAddress, TermFilter } from './term-filter.js';

/**
 * A block of alert rows in compressed parts. The first holds, column by column,
 * what questions are asked about: times, counts, addresses, signature, decision.
 * The others hold one line of JSON a row with all the rest, a few rows each,
 * since most answers show one row of a block.
 */

/** Rows of one block: few enough that a question about one address reads little, and enough to compress well. */
export const ROWS_PER_BLOCK = 512;
/** Rows of one part of details: about 32 KiB, which is as far back as deflate looks. */
const ROWS_PER_PART = 32;

/** Characters of a header that a client wrote; attribution reads no more. */
const XFF_AT_MOST = 1000;

const deflate = promisify(deflateRaw);
const FAST = { level: 3, memLevel: 9, strategy: constants.Z_DEFAULT_STRATEGY };
/** A body that says it is larger than this is damaged: 512 rows of the longest alerts are less. */
export const LARGEST_PART = 64 << 20;

/** Compresses one part of a block. */
export async function pack(part: Uint8Array): Promise<Buffer> {
  return deflate(part, FAST);
}

/** @throws when it is not what `pack` made */
export function unpack(part: Uint8Array): Buffer {
  return inflateRawSync(part, { maxOutputLength: LARGEST_PART });
}

export interface EncodedAlerts {
  readonly from: EpochMs;
  readonly to: EpochMs;
  readonly filter: TermFilter;
  /** Not yet compressed. */
  readonly parts: readonly [keys: Buffer, ...details: Buffer[]];
}

/** The terms for a decision, for a signature, and for both together. */
export const kindTerm = (kind: DecisionKind): string => `decision ${kind}`;
export function sidTerm({ gid, sid }: Pick<EveAlert, 'gid' | 'sid'>, kind?: DecisionKind): string {
  return kind === undefined ? `sid ${gid}:${sid}` : `sid ${gid}:${sid} ${kind}`;
}

/** @param rows at least one, oldest first */
export function encodeAlerts(rows: readonly AlertRow[]): EncodedAlerts {
  const addresses = new Map<string, number>();
  /** Place in the list from 1 on; 0 is none. */
  const place = (address: string | null | undefined): number => {
    if (address === null || address === undefined) return 0;
    const known = addresses.get(address) ?? addresses.size + 1;
    addresses.set(address, known);
    return known;
  };
  const columns = newColumns(rows.length);
  const terms = new Set<string>();
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  rows.forEach((row, i) => {
    const { alert, detection } = row;
    columns.first[i] = row.first;
    columns.span[i] = row.last - row.first;
    columns.count[i] = row.count;
    columns.candidate[i] = place(row.candidate);
    columns.src[i] = place(alert?.src?.address);
    columns.dest[i] = place(alert === null ? detection?.target : alert.dest?.address);
    columns.gid[i] = alert?.gid ?? 0;
    columns.sid[i] = alert?.sid ?? 0;
    columns.kind[i] = KINDS.indexOf(row.kind);
    columns.outcome[i] = OUTCOMES.indexOf(row.outcome);
    terms.add(kindTerm(row.kind));
    if (alert !== null) terms.add(sidTerm(alert)).add(sidTerm(alert, row.kind));
    from = Math.min(from, row.first);
    to = Math.max(to, row.last);
  });
  const names = Buffer.from([...addresses.keys()].join('\n'));
  const head = Buffer.alloc(8);
  head.writeUInt32LE(rows.length, 0);
  head.writeUInt32LE(names.length, 4);
  const keys = Buffer.concat([head, ...Object.values(columns).map(bytesOf), names]);
  for (const address of addresses.keys()) addAddress(terms, address);
  const details: Buffer[] = [];
  for (let i = 0; i < rows.length; i += ROWS_PER_PART) details.push(encodeDetails(rows.slice(i, i + ROWS_PER_PART)));
  return { from, to, filter: TermFilter.of(terms), parts: [keys, ...details] };
}

interface Columns {
  readonly first: Float64Array;
  readonly span: Float64Array;
  readonly count: Uint32Array;
  readonly candidate: Uint32Array;
  readonly src: Uint32Array;
  readonly dest: Uint32Array;
  readonly gid: Uint32Array;
  readonly sid: Uint32Array;
  readonly kind: Uint8Array;
  readonly outcome: Uint8Array;
}

/** In the order in which they are written. */
function newColumns(rows: number): Columns {
  return {
    first: new Float64Array(rows),
    span: new Float64Array(rows),
    count: new Uint32Array(rows),
    candidate: new Uint32Array(rows),
    src: new Uint32Array(rows),
    dest: new Uint32Array(rows),
    gid: new Uint32Array(rows),
    sid: new Uint32Array(rows),
    kind: new Uint8Array(rows),
    outcome: new Uint8Array(rows),
  };
}

function bytesOf(column: Float64Array | Uint32Array | Uint8Array): Uint8Array {
  return new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
}

/** The columns of a block, and its addresses; column values count them from 1. */
export interface AlertKeys extends Columns {
  readonly rows: number;
  readonly addresses: readonly string[];
}

/** @throws RangeError when the bytes are not a block's */
export function decodeKeys(bytes: Buffer): AlertKeys {
  const rows = bytes.readUInt32LE(0);
  const columns = newColumns(Math.min(rows, bytes.length));
  let at = 8;
  for (const column of Object.values(columns) as (Float64Array | Uint32Array | Uint8Array)[]) {
    const end = at + column.byteLength;
    if (end > bytes.length) throw new RangeError('a block of alerts ends early');
    bytesOf(column).set(bytes.subarray(at, end));
    at = end;
  }
  const names = bytes.toString('utf8', at, at + bytes.readUInt32LE(4));
  return { ...columns, rows, addresses: names === '' ? [] : names.split('\n') };
}

/** What is the same for all alerts of one signature. */
type Rule = Pick<EveAlert, 'gid' | 'sid' | 'rev' | 'signature' | 'category' | 'severity' | 'metadata'>;

interface Detail {
  /** Place of the signature in the first line; absent for detections. */
  readonly r?: number;
  readonly a?: Omit<EveAlert, keyof Rule>;
  readonly d?: AlertRow['detection'];
  readonly s: readonly (readonly [check: string, result: string, detail: string])[];
  readonly u: ReturnType<typeof untilToJson>;
  readonly v: string;
}

function encodeDetails(rows: readonly AlertRow[]): Buffer {
  const rules = new Map<string, Rule & { readonly place: number }>();
  const lines = rows.map(({ alert, detection, steps, until, policyVersion }) => {
    const shared = {
      s: steps.map(({ check, result, detail }) => [check, result, detail] as const),
      u: untilToJson(until),
      v: policyVersion,
    };
    if (alert === null) return JSON.stringify({ d: detection, ...shared } satisfies Detail);
    const { gid, sid, rev, signature, category, severity, metadata, ...own } = alert;
    const a = { ...own, xff: own.xff?.slice(0, XFF_AT_MOST) ?? null };
    const name = `${gid}:${sid}:${rev} ${severity} ${signature}`;
    const rule = rules.get(name) ?? { gid, sid, rev, signature, category, severity, metadata, place: rules.size };
    rules.set(name, rule);
    return JSON.stringify({ r: rule.place, a, ...shared } satisfies Detail);
  });
  const shared = [...rules.values()].map(({ place: _, ...rule }) => rule);
  return Buffer.from([JSON.stringify(shared), ...lines].join('\n'));
}

/** Reads single rows of a block. */
export class AlertDetails {
  readonly #part: (place: number) => Buffer;
  /** The part that was read last. */
  #place = 0;
  #lines: readonly string[] = [];
  #rules: readonly Rule[] = [];

  /** @param part gives a part of the block, the keys being the first */
  constructor(part: (place: number) => Buffer) {
    this.#part = part;
  }

  #open(place: number): void {
    if (this.#place === place) return;
    this.#lines = this.#part(place).toString('utf8').split('\n');
    this.#rules = JSON.parse(this.#lines[0] ?? '') as Rule[];
    this.#place = place;
  }

  /** @throws SyntaxError when there is no such row */
  row(keys: AlertKeys, i: number): AlertRow {
    this.#open(1 + Math.floor(i / ROWS_PER_PART));
    const { r, a, d, s, u, v } = JSON.parse(this.#lines[1 + (i % ROWS_PER_PART)] ?? '') as Detail;
    const first = keys.first[i] as number;
    const kind = KINDS[keys.kind[i] as number];
    const outcome = OUTCOMES[keys.outcome[i] as number];
    if (kind === undefined || outcome === undefined) throw new SyntaxError('a block of a later version');
    const candidate = keys.candidate[i] as number;
    const rule = r === undefined ? undefined : this.#rules[r];
    return {
      first,
      last: first + (keys.span[i] as number),
      count: keys.count[i] as number,
      kind,
      outcome,
      candidate: candidate === 0 ? null : (keys.addresses[candidate - 1] as string),
      alert: a === undefined || rule === undefined ? null : { ...a, ...rule },
      detection: d ?? null,
      steps: s.map(([check, result, detail]) => ({ check, result, detail })),
      until: untilFromJson(u),
      policyVersion: v,
    };
  }
}
