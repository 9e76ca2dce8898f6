import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { EpochMs } from '../base/clock.js';
import { type BlockIndex, encodeFrame, indexPath, listSegments, type SegmentKind, segmentName } from './segment.js';
import type { TermFilter } from './term-filter.js';

/** A block ready to be written; its parts are compressed. */
export interface Block extends Omit<BlockIndex, 'at' | 'parts'> {
  readonly filter: TermFilter;
  readonly bodies: readonly Uint8Array[];
}

interface Open {
  readonly hour: EpochMs;
  readonly data: FileHandle;
  readonly index: FileHandle;
  dataSize: number;
  indexSize: number;
}

/** Appends blocks of one kind to the segment of their hour. One call at a time. */
export class SegmentWriter {
  readonly #directory: string;
  readonly #kind: SegmentKind;
  readonly #partBytes: number;
  #open: Open | null = null;

  /** @param partBytes a data file at least this large gets no more blocks */
  constructor(directory: string, kind: SegmentKind, partBytes: number) {
    this.#directory = directory;
    this.#kind = kind;
    this.#partBytes = partBytes;
  }

  /**
   * Writes a block, all of it or (when it throws) nothing that a reader would find.
   * @param hour start of the hour whose segment it goes to
   * @returns bytes written
   * @throws the error of the system
   */
  async append(hour: EpochMs, { filter, bodies, ...rest }: Block): Promise<number> {
    const file = await this.#segmentOf(hour);
    const data = Buffer.concat(bodies);
    const parts = bodies.map((body) => [body.length, crc32(body)] as const);
    const frame = encodeFrame({ ...rest, at: file.dataSize, parts }, filter);
    try {
      await writeAll(file.data, data);
      await writeAll(file.index, frame);
    } catch (error) {
      // What was written in part is cut off; where even that fails, the checksums tell the reader.
      await file.data.truncate(file.dataSize).catch(() => undefined);
      await file.index.truncate(file.indexSize).catch(() => undefined);
      await this.close().catch(() => undefined);
      throw error;
    }
    file.dataSize += data.length;
    file.indexSize += frame.length;
    return data.length + frame.length;
  }

  /** Closes the segment at hand; it is on disk when this returns. @throws the error of the system */
  async close(): Promise<void> {
    const file = this.#open;
    this.#open = null;
    if (file === null) return;
    try {
      await file.data.datasync();
      await file.index.datasync();
    } finally {
      await file.data.close();
      await file.index.close();
    }
  }

  async #segmentOf(hour: EpochMs): Promise<Open> {
    const present = this.#open;
    if (present !== null && present.hour === hour && present.dataSize < this.#partBytes) return present;
    await this.close();
    await mkdir(this.#directory, { recursive: true, mode: 0o750 });
    const known = listSegments(this.#directory, this.#kind).filter((segment) => segment.hour === hour);
    const last = known.at(-1);
    const part = last === undefined ? 0 : last.bytes < this.#partBytes ? last.part : last.part + 1;
    const path = `${this.#directory}/${segmentName(hour, part, this.#kind)}`;
    const data = await open(path, 'a', 0o640);
    try {
      const index = await open(indexPath(path), 'a', 0o640);
      const [dataSize, indexSize] = [(await data.stat()).size, (await index.stat()).size];
      this.#open = { hour, data, index, dataSize, indexSize };
      return this.#open;
    } catch (error) {
      await data.close();
      throw error;
    }
  }
}

/** A disk that is nearly full takes a part of a write without an error. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done);
    if (bytesWritten === 0) throw new Error('the disk takes no more');
    done += bytesWritten;
  }
}
