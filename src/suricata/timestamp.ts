import type { EpochMs } from '../base/clock.js';

const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const MINUTE = 60_000;

/**
 * Reads an EVE timestamp: ISO 8601 with `Z`, `+HHMM`, `+HH:MM` or `+HH`. By
 * character and not by expression, since each alert carries two.
 *
 * @param assumeUtc reads a time without an offset as UTC; otherwise it is
 *   refused, since it would mean another moment on each machine
 * @returns milliseconds with the fraction of a millisecond cut off; `null` when it is not a moment
 */
export function parseTimestamp(value: unknown, assumeUtc = false): EpochMs | null {
  if (typeof value !== 'string' || value.length < 19 || value.length > 40) return null;
  const year = digits(value, 0, 4);
  const month = digits(value, 5, 2);
  const day = digits(value, 8, 2);
  const hour = digits(value, 11, 2);
  const minute = digits(value, 14, 2);
  const second = digits(value, 17, 2);
  const between = value[10];
  if (value[4] !== '-' || value[7] !== '-' || (between !== 'T' && between !== ' ')) return null;
  if (value[13] !== ':' || value[16] !== ':') return null;
  if (!(year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= daysOf(year, month))) return null;
  // A leap second is written 60.
  if (!(hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59 && second >= 0 && second <= 60)) return null;
  let at = 19;
  let ms = 0;
  if (value[at] === '.' || value[at] === ',') {
    const from = at + 1;
    for (at = from; isDigit(value.charCodeAt(at)); at += 1) {
      if (at - from < 3) ms = ms * 10 + value.charCodeAt(at) - 48;
    }
    const length = at - from;
    if (length === 0 || length > 9) return null;
    if (length < 3) ms *= length === 1 ? 100 : 10;
  }
  const offset = offsetMinutes(value, at, assumeUtc);
  if (offset === null) return null;
  return Date.UTC(year, month - 1, day, hour, minute, second, ms) - offset * MINUTE;
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** The number that `length` digits from `at` on make; -1 when they are not all digits. */
function digits(text: string, at: number, length: number): number {
  let number = 0;
  for (let i = at; i < at + length; i++) {
    const code = text.charCodeAt(i);
    if (!isDigit(code)) return -1;
    number = number * 10 + code - 48;
  }
  return number;
}

function daysOf(year: number, month: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 && leap ? 29 : (DAYS[month - 1] as number);
}

/** What the text from `at` on says to be the distance from UTC, the whole of it; `null` when it says none. */
function offsetMinutes(text: string, at: number, assumeUtc: boolean): number | null {
  const sign = text[at];
  const length = text.length - at;
  if (length === 0) return assumeUtc ? 0 : null;
  if (sign === 'Z' || sign === 'z') return length === 1 ? 0 : null;
  if (sign !== '+' && sign !== '-') return null;
  const colon = text[at + 3] === ':';
  if (length !== 3 && length !== (colon ? 6 : 5)) return null;
  const hours = digits(text, at + 1, 2);
  const minutes = length === 3 ? 0 : digits(text, at + (colon ? 4 : 3), 2);
  // The places farthest from UTC keep +14:00 and -12:00.
  if (hours < 0 || hours > 19 || minutes < 0 || minutes > 59) return null;
  return (hours * 60 + minutes) * (sign === '-' ? -1 : 1);
}
