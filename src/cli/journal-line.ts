import { FOREVER } from '../base/clock.js';
import type { JournalEntry } from '../blocklist/journal.js';
import { decodeValue } from '../blocklist/record.js';
import { utc } from './output.js';

/** Until when the value of a journal line lasts; '-' where there is none, and what is no ban or allow as it is. */
export function lasts(value: string | null | undefined): string {
  if (!value) return '-';
  const until = decodeValue(value)?.until;
  const version = /^\{"version":"([0-9a-f]+)"\}$/.exec(value)?.[1];
  if (version !== undefined) return `policy ${version}`;
  if (until === undefined) return value.length > 60 ? `${value.slice(0, 59)}…` : value;
  return until === FOREVER ? 'for good' : `until ${utc(until)}`;
}

/** `ban by analyst1 (cli): ssh brute force INC-4521` */
export function actOf({ act, by, from, why, ticket }: JournalEntry): string {
  const who = [by ? ` by ${by}` : '', from ? ` (${from})` : ''].join('');
  return `${act}${who}${why ? `: ${why}` : ''}${ticket ? ` ${ticket}` : ''}`;
}
