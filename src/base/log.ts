import { type Logger, pino } from 'pino';

export type Log = Logger;

/**
 * The program's log: JSON lines on standard output for journald, synchronous so
 * that the last line before a crash is not lost.
 *
 * @param level one of pino's level names; `silent` for none
 */
export function createLog(level = 'info'): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 1, sync: true }));
}

/**
 * Lets the same complaint through once a minute per `key`, and says how many
 * were held back. Bounded: beyond 1,000 keys the oldest is forgotten.
 */
export class RateLimitedLog {
  readonly #log: Log;
  readonly #seen = new Map<string, { until: number; held: number }>();
  constructor(log: Log) {
    this.#log = log;
  }
  warn(key: string, fields: Record<string, unknown>, message: string): void {
    const now = performance.now();
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
