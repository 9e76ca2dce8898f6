import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { EpochMs } from '../base/clock.js';
import { unpack } from './alert-block.js';
import { decodeFrames, type Frame, indexPath, type Segment } from './segment.js';

/** How far an answer can be relied on. */
export interface Coverage {
  /** From when on nothing is missing; `null` when there is no history. */
  readonly completeFrom: EpochMs | null;
  /** Blocks that are damaged and were passed over. */
  readonly damaged: number;
  /** Rows given up when they should have been written, in the time asked about. */
  readonly lost: number;
}

/** How long (ms) a question may hold the event loop before others get a turn. */
const SLICE_MS = 5;

/** What one question has met so far. */
export class Reading {
  damaged = 0;
  lost = 0;
  #completeFrom: EpochMs | null = null;
  #lostUntil = 0;
  #sliceStart = performance.now();

  sawFrames(frames: readonly Frame[]): void {
    for (const { index } of frames) {
      if (this.#completeFrom === null || index.written < this.#completeFrom) this.#completeFrom = index.written;
      if (index.lost === 0) continue;
      this.lost += index.lost;
      this.#lostUntil = Math.max(this.#lostUntil, index.written);
    }
  }

  coverage(): Coverage {
    const from = this.#completeFrom;
    return {
      completeFrom: from === null ? null : Math.max(from, this.#lostUntil),
      damaged: this.damaged,
      lost: this.lost,
    };
  }

  /** Lets others have a turn when it is due. */
  async breathe(): Promise<void> {
    if (performance.now() - this.#sliceStart <= SLICE_MS) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#sliceStart = performance.now();
  }
}

/** The frames of a segment's index file, in order. */
export function framesOf({ path }: Segment, reading: Reading): Frame[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(indexPath(path));
  } catch (error) {
    // Deleted meanwhile as too old: nothing is missing that should be there.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') reading.damaged += 1;
    return [];
  }
  return [
    ...decodeFrames(bytes, () => {
      reading.damaged += 1;
    }),
  ];
}

/** The data file of a segment, opened when it is needed. */
export class BodyFile {
  readonly #path: string;
  readonly #reading: Reading;
  #fd: number | null = null;

  constructor(path: string, reading: Reading) {
    this.#path = path;
    this.#reading = reading;
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  /** Reads a block. One that is damaged costs itself and no other. */
  rows<Row>(frame: Frame, read: (part: (place: number) => Buffer) => Row[]): Row[] {
    try {
      return read((place) => unpack(this.#part(frame, place)));
    } catch {
      this.#reading.damaged += 1;
      return [];
    }
  }

  #part({ index }: Frame, place: number): Buffer {
    this.#fd ??= openSync(this.#path, 'r');
    const [size, crc] = index.parts[place] ?? [0, 0];
    const at = index.parts.slice(0, place).reduce((sum, [before]) => sum + before, index.at);
    const bytes = Buffer.allocUnsafe(size);
    const read = readSync(this.#fd, bytes, 0, size, at);
    if (read !== size || crc32(bytes) !== crc) throw new RangeError('the block is damaged');
    return bytes;
  }
}
