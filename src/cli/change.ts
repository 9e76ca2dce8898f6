import { type EpochMs, FOREVER } from '../base/clock.js';
import type { GlobalOptions } from './options.js';
import { outputForm, print, printable } from './output.js';

/** What a command that changes something prints with `-o json`: one object. */
export interface Change {
  /** Canonical prefix text; `null` for what is not about one prefix. */
  readonly address: string | null;
  /** `stored extended replaced removed unchanged absent refused dry_run`. */
  readonly outcome: string;
  /** ISO 8601 UTC; `null` when it does not end, or when there is nothing that could. */
  readonly expiresAt: string | null;
  /** Whether the kernel has taken it up; `null` when there was nothing to take up, or nobody to ask. */
  readonly kernel: boolean | null;
  /** How long that took. */
  readonly milliseconds: number | null;
  /** Networks that go on banning the address that was unbanned. */
  readonly stillBannedBy?: readonly string[];
  /** What a change of many prefixes is about. */
  readonly addresses?: readonly string[];
  /** The mode that was set. */
  readonly mode?: string;
}

/** Prints the change as JSON, else the lines for people; nothing with `--quiet`. */
export type Report = (change: Partial<Change> & { readonly outcome: string }, ...lines: readonly string[]) => void;

/** @throws CommandExit `usage` for a form that does not exist, so make it before anything is changed */
export function reporter(options: GlobalOptions): Report {
  const form = outputForm(options.output);
  return (change, ...lines) => {
    if (options.quiet) return;
    const whole = { address: null, expiresAt: null, kernel: null, milliseconds: null, ...change };
    if (form === 'json') print(JSON.stringify(whole));
    else for (const line of lines) print(printable(line));
  };
}

/** An end as JSON gives it. */
export function expiry(until: EpochMs): string | null {
  return until === FOREVER ? null : new Date(until).toISOString();
}
