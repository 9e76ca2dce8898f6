import type { Seconds } from '../base/clock.js';
import { parseDuration } from '../base/duration.js';
import { isProblem, type Prefix, parsePrefix } from '../net/prefix.js';
import { CommandExit, EXIT } from './output.js';

/** Reads an address or network typed by a person. @throws CommandExit `usage`, with the corrected form where there is one */
export function prefixArgument(text: string | undefined): Prefix {
  if (text === undefined)
    throw new CommandExit(EXIT.usage, 'an address or network is needed, such as 203.0.113.9 or 203.0.113.0/24');
  const parsed = parsePrefix(text);
  if (!isProblem(parsed)) return parsed;
  throw new CommandExit(EXIT.usage, `${text}: ${parsed.detail}`);
}

/** @throws CommandExit `usage` */
export function durationArgument(option: string, text: string | undefined): Seconds {
  const seconds = text === undefined ? null : parseDuration(text);
  if (seconds !== null) return seconds;
  const asked = text ? `${option} ${text}: a duration is needed` : `${option} DURATION is needed`;
  throw new CommandExit(EXIT.usage, `${asked}, such as 90s, 10m, 4h, 7d or forever`);
}

/** @throws CommandExit `usage` when a required text is missing */
export function textArgument(option: string, text: string | undefined): string {
  if (text === undefined || text.trim() === '')
    throw new CommandExit(EXIT.usage, `${option} is needed: say why, for those who read it later`);
  return text.trim();
}

/** The end of a ban that begins now; FOREVER stays what it is. */
export function endOf(seconds: Seconds, now = Date.now()): number {
  return now + seconds * 1000;
}
