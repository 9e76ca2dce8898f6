import { createWriteStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, pipeline as streamPipeline } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGunzip, gunzipSync } from 'node:zlib';
import { messageOf } from '../base/errors.js';
import { ReplayError } from './errors.js';
import { type LineBlock, lineBlocks } from './line-blocks.js';
import { isSpread, recordsToLines } from './records-to-lines.js';

const PIECE = 128 * 1024;
const HEAD = 64 * 1024;

/** Beginnings of files, in hex. */
const GZIP = '1f8b';
const CAPTURES = ['a1b2c3d4', 'd4c3b2a1', 'a1b23c4d', '4d3cb2a1', '0a0d0d0a'];
const UNKNOWN: readonly (readonly [magic: string, name: string, reader: string])[] = [
  ['425a68', 'bzip2', 'bzip2 -dc'],
  ['fd377a585a00', 'xz', 'xz -dc'],
  ['28b52ffd', 'Zstandard', 'zstd -dc'],
  ['04224d18', 'LZ4', 'lz4 -dc'],
];

/** Eve records that can be read as often as needed, always the same ones. */
export interface Input {
  /** As the user wrote it. */
  readonly name: string;
  /** On disk, for the progress. */
  readonly bytes: number;
  /**
   * The records as lines.
   * @param passedOver called for each line that is longer than `longestLine`
   * @param onBytes told how many more bytes of the file were read
   */
  blocks(longestLine: number, passedOver: () => void, onBytes: (bytes: number) => void): AsyncGenerator<LineBlock>;
  close(): Promise<void>;
}

export interface Opening {
  /** A private directory for what cannot be read twice. */
  readonly scratch: string;
  /** A number that no other input of this replay has. */
  readonly index: number;
  /** Makes an eve file of a capture; @returns its path */
  readonly ofCapture: (path: string) => Promise<string>;
}

/**
 * Opens one argument of `replay`: a file, or `-` for standard input. What it
 * holds is told by its content: lines, a JSON array, gzip of either, a capture.
 * @throws ReplayError
 */
export async function openInput(path: string, opening: Opening): Promise<Input> {
  let file = path === '-' ? await spooled(process.stdin, '-', opening) : await openFile(path);
  if (!file.regular) file = await spooled(file.handle.createReadStream(), path, opening);
  try {
    const { head, magic } = await headOf(file);
    const unknown = UNKNOWN.find(([beginning]) => magic.startsWith(beginning));
    if (unknown !== undefined) {
      const message = `${path} is compressed with ${unknown[1]}: ${unknown[2]} ${path} | barricata replay -`;
      throw new ReplayError('read records', 'unknown_format', message);
    }
    if (CAPTURES.some((beginning) => magic.startsWith(beginning))) {
      const eve = await opening.ofCapture(file.path);
      await file.handle.close();
      file = await openFile(eve);
      return inputOf(path, file, false, await headOf(file));
    }
    const compressed = magic.startsWith(GZIP);
    return inputOf(path, file, compressed, compressed ? unzippedHead(path, head) : { head, magic });
  } catch (error) {
    await file.handle.close();
    throw error;
  }
}

interface OpenFile {
  readonly handle: FileHandle;
  readonly path: string;
  /** A pipe or a device is none: it can be read only once. */
  readonly regular: boolean;
  /** Bytes at the time of opening; what is written later is not read, so that each pass sees the same. */
  readonly size: number;
}

interface Head {
  readonly head: Buffer;
  /** The first bytes, in hex. */
  readonly magic: string;
}

async function openFile(path: string): Promise<OpenFile> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
  const facts = await handle.stat();
  if (facts.isDirectory()) {
    await handle.close();
    throw new ReplayError('read records', 'unreadable', `${path} is a directory: name the files in it`);
  }
  return { handle, path, regular: facts.isFile(), size: facts.size };
}

/** A copy in the private directory of what can be read only once. */
async function spooled(from: Readable, name: string, { scratch, index }: Opening): Promise<OpenFile> {
  const copy = join(scratch, `input-${index}`);
  try {
    await pipeline(from, createWriteStream(copy, { mode: 0o600 }));
  } catch (error) {
    throw new ReplayError('read records', 'unreadable', `${name}: ${messageOf(error)}`, error);
  }
  return openFile(copy);
}

async function headOf({ handle }: OpenFile): Promise<Head> {
  const buffer = Buffer.alloc(HEAD);
  const { bytesRead } = await handle.read(buffer, 0, HEAD, 0);
  const head = buffer.subarray(0, bytesRead);
  return { head, magic: head.subarray(0, 8).toString('hex') };
}

function unzippedHead(path: string, head: Buffer): Head {
  try {
    const text = gunzipSync(head, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 64 * HEAD });
    const magic = text.subarray(0, 8).toString('hex');
    if (!CAPTURES.some((beginning) => magic.startsWith(beginning))) return { head: text, magic };
  } catch (error) {
    throw damaged(path, error);
  }
  const message = `${path} is a compressed capture: gzip -dc ${path} | barricata replay -`;
  throw new ReplayError('read records', 'unknown_format', message);
}

function inputOf(name: string, file: OpenFile, compressed: boolean, { head }: Head): Input {
  const spread = isSpread(head.toString('utf8'));
  return {
    name,
    bytes: file.size,
    blocks: (longestLine, passedOver, onBytes) => {
      const pieces = compressed ? unzipped(name, file, onBytes) : piecesOf(file, onBytes);
      return lineBlocks(spread ? recordsToLines(pieces) : pieces, longestLine, passedOver);
    },
    close: () => file.handle.close(),
  };
}

/** @param fresh each piece in memory of its own, for who keeps it */
async function* piecesOf(
  { handle, size }: OpenFile,
  onBytes: (bytes: number) => void,
  fresh = false,
): AsyncGenerator<Buffer> {
  let buffer = Buffer.allocUnsafeSlow(PIECE);
  for (let position = 0; position < size; ) {
    if (fresh) buffer = Buffer.allocUnsafeSlow(PIECE);
    const { bytesRead } = await handle.read(buffer, 0, Math.min(PIECE, size - position), position);
    // The file was truncated meanwhile.
    if (bytesRead === 0) return;
    position += bytesRead;
    onBytes(bytesRead);
    yield buffer.subarray(0, bytesRead);
  }
}

/** A file that was cut off ends where it was cut, as a plain one does. */
async function* unzipped(name: string, file: OpenFile, onBytes: (bytes: number) => void): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: PIECE, finishFlush: constants.Z_SYNC_FLUSH });
  const source = Readable.from(piecesOf(file, onBytes, true), { objectMode: false, highWaterMark: PIECE });
  streamPipeline(source, gunzip, () => undefined);
  try {
    for await (const piece of gunzip) yield piece as Buffer;
  } catch (error) {
    throw damaged(name, error);
  }
}

function unreadable(path: string, error: unknown): ReplayError {
  const code = (error as NodeJS.ErrnoException).code;
  const why = code === 'ENOENT' ? 'no such file' : code === 'EACCES' ? 'no permission to read it' : messageOf(error);
  return new ReplayError('read records', 'unreadable', `${path}: ${why}`, error);
}

function damaged(path: string, error: unknown): ReplayError {
  const message = `${path} is damaged (${messageOf(error)}); what can be read of it: gzip -dc ${path} | barricata replay -`;
  return new ReplayError('read records', 'unreadable', message);
}
