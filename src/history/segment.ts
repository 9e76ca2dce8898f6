/**
 * history: what was decided, kept for people. Alerts with their decisions and
 * contacts between outside and inside, on this host's disk under `state`/history.
 *
 * A segment is one hour of one kind (split in parts when it grows large), in two
 * files. The data file holds compressed bodies one after the other. The index
 * file holds one small frame for each body: where it is, which time it covers,
 * and a filter of what is in it, so that a question about one address reads the
 * small index files and only the few bodies that can answer it.
 *
 * A body is written before its frame. A crash leaves at most a body that no
 * frame names, or half a frame, and what is written next goes behind it: the
 * reader finds the next frame by its mark and its checksum. Damage costs the
 * blocks that it touches and is counted, never the rest.
 *
 * Blocks are not fsynced one by one: a power cut may cost what the kernel had
 * not yet written (about 30 s), a kill of the process costs only rows that were
 * still in memory. A segment is fsynced when it is closed.
 */
import { readdirSync, statSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { EpochMs } from '../base/clock.js';
import { TermFilter } from './term-filter.js';

export type SegmentKind = 'alerts' | 'contacts';

/** What a frame says of one block. */
export interface BlockIndex {
  /** The times that its rows cover. */
  readonly from: EpochMs;
  readonly to: EpochMs;
  readonly written: EpochMs;
  readonly rows: number;
  /** Rows given up for want of disk since the block before this one. */
  readonly lost: number;
  /** Where the body is in the data file, and the sizes and CRC-32 of its parts, one behind the other. */
  readonly at: number;
  readonly parts: readonly (readonly [size: number, crc: number])[];
}

/** One part of one hour, as found on disk. */
export interface Segment {
  /** Of the data file; the index file's is this and `.index`. */
  readonly path: string;
  readonly kind: SegmentKind;
  /** Start of the hour in which it was written. */
  readonly hour: EpochMs;
  readonly part: number;
  /** Both files together. */
  readonly bytes: number;
}

export const HOUR_MS = 3_600_000;
const NAME = /^(\d{4})(\d\d)(\d\d)T(\d\d)-(\d{3,9})\.(alerts|contacts)$/;

export function hourOf(at: EpochMs): EpochMs {
  return Math.floor(at / HOUR_MS) * HOUR_MS;
}

/** `20261123T03-000.alerts`: UTC, so that names sort by time. */
export function segmentName(hour: EpochMs, part: number, kind: SegmentKind): string {
  const stamp = new Date(hour).toISOString().replace(/-/g, '').slice(0, 11);
  return `${stamp}-${String(part).padStart(3, '0')}.${kind}`;
}

export function indexPath(path: string): string {
  return `${path}.index`;
}

/**
 * The segments of a directory, oldest first; none when there is no directory.
 * @throws the error of the system when it cannot be read
 */
export function listSegments(directory: string, kind?: SegmentKind): Segment[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const segments: Segment[] = [];
  for (const name of names) {
    const match = NAME.exec(name);
    if (match === null || (kind !== undefined && match[6] !== kind)) continue;
    const path = `${directory}/${name}`;
    segments.push({
      path,
      kind: match[6] as SegmentKind,
      hour: Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3]), Number(match[4])),
      part: Number(match[5]),
      bytes: sizeOf(path) + sizeOf(indexPath(path)),
    });
  }
  return segments.sort((a, b) => a.hour - b.hour || a.part - b.part);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

const MARK = Buffer.from('BhI1');
/** Mark, length of the payload, CRC-32 of the payload. */
const HEAD = 12;
/** Four doubles, two counts, the number of parts; then eight bytes a part, then the filter. */
const FIXED = 4 * 8 + 2 * 4 + 1;
/** No frame of ours is longer: a length beyond it is damage. */
const LONGEST_FRAME = 4 << 20;

/** One frame of an index file: mark, length, CRC-32, the index with its numbers in a fixed order, the filter. */
export function encodeFrame(index: BlockIndex, filter: TermFilter): Buffer {
  const { from, to, written, at, rows, lost, parts } = index;
  const payload = Buffer.alloc(FIXED + parts.length * 8 + filter.bytes.length);
  let place = 0;
  for (const value of [from, to, written, at]) place = payload.writeDoubleLE(value, place);
  for (const value of [rows, lost]) place = payload.writeUInt32LE(Math.min(value, 0xffff_ffff), place);
  place = payload.writeUInt8(parts.length, place);
  for (const value of parts.flat()) place = payload.writeUInt32LE(value, place);
  payload.set(filter.bytes, place);
  const head = Buffer.alloc(HEAD);
  MARK.copy(head);
  head.writeUInt32LE(payload.length, 4);
  head.writeUInt32LE(crc32(payload), 8);
  return Buffer.concat([head, payload]);
}

function decodePayload(payload: Buffer): Frame {
  const double = (place: number) => payload.readDoubleLE(place * 8);
  const count = payload.readUInt8(FIXED - 1);
  const parts = Array.from({ length: count }, (_, i) => {
    const place = FIXED + i * 8;
    return [payload.readUInt32LE(place), payload.readUInt32LE(place + 4)] as const;
  });
  const [rows, lost] = [payload.readUInt32LE(32), payload.readUInt32LE(36)];
  const index = { from: double(0), to: double(1), written: double(2), at: double(3), rows, lost, parts };
  return { index, filter: new TermFilter(payload.subarray(FIXED + count * 8)) };
}

export interface Frame {
  readonly index: BlockIndex;
  readonly filter: TermFilter;
}

/**
 * The whole frames of an index file, in order.
 * @param onDamage called for each stretch that is no frame; an unfinished last one, as a kill leaves, counts too
 */
export function* decodeFrames(bytes: Buffer, onDamage: () => void): Generator<Frame> {
  for (let at = 0; at < bytes.length; ) {
    const end = endOfFrame(bytes, at);
    if (end !== null) {
      yield decodePayload(bytes.subarray(at + HEAD, end));
      at = end;
      continue;
    }
    onDamage();
    // Each place where the mark is may be the next frame; whether it is one, its checksum tells.
    let next = bytes.indexOf(MARK, at + 1);
    while (next >= 0 && endOfFrame(bytes, next) === null) next = bytes.indexOf(MARK, next + 1);
    if (next < 0) return;
    at = next;
  }
}

/** Where the frame at `at` ends; `null` when there is no whole and undamaged one. */
function endOfFrame(bytes: Buffer, at: number): number | null {
  if (at + HEAD + FIXED > bytes.length || bytes.compare(MARK, 0, 4, at, at + 4) !== 0) return null;
  const length = bytes.readUInt32LE(at + 4);
  const end = at + HEAD + length;
  if (length < FIXED || length > LONGEST_FRAME || end > bytes.length) return null;
  if (crc32(bytes.subarray(at + HEAD, end)) !== bytes.readUInt32LE(at + 8)) return null;
  // Written by a later version, perhaps.
  return FIXED + bytes.readUInt8(at + HEAD + FIXED - 1) * 8 <= length ? end : null;
}
