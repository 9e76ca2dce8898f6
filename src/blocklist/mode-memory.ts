import { open, readFile, rename } from 'node:fs/promises';
import { messageOf } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { formatMode, type ModeSetting, parseMode } from './mode.js';

type Which = 'fleet' | 'host';
const BOTH: readonly Which[] = ['fleet', 'host'];
/** A mode key that goes this long before a mass loss is part of it, in ms. */
const WINDOW = 10_000;

/**
 * The last mode settings that a person made, which a lost store does not undo:
 * a mode key that vanishes together with the other keys leaves its mode in
 * force until somebody sets one or accepts the loss. Kept in a small file, so
 * that it also rules while Redis is away at start.
 */
export class ModeMemory {
  readonly #file: string | null;
  readonly #log: Log;
  readonly #settings: Record<Which, ModeSetting | null> = { fleet: null, host: null };
  readonly #absent: Record<Which, boolean> = { fleet: false, host: false };
  #vanished: { readonly which: Which; readonly setting: ModeSetting; readonly at: number }[] = [];
  #lost = false;
  #saved = '';
  #saving: Promise<void> = Promise.resolve();

  constructor(file: string | null, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  get fleet(): ModeSetting | null {
    return this.#settings.fleet;
  }

  get host(): ModeSetting | null {
    return this.#settings.host;
  }

  /** Whether a mode rules whose key was lost. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Reads the file; one that is missing or damaged says nothing. */
  async load(): Promise<void> {
    if (this.#file === null) return;
    try {
      const text = await readFile(this.#file, 'utf8');
      const saved = JSON.parse(text) as Partial<Record<Which | 'lost', unknown>>;
      for (const which of BOTH) this.#settings[which] = parseMode(String(saved[which] ?? ''));
      this.#lost = saved.lost === true;
      this.#saved = text;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.warn({ err: messageOf(error), file: this.#file }, 'the last mode could not be read');
      }
    }
  }

  /** Waits until what was learned is on disk. */
  async saved(): Promise<void> {
    await this.#saving;
  }

  /** The key says this. */
  set(which: Which, setting: ModeSetting): void {
    this.#settings[which] = setting;
    this.#absent[which] = false;
    if (!BOTH.some((other) => this.#absent[other])) this.#lost = false;
    this.#save();
  }

  /**
   * The key is not there.
   * @param how `removed`: an event named it, so that somebody removed it; `emptied`: the whole store was
   *   emptied; `unclear`: to be judged when the walk is over
   */
  missing(which: Which, how: 'removed' | 'emptied' | 'unclear', now: number): void {
    const setting = this.#settings[which];
    this.#absent[which] = setting !== null;
    if (setting === null) return;
    if (how === 'emptied') this.#lose();
    else if (how === 'removed') this.#drop(which, now);
  }

  /** A walk is over without a mass loss: keys that are missing were removed. */
  walked(now: number): void {
    if (!this.#lost) for (const which of BOTH) if (this.#absent[which]) this.#drop(which, now);
  }

  /** A mass loss is held: modes whose keys went with it stay. */
  held(now: number): void {
    for (const { which, setting, at } of this.#vanished) {
      if (now - at >= WINDOW || this.#settings[which] !== null) continue;
      this.#settings[which] = setting;
      this.#absent[which] = true;
    }
    this.#vanished = [];
    if (BOTH.some((which) => this.#absent[which])) this.#lose();
    this.#save();
  }

  /** The loss was accepted: lost modes go too. */
  accepted(): void {
    this.#lost = false;
    for (const which of BOTH) if (this.#absent[which]) this.#settings[which] = null;
    this.#save();
  }

  #lose(): void {
    if (!this.#lost)
      this.#log.error('a mode key was lost with the store; its mode stays until a mode is set or the loss accepted');
    this.#lost = true;
    this.#save();
  }

  #drop(which: Which, now: number): void {
    const setting = this.#settings[which];
    if (setting !== null) this.#vanished = [...this.#vanished.slice(-3), { which, setting, at: now }];
    this.#settings[which] = null;
    this.#absent[which] = false;
    if (!BOTH.some((other) => this.#absent[other])) this.#lost = false;
    this.#save();
  }

  #save(): void {
    const { fleet, host } = this.#settings;
    const text = `${JSON.stringify({ fleet: fleet && formatMode(fleet), host: host && formatMode(host), lost: this.#lost })}\n`;
    const file = this.#file;
    if (file === null || text === this.#saved) return;
    this.#saved = text;
    this.#saving = this.#saving.then(async () => {
      try {
        const handle = await open(`${file}.new`, 'w', 0o600);
        try {
          await handle.writeFile(text);
          await handle.sync();
        } finally {
          await handle.close();
        }
        await rename(`${file}.new`, file);
      } catch (error) {
        this.#log.warn({ err: messageOf(error), file }, 'the last mode could not be saved');
      }
    });
  }
}
