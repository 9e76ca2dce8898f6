import { randomUUID } from 'node:crypto';
import { type FileHandle, link, mkdir, open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { BarricataError, messageOf } from '../base/errors.js';
import { replaceFile } from './atomic-file.js';
import { lockFile } from './instance.js';

/** So many are kept; the one that runs is the newest or was one of them. */
const KEPT = 10;
/** A file that is being made for longer than this is nobody's any more, ms. */
const LEFTOVER_AFTER = 60_000;
const NAME = /^(\d{4,9})\.json$/;

/** Who changed the configuration, and why. */
export interface Author {
  readonly by: string | null;
  readonly reason: string | null;
  readonly ticket: string | null;
}

/** One configuration, as its file was written. */
export interface KeptVersion extends Author {
  /** Counts up for each state directory. */
  readonly number: number;
  /** The policy version, 12 hex digits. */
  readonly version: string;
  /** ISO 8601 UTC. */
  readonly at: string;
  /** The number of the version that this one brought back, by `policy undo`. */
  readonly restores: number | null;
  /** Whether it was ever in force; false for a file that was edited and replaced before anybody read it. */
  readonly inForce: boolean;
  /** The file, comments and all. */
  readonly text: string;
}

/** kind: `locked` (another change is under way), `failed`. */
export class PolicyVersionsError extends BarricataError {
  declare readonly kind: 'locked' | 'failed';
}

/**
 * The last ten configurations of this host, in `<state>/policy/`, one JSON file
 * each, readable by root alone since a configuration may hold the password of
 * Redis. A file appears whole or not at all, and its number is taken by the link
 * that makes it appear, so that two writers cannot take the same.
 */
export class PolicyVersions {
  readonly #folder: string;

  /** @param state the state directory of the configuration */
  constructor(state: string) {
    this.#folder = join(state, 'policy');
  }

  /**
   * Newest first. A file that cannot be read is left out.
   * @throws PolicyVersionsError `failed`
   */
  async list(): Promise<KeptVersion[]> {
    const versions: KeptVersion[] = [];
    for (const number of await this.#numbers()) {
      const version = await this.#read(number);
      if (version !== null) versions.push(version);
    }
    return versions;
  }

  /** @returns `null` when it is not kept any more */
  async find(number: number): Promise<KeptVersion | null> {
    return this.#read(number);
  }

  /**
   * Keeps what is in force now; a text that is the newest already is not kept twice.
   * @throws PolicyVersionsError `failed`
   */
  async keep(of: Omit<KeptVersion, 'number'>): Promise<KeptVersion> {
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const [newest] = await this.list();
      if (newest?.text === of.text && newest.inForce === of.inForce) return newest;
      const number = await this.#write(of);
      await this.#prune();
      return { number, ...of };
    } catch (error) {
      throw failed(`the configuration cannot be kept in ${this.#folder}`, error);
    }
  }

  /** Forgets a version that was refused. */
  async forget(number: number): Promise<void> {
    await unlink(this.#path(number)).catch(() => undefined);
  }

  /**
   * Makes sure that nobody else changes the configuration; the lock ends with `release` or with the process.
   * @throws PolicyVersionsError `locked`, `failed`
   */
  async lock(): Promise<{ release(): Promise<void> }> {
    let file: FileHandle;
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      file = await open(join(this.#folder, 'lock'), 'a', 0o600);
    } catch (error) {
      throw failed(`${this.#folder} cannot be written: run as root`, error);
    }
    try {
      if (await lockFile(file.fd)) return { release: () => file.close() };
    } catch (error) {
      await file.close();
      throw failed('lock the configuration', error);
    }
    await file.close();
    throw new PolicyVersionsError('lock configuration', 'locked', 'another change of the configuration is under way');
  }

  async #write(of: Omit<KeptVersion, 'number'>): Promise<number> {
    const made = join(this.#folder, `.${randomUUID()}`);
    await replaceFile(made, `${JSON.stringify({ v: 1, ...of })}\n`, { mode: 0o600 });
    try {
      for (let number = ((await this.#numbers())[0] ?? 0) + 1; ; number++) {
        try {
          await link(made, this.#path(number));
          return number;
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
      }
    } finally {
      await unlink(made);
    }
  }

  /** Forgets all but the newest, and what a writer that was killed left behind. */
  async #prune(): Promise<void> {
    const surplus = (await this.#numbers()).slice(KEPT).map((number) => this.#path(number));
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const found = name.startsWith('.') ? await stat(path).catch(() => null) : null;
      if (found !== null && Date.now() - found.mtimeMs > LEFTOVER_AFTER) surplus.push(path);
    }
    for (const path of surplus) await unlink(path).catch(() => undefined);
  }

  /** Newest first. @throws PolicyVersionsError `failed` when nobody can tell which there are */
  async #numbers(): Promise<number[]> {
    const names = await readdir(this.#folder).catch((error: NodeJS.ErrnoException): string[] => {
      if (error.code === 'ENOENT') return [];
      throw failed(`${this.#folder} cannot be read${error.code === 'EACCES' ? ': run as root' : ''}`, error);
    });
    return names.flatMap((name) => Number(NAME.exec(name)?.[1] ?? Number.NaN) || []).sort((a, b) => b - a);
  }

  async #read(number: number): Promise<KeptVersion | null> {
    try {
      const { v, ...of } = JSON.parse(await readFile(this.#path(number), 'utf8'));
      return v === 1 && typeof of.text === 'string' ? { number, ...of } : null;
    } catch {
      return null;
    }
  }

  #path(number: number): string {
    return join(this.#folder, `${String(number).padStart(4, '0')}.json`);
  }
}

function failed(what: string, error: unknown): PolicyVersionsError {
  return new PolicyVersionsError('keep configuration', 'failed', `${what}: ${messageOf(error)}`, error);
}
