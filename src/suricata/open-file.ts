import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { type FileMark, fingerprint, HEAD_BYTES, TAIL_BYTES } from './bookmark.js';

/** Bytes read at a time: larger gains nothing, and this much stays in the processor's cache. */
const CHUNK_BYTES = 256 * 1024;

/** Device and inode: what a file is, whatever its name. */
export interface FileId {
  readonly dev: string;
  readonly ino: string;
}

/** What `stat` says of a regular file, in the units used here. */
export interface FileFacts extends FileId {
  readonly size: number;
  /** Modification time in ns, for equality, and in ms, for order. */
  readonly mtimeNs: bigint;
  readonly mtime: number;
  /** Number of names; 0 once deleted. */
  readonly links: number;
  readonly regular: boolean;
}

export function sameFile(a: FileId, b: FileId): boolean {
  return a.ino === b.ino && a.dev === b.dev;
}

export function factsOf(st: {
  dev: bigint;
  ino: bigint;
  size: bigint;
  mtimeNs: bigint;
  nlink: bigint;
  isFile(): boolean;
}): FileFacts {
  return {
    dev: String(st.dev),
    ino: String(st.ino),
    size: Number(st.size),
    mtimeNs: st.mtimeNs,
    mtime: Number(st.mtimeNs / 1_000_000n),
    links: Number(st.nlink),
    regular: st.isFile(),
  };
}

/** Opens for reading without ever waiting (a FIFO would block); throws the system's error. */
export function openForReading(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
}

/** Facts of an open file. */
export function factsOfFd(fd: number): FileFacts {
  return factsOf(fstatSync(fd, { bigint: true }));
}

const EMPTY = Buffer.alloc(0);
const probe = Buffer.allocUnsafeSlow(TAIL_BYTES);

/**
 * One generation of one file, held open by descriptor: a rename or a deletion
 * does not take it away, and its inode number cannot be given to another file
 * meanwhile. A truncation begins a new generation; the old one goes on reading
 * from the copy that the truncation left, if there is one.
 *
 * Bytes read and not yet handed on are `buffer[done, end)`; those up to
 * `lineEnd` are complete lines.
 */
export class OpenFile {
  #fd: number;
  #id: FileId;
  /** Offset of the first byte that was not handed on: after the last complete line. */
  #offset: number;
  #buffer: Buffer = EMPTY;
  #done = 0;
  #end = 0;
  #lineEnd = 0;
  /** Offset of the next byte to read. */
  #readTo: number;
  /** The first bytes as they were read, and the last ones before `#offset`: proof that this is still the same content. */
  #head: Buffer;
  #headMark = '';
  /** The first bytes as last seen while nothing was read: tells a truncation that comes before the first read. */
  #ahead: Buffer = EMPTY;
  readonly #tail = Buffer.allocUnsafeSlow(TAIL_BYTES);
  #tailLength = 0;
  #skipping = false;
  readonly #longestLine: number;
  /** Size and time when last looked at. */
  size = 0;
  mtimeNs = -1n;
  links = 1;
  /** Monotonic time of the last growth. */
  grownAt: number;
  /** Alerts older than this are left out until a younger one was seen; -Infinity once reading is current. */
  ignoreBefore = Number.NEGATIVE_INFINITY;

