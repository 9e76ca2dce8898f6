import type { CountThreshold, Hours, HoursLimit, RateThreshold } from '../config/config.js';

/** A limit that may be another at certain hours of the day, in the units that are counted. */
export class Threshold {
  limit: number;
  banMs: number;
  /** Seconds that a count is taken over. */
  readonly window: number;
  /** The largest that `limit` ever is; at least 1. */
  readonly most: number;
  readonly #usual: { readonly limit: number; readonly banMs: number };
  readonly #special: readonly { readonly between: Hours; readonly limit: number; readonly banMs: number }[];

  private constructor(limit: number, ban: number, window: number, hours: readonly HoursLimit[], scale: number) {
    const special = hours.map((one) => ({ between: one.between, limit: one.limit * scale, banMs: one.ban * 1000 }));
    this.window = window;
    this.#usual = { limit: limit * scale, banMs: ban * 1000 };
    this.#special = special;
    this.limit = this.#usual.limit;
    this.banMs = this.#usual.banMs;
    const limits = [this.limit, ...special.map((one) => one.limit)].filter(Number.isFinite);
    this.most = Math.max(1, ...limits);
  }

  /** Packets within `during`. */
  static ofRate({ perSecond, during, ban, hours }: RateThreshold): Threshold {
    return new Threshold(perSecond, ban, during, hours ?? [], during);
  }

  /** Different values within `within`. */
  static ofCount({ most, within, ban, hours }: CountThreshold): Threshold {
    return new Threshold(most, ban, within, hours ?? [], 1);
  }

  /** @param minute of the day, in the time zone of the configuration */
  follow(minute: number): void {
    const now = this.#special.find((one) => covers(one.between, minute)) ?? this.#usual;
    this.limit = now.limit;
    this.banMs = now.banMs;
  }
}

function covers({ from, to }: Hours, minute: number): boolean {
  return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}

/** Tells the minute of the day in a time zone; asks for it once a minute. */
export class DayClock {
  readonly #format: Intl.DateTimeFormat;
  #minute = Number.NaN;

  constructor(timeZone: string) {
    this.#format = new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  }

  /** The minute of the day when it is another than at the last call, else `null`. */
  next(wall: number): number | null {
    const minute = Math.floor(wall / 60_000);
    if (minute === this.#minute) return null;
    this.#minute = minute;
    const [hours, minutes] = this.#format.format(wall).split(':');
    return Number(hours) * 60 + Number(minutes);
  }
}
