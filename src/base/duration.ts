import { FOREVER, type Seconds } from './clock.js';

/** Longer ones are typing errors, and their ends would be beyond what a date can hold. */
const LONGEST: Seconds = 100 * 365 * 86_400;

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/**
 * Reads a duration as the command line and the configuration write it: `90s`,
 * `10m`, `4h`, `7d`, `2w`, sums such as `1h30m`, or `forever`.
 *
 * @returns seconds, `FOREVER` for `forever`, `null` when the text is none of these or longer than 100 years
 */
export function parseDuration(text: string): Seconds | null {
  if (text === 'forever') return FOREVER;
  if (!/^(?:\d{1,9}[smhdw])+$/.test(text)) return null;
  let seconds = 0;
  for (const [, digits, unit] of text.matchAll(/(\d+)([smhdw])/g)) {
    seconds += Number(digits) * (UNITS[unit as string] as number);
  }
  return seconds > 0 && seconds <= LONGEST ? seconds : null;
}

/** Writes seconds in the largest one or two units that matter: `48m`, `2h5m`, `7d`, `forever`. */
export function formatDuration(seconds: Seconds): string {
  if (seconds === FOREVER) return 'forever';
  let rest = Math.max(0, Math.round(seconds));
  if (rest === 0) return '0s';
  const parts: string[] = [];
  for (const [unit, size] of [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(`${count}${unit}`);
    else if (parts.length > 0) break;
    rest -= count * size;
    if (parts.length === 2) break;
  }
  return parts.join('');
}
