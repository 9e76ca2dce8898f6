import { type Logger, pino } from 'pino';
import { type Clock, systemClock } from './clock.js';

export type Log = Logger;

/** Bytes of log that may wait for whoever reads them. */
const WAITING_AT_MOST = 1 << 20;

/**
 * The program's log: JSON lines on standard output for journald, one readable
 * line each on a terminal. Written beside the program's work: a reader that stands still
 * must not hold up the packet path, so at most 1 MiB waits for it and what is
 * beyond is given up. What waits is written when the process ends.
 *
 * @param level one of pino's level names; `silent` for none
 */
export function createLog(level = 'info'): Log {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (!process.stdout.isTTY) return pino(options, pino.destination({ fd: 1, sync: false, maxLength: WAITING_AT_MOST }));
  return pino(options, { write: (line: string) => void process.stdout.write(`${readable(line)}\n`) });
}

/** What could move the cursor or hide text: control, bidirectional and line-separating characters. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;
const escaped = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** A JSON log line for people: time, level unless it is info, message, then the fields. Control characters stay escaped. */
export function readable(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const name = Number(level) === 30 ? '' : `${pino.levels.labels[Number(level)] ?? level}: `;
  const rest = Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return [String(time).slice(11, 19), `${name}${String(msg ?? '').replace(CONTROL, escaped)}`, ...rest].join(' ');
}

/**
 * Lets the same complaint through once a minute per `key`, and says how many
 * were held back. Bounded: beyond 1,000 keys the oldest is forgotten.
 */
export class RateLimitedLog {
  readonly #log: Log;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #seen = new Map<string, { until: number; held: number }>();

  constructor(log: Log, clock: Pick<Clock, 'monotonic'> = systemClock) {
    this.#log = log;
    this.#clock = clock;
  }

  warn(key: string, fields: Record<string, unknown>, message: string): void {
    const now = this.#clock.monotonic();
    const known = this.#seen.get(key);
    if (known && now < known.until) {
      known.held += 1;
      return;
    }
    this.#log.warn(known?.held ? { ...fields, repeated: known.held } : fields, message);
    this.#seen.delete(key);
    this.#seen.set(key, { until: now + 60_000, held: 0 });
    if (this.#seen.size > 1000) this.#seen.delete(this.#seen.keys().next().value as string);
  }
}
