/**
 * Where reading had come to, as text that is stored with the effects of what
 * was read. A place in a file is known by device, inode and offset, and proven
 * by a fingerprint of the bytes before it: names move at a rotation, inode
 * numbers are used again, and a file that was truncated may have grown past
 * the old offset. The tail of one line alone does not identify a file, since
 * the ends of flow records look alike; hence the first bytes as well.
 */
import { hash } from 'node:crypto';
import { readSync } from 'node:fs';

/** Bytes of a file's beginning and of the end before the offset that are fingerprinted. */
export const HEAD_BYTES = 256;
export const TAIL_BYTES = 512;

/** One file up to the last complete line that was handed on. */
export interface FileMark {
  /** Device and inode in decimal; text, since inode numbers may exceed 2^53. */
  readonly dev: string;
  readonly ino: string;
  /** Bytes from the beginning to just after the last complete line. */
  readonly offset: number;
  /** Fingerprint of the first min(256, offset) bytes; '' when offset is 0. */
  readonly head: string;
  /** Fingerprint of the last min(512, offset) bytes before the offset; '' when offset is 0. */
  readonly tail: string;
}

/** The place in one source: every file of it that is open, and those read lately. */
export interface Bookmark {
  /** The path as configured or matched. */
  readonly path: string;
  /** Modification time (ms) of the current file when it was last looked at: what is unread was written later. */
  readonly since: number;
  /** Open files in reading order, the current one last; old inodes still being drained included. */
  readonly files: readonly FileMark[];
  /** Files that were read to their end lately, oldest first, so that none is read again under another name. */
  readonly past: readonly FileMark[];
}

/** 96 bits of SHA-256, base64url. */
export function fingerprint(bytes: Uint8Array): string {
  return bytes.length === 0 ? '' : hash('sha256', bytes, 'base64url').slice(0, 16);
}

const scratch = Buffer.allocUnsafeSlow(TAIL_BYTES);

function fingerprintAt(fd: number, from: number, length: number): string | null {
  return readSync(fd, scratch, 0, length, from) === length ? fingerprint(scratch.subarray(0, length)) : null;
}

/** Fewer bytes than this, shorter than any record with a time, may begin two different files. */
const TELLING_BYTES = 64;

/** Whether the open file begins with the bytes that this mark's file began with. False for marks that cover too little to tell. */
export function beginsLike(fd: number, mark: FileMark): boolean {
  return mark.offset >= TELLING_BYTES && hasHead(fd, mark);
}

function hasHead(fd: number, mark: FileMark): boolean {
  return fingerprintAt(fd, 0, Math.min(HEAD_BYTES, mark.offset)) === mark.head;
}

/** Whether the open file holds the bytes before this mark's offset: it is that file, or a copy of it. False at offset 0. */
export function holds(fd: number, mark: FileMark): boolean {
  if (mark.offset === 0 || !hasHead(fd, mark)) return false;
  const length = Math.min(TAIL_BYTES, mark.offset);
  return fingerprintAt(fd, mark.offset - length, length) === mark.tail;
}

export function encodeBookmark(bookmark: Bookmark): string {
  return JSON.stringify({ v: 1, ...bookmark });
}

function readMark(value: unknown): FileMark | null {
  if (typeof value !== 'object' || value === null) return null;
  const { dev, ino, offset, head, tail } = value as Record<string, unknown>;
  const decimal = /^\d{1,20}$/;
  if (typeof dev !== 'string' || typeof ino !== 'string' || !decimal.test(dev) || !decimal.test(ino)) return null;
  if (typeof offset !== 'number' || !Number.isSafeInteger(offset) || offset < 0) return null;
  if (typeof head !== 'string' || typeof tail !== 'string') return null;
  return { dev, ino, offset, head, tail };
}

/** Reads what `encodeBookmark` wrote. Anything else gives `null`, never an error. */
export function decodeBookmark(text: string): Bookmark | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { v, path, since, files, past } = value as Record<string, unknown>;
  if (v !== 1 || typeof path !== 'string' || typeof since !== 'number' || !Number.isFinite(since)) return null;
  if (!Array.isArray(files) || !Array.isArray(past)) return null;
  const marks = files.map(readMark);
  const old = past.map(readMark);
  if (marks.includes(null) || old.includes(null)) return null;
  return { path, since, files: marks as FileMark[], past: old as FileMark[] };
}
