import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { EpochMs } from '../base/clock.js';
import { messageOf } from '../base/errors.js';
import { BlocklistError } from './errors.js';

/** One batch that Redis has not taken yet. */
export interface OfflineBatch {
  /** Arguments of the commit script, as they are sent when Redis is back. */
  readonly args: readonly string[];
  /** Canonical prefix text, and the end; `null` = permanent. */
  readonly bans: readonly (readonly [text: string, until: EpochMs | null])[];
}

const AT_MOST = 64 * 1024 * 1024;

/**
 * `<state>/offline.journal`: new bans and source positions while Redis is away,
 * one JSON line each with its CRC-32 in front. `append` returns after fsync, so
 * that whatever the kernel is told afterwards survives a power cut. A last line
 * that a kill cut short is dropped: nothing was done about it yet.
 */
export class OfflineJournal {
  readonly #path: string;
  readonly #atMost: number;
  #file: FileHandle | null = null;
  #size = 0;
  #batches: OfflineBatch[] = [];

  /** @param atMost bytes */
  constructor(path: string, atMost = AT_MOST) {
    this.#path = path;
    this.#atMost = atMost;
  }

  /** Batches not yet in Redis, oldest first. */
  get pending(): readonly OfflineBatch[] {
    return this.#batches;
  }

  /**
   * Opens or creates the file and reads what an earlier run left.
   * @throws BlocklistError kind `refused` when the directory cannot be written
   */
  async open(): Promise<void> {
    try {
      await mkdir(dirname(this.#path), { recursive: true });
      this.#file = await open(this.#path, 'a+', 0o600);
      const bytes = await this.#file.readFile();
      let good = 0;
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, good)) {
        const batch = decodeLine(bytes.toString('utf8', good, end));
        if (batch === null) break;
        this.#batches.push(batch);
        good = end + 1;
      }
      if (good < bytes.length) {
        await this.#file.truncate(good);
        await this.#file.datasync();
      }
      this.#size = good;
    } catch (error) {
      throw new BlocklistError(
        'open offline journal',
        'refused',
        `${this.#path} cannot be used (${messageOf(error)}); make the state: directory writable`,
        error,
      );
    }
  }

  /**
   * Keeps a batch. It is on disk when this returns.
   * @throws BlocklistError kind `full` when there is no room, `refused` when the disk takes no write
   */
  async append(batch: OfflineBatch): Promise<void> {
    const file = this.#file;
    if (file === null) throw new BlocklistError('offline journal', 'refused', 'the offline journal is not open');
    const json = JSON.stringify(batch);
    const line = Buffer.from(`${crcOf(json)} ${json}\n`);
    if (this.#size + line.length > this.#atMost) {
      throw new BlocklistError(
        'offline journal',
        'full',
        `${this.#path} holds ${this.#batches.length} batches, ${this.#size} bytes, and takes no more: no new automatic ban until Redis is back; nothing read is lost, eve.json waits`,
      );
    }
    try {
      await file.appendFile(line);
      await file.datasync();
    } catch (error) {
      // A line written in part must not hide the next one.
      await file.truncate(this.#size).catch(() => {});
      throw new BlocklistError('offline journal', 'refused', `${this.#path}: ${messageOf(error)}`, error);
    }
    this.#size += line.length;
    this.#batches.push(batch);
  }

  /** Everything is in Redis. */
  async clear(): Promise<void> {
    this.#batches = [];
    if (this.#size === 0) return;
    await this.#file?.truncate(0);
    await this.#file?.datasync();
    this.#size = 0;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }
}

function crcOf(json: string): string {
  return crc32(json).toString(16).padStart(8, '0');
}

function decodeLine(line: string): OfflineBatch | null {
  const json = line.slice(9);
  if (line[8] !== ' ' || line.slice(0, 8) !== crcOf(json)) return null;
  return JSON.parse(json) as OfflineBatch;
}
