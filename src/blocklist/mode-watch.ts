import type { Clock } from '../base/clock.js';
import type { Facts } from './facts.js';
import type { EditSink } from './intake.js';
import { type EffectiveMode, effectiveMode } from './mode.js';

/** How long the mode keys may take to be read before the last known mode, or the file's, rules; in ms. */
const PATIENCE = 3000;

export interface ModeWatchOptions {
  readonly clock: Clock;
  readonly fileMode?: 'enforce' | 'observe' | 'off';
  readonly onMode?: (mode: EffectiveMode) => void;
  readonly edits?: EditSink;
}

/** Which mode holds now, told whenever it changes; says mode keys typed by hand to the journal. */
export class ModeWatch {
  readonly #o: ModeWatchOptions;
  readonly #facts: Facts;
  readonly #said = new Map<string, string>();
  #told: EffectiveMode | null = null;
  #known = false;
  #startedAt = 0;

  constructor(options: ModeWatchOptions, facts: Facts) {
    this.#o = options;
    this.#facts = facts;
  }

  get mode(): EffectiveMode {
    const { fleet, host } = this.#facts.modes;
    return effectiveMode(this.#o.fileMode ?? 'enforce', fleet, host, this.#o.clock.now());
  }

  /** Takes up the last known mode. */
  async load(): Promise<void> {
    this.#startedAt = this.#o.clock.monotonic();
    await this.#facts.modes.load();
  }

  /** Reads the mode keys; see `Facts.readModes`. @throws BlocklistError */
  async read(missing: 'removed' | 'emptied' | 'unclear'): Promise<void> {
    const said = await this.#facts.readModes(missing);
    this.#known = true;
    this.note();
    for (const [key, value] of said) {
      if (this.#said.get(key) === value) continue;
      this.#said.set(key, value);
      this.#o.edits?.mode?.(key, value);
    }
  }

  /** Tells the mode when it is another than before. */
  note(): void {
    // The file's mode must not rule for the moment that Redis takes to answer.
    if (!this.#known && this.#o.clock.monotonic() - this.#startedAt < PATIENCE) return;
    const { mode } = this;
    if (this.#told?.mode === mode.mode && this.#told.until === mode.until) return;
    this.#told = mode;
    this.#o.onMode?.(mode);
  }
}