  /**
   * Takes over an open descriptor of which everything before `offset` was handed on before.
   *
   * @param longestLine bytes; a longer line is passed over
   */
  constructor(fd: number, id: FileId, offset: number, longestLine: number, now: number) {
    this.#fd = fd;
    this.#id = { dev: id.dev, ino: id.ino };
    this.#offset = offset;
    this.#readTo = offset;
    this.#longestLine = longestLine;
    this.grownAt = now;
    this.#head = Buffer.allocUnsafeSlow(Math.min(HEAD_BYTES, offset));
    if (offset > 0) {
      readSync(fd, this.#head, 0, this.#head.length, 0);
      this.#readTail();
    }
  }

  get id(): FileId {
    return this.#id;
  }
  get offset(): number {
    return this.#offset;
  }
  get readTo(): number {
    return this.#readTo;
  }
  get buffer(): Buffer {
    return this.#buffer;
  }
  get done(): number {
    return this.#done;
  }
  get lineEnd(): number {
    return this.#lineEnd;
  }
  /** Whether nothing more can be read: its content was truncated away and left no copy. */
  get ended(): boolean {
    return this.#fd < 0;
  }
  /** Whether bytes after the last newline are held. */
  get hasPartialLine(): boolean {
    return !this.#skipping && this.#end > this.#lineEnd;
  }

  mark(): FileMark {
    const covered = Math.min(HEAD_BYTES, this.#offset);
    if (covered < HEAD_BYTES) this.#headMark = '';
    const head = this.#headMark || fingerprint(this.#head.subarray(0, covered));
    if (covered === HEAD_BYTES) this.#headMark = head;
    const tail = fingerprint(this.#tail.subarray(0, this.#tailLength));
    return { dev: this.#id.dev, ino: this.#id.ino, offset: this.#offset, head, tail };
  }

  /** A mark that covers the first bytes which the file holds now, read or not: what begins alike is a copy of it. */
  beginning(): FileMark {
    const length = this.#fd < 0 ? 0 : readSync(this.#fd, probe, 0, HEAD_BYTES, 0);
    return { ...this.#id, offset: length, head: fingerprint(probe.subarray(0, length)), tail: '' };
  }

  /** Looks at the first bytes of a file of which nothing was read yet, for `unchanged` to compare. */
  lookAhead(): void {
    if (this.#fd < 0 || this.#readTo > 0 || this.#ahead.length === HEAD_BYTES) return;
    const length = readSync(this.#fd, probe, 0, HEAD_BYTES, 0);
    if (length > this.#ahead.length) this.#ahead = Buffer.from(probe.subarray(0, length));
  }

  /** What the system says now; `null` when nothing can be asked. */
  facts(): FileFacts | null {
    return this.#fd < 0 ? null : factsOfFd(this.#fd);
  }

  /** Whether the file still has the content that was read from it, or seen at its beginning. Two small reads; compares bytes. */
  unchanged(): boolean {
    if (this.#fd < 0) return true;
    const head = this.#readTo === 0 ? this.#ahead : this.#head;
    if (head.length > 0) {
      if (readSync(this.#fd, probe, 0, head.length, 0) !== head.length) return false;
      if (head.compare(probe, 0, head.length) !== 0) return false;
    }
    const length = this.#tailLength;
    if (length === 0) return true;
    if (readSync(this.#fd, probe, 0, length, this.#offset - length) !== length) return false;
    return this.#tail.compare(probe, 0, length, 0, length) === 0;
  }

  /**
   * Reads the next chunk. The content is checked after the read, so that bytes
   * of a regrown file are never taken for the continuation of the old one.
   *
   * @returns `more` when the chunk was full, `end` when all was read,
   *   `changed` when the content is another (nothing was taken),
   *   `oversize` when the line at hand just became longer than the longest
   */
  fill(): 'more' | 'end' | 'changed' | 'oversize' {
    if (this.#fd < 0) return 'end';
    this.#makeRoom();
    const room = Math.min(CHUNK_BYTES, this.#buffer.length - this.#end);
    const start = this.#end;
    const count = readSync(this.#fd, this.#buffer, start, room, this.#readTo);
    if (count === 0) return 'end';
    if (!this.unchanged()) return 'changed';
    if (this.#head.length < HEAD_BYTES && this.#readTo === this.#head.length) {
      const wanted = Math.min(count, HEAD_BYTES - this.#head.length);
      this.#head = Buffer.concat([this.#head, this.#buffer.subarray(start, start + wanted)]);
    }
    this.#readTo += count;
    this.#end += count;
    if (this.size < this.#readTo) this.size = this.#readTo;
    const outcome = count === room ? 'more' : 'end';
    if (this.#skipping) return this.#skip(start) ? 'end' : outcome;
    const newline = this.#buffer.subarray(start, this.#end).lastIndexOf(10);
    if (newline >= 0) this.#lineEnd = start + newline + 1;
    else if (this.#end - this.#done > this.#longestLine && this.#lineEnd === this.#done) {
      this.#skipping = true;
      this.#skip(start);
      return 'oversize';
    }
    return outcome;
  }

  /** Everything before `index` of the buffer was handed on. */
  consume(index: number): void {
    const from = this.#done;
    const length = index - from;
    if (length <= 0) return;
    if (length >= TAIL_BYTES) {
      this.#buffer.copy(this.#tail, 0, index - TAIL_BYTES, index);
      this.#tailLength = TAIL_BYTES;
    } else {
      const kept = Math.min(this.#tailLength, TAIL_BYTES - length);
      this.#tail.copyWithin(0, this.#tailLength - kept, this.#tailLength);
      this.#buffer.copy(this.#tail, kept, from, index);
      this.#tailLength = kept + length;
    }
    this.#done = index;
    this.#offset += length;
    if (this.#lineEnd < index) this.#lineEnd = index;
  }

  /** The bytes after the last newline, for a file that will not grow any more. */
  takePartialLine(): Buffer {
    const line = Buffer.from(this.#buffer.subarray(this.#done, this.#end));
    this.consume(this.#end);
    return line;
  }

  /**
   * Gives the descriptor to a new generation of the truncated file, and goes on
   * reading from `copy` (which this object then owns), or ends.
   */
  succeed(copy: { readonly fd: number; readonly facts: FileFacts } | null, now: number): OpenFile {
    const next = new OpenFile(this.#fd, this.#id, 0, this.#longestLine, now);
    this.#fd = copy?.fd ?? -1;
    if (copy) this.#id = { dev: copy.facts.dev, ino: copy.facts.ino };
    this.size = copy?.facts.size ?? this.#readTo;
    this.grownAt = now;
    return next;
  }

  /** Up to `length` bytes from the first line that was not handed on, as Latin-1. */
  peek(length: number): string {
    if (this.#fd < 0) return '';
    const count = readSync(this.#fd, probe, 0, Math.min(length, probe.length), this.#offset);
    return probe.toString('latin1', 0, count);
  }

  /** Gives the buffer back while nothing is held in it. */
  rest(): void {
    if (this.#done === this.#end) {
      this.#buffer = EMPTY;
      this.#done = this.#end = this.#lineEnd = 0;
    }
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    this.#buffer = EMPTY;
    this.#done = this.#end = this.#lineEnd = 0;
  }

  /** Passes over bytes of a line that is too long. True when its end was not there yet. */
  #skip(start: number): boolean {
    const newline = this.#buffer.subarray(start, this.#end).indexOf(10);
    if (newline < 0) {
      this.#done = this.#end = this.#lineEnd = 0;
      if (this.#buffer.length > CHUNK_BYTES) this.#buffer = EMPTY;
      return false;
    }
    this.#skipping = false;
    this.#done = start + newline + 1;
    this.#offset = this.#readTo - (this.#end - this.#done);
    this.#readTail();
    const last = this.#buffer.subarray(this.#done, this.#end).lastIndexOf(10);
    this.#lineEnd = this.#done + last + 1;
    return false;
  }

  #readTail(): void {
    const length = Math.min(TAIL_BYTES, this.#offset);
    this.#tailLength = readSync(this.#fd, this.#tail, 0, length, this.#offset - length);
  }

  /** Moves what is left to the front, grows for a long line and shrinks after it. */
  #makeRoom(): void {
    const held = this.#end - this.#done;
    let capacity = CHUNK_BYTES;
    while (capacity - held < CHUNK_BYTES / 2) capacity *= 2;
    if (capacity !== this.#buffer.length) {
      const moved = Buffer.allocUnsafeSlow(capacity);
      this.#buffer.copy(moved, 0, this.#done, this.#end);
      this.#buffer = moved;
    } else if (this.#done > 0) {
      this.#buffer.copyWithin(0, this.#done, this.#end);
    }
    this.#lineEnd -= this.#done;
    this.#done = 0;
    this.#end = held;
  }
}
