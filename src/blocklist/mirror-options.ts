import type { Clock } from '../base/clock.js';
import type { Log } from '../base/log.js';
import type { Changed } from '../enforcement/desired.js';
import type { RedisConnection } from './connection.js';
import type { EditSink } from './intake.js';
import type { KernelEntry } from './kernel-memory.js';
import type { Keys } from './keys.js';
import type { EffectiveMode } from './mode.js';

export interface MirrorOptions {
  readonly connection: RedisConnection;
  readonly url: string;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly log: Log;
  /** The mode of the configuration file, used while no key says otherwise. */
  readonly fileMode?: 'enforce' | 'observe' | 'off';
  /** Where the last mode settings are kept for a start without Redis; none = they are not kept. */
  readonly modeFile?: string;
  readonly onChange: (changed: Changed) => void;
  readonly onMode?: (mode: EffectiveMode) => void;
  /** Told with the number of held entries whenever it becomes or stops being zero. */
  readonly onHeld?: (held: number) => void;
  readonly edits?: EditSink;
  /**
   * What the kernel held at start, entries that never come from Redis (listed
   * networks in the allow sets) left out. The memory that tells a wiped Redis
   * from a small one.
   */
  readonly kernelAtStart?: () => Iterable<KernelEntry> | AsyncIterable<KernelEntry>;
}
