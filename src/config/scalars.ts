/**
 * The small texts of the configuration: durations, sizes, rates, networks,
 * actions. Each reads one spelling into plain units, and says in its error what
 * was written, what it should be and an example that works. Errors are written
 * by `say`, as a message and a fix, which `problems` takes apart again.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { FOREVER, type Seconds } from '../base/clock.js';
import { formatDuration, parseDuration } from '../base/duration.js';
import { isProblem, type Prefix, parsePrefix } from '../net/prefix.js';
import type { Hours, PolicyAction } from './config.js';
import { withoutSecrets } from './secrets.js';

const SEPARATOR = '\n';

/** One error text that carries its fix. */
export function say(message: string, fix: string): string {
  return `${message}${SEPARATOR}${fix}`;
}

/** The two halves of a text made by `say`. */
export function said(text: string): { readonly message: string; readonly fix: string } {
  const at = text.indexOf(SEPARATOR);
  return at < 0 ? { message: text, fix: '' } : { message: text.slice(0, at), fix: text.slice(at + 1) };
}

/** A value as it should appear in a message: short, on one line. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'object') return Array.isArray(value) ? 'a list' : 'a mapping';
  const line = withoutSecrets(String(value)).replace(/\s+/g, ' ');
  return `"${line.length > 60 ? `${line.slice(0, 57)}...` : line}"`;
}

export interface Form {
  /** What it is, with its article: `a duration`. */
  readonly what: string;
  /** What to write, with an example. */
  readonly fix: string;
  /** For editors that read the JSON schema. */
  readonly pattern?: string;
  readonly examples?: readonly string[];
}

/** Why a text is wrong, where more can be said than that it is not what it should be. */
export class Wrong {
  readonly text: string;
  constructor(message: string, fix: string) {
    this.text = say(message, fix);
  }
}

/** A text that `read` turns into a value; `null` or `Wrong` is an error. */
export function form<T>(form: Form, read: (text: string) => T | Wrong | null) {
  const meta: Record<string, unknown> = { description: form.what };
  if (form.pattern) meta['pattern'] = form.pattern;
  if (form.examples) meta['examples'] = form.examples;
  return z
    .string({ error: (issue) => say(`${shown(issue.input)} is not ${form.what}`, form.fix) })
    .meta(meta)
    .transform((text, context): T => {
      const value = read(text.trim());
      if (value instanceof Wrong) context.addIssue({ code: 'custom', message: value.text });
      else if (value !== null) return value;
      else context.addIssue({ code: 'custom', message: say(`${shown(text)} is not ${form.what}`, form.fix) });
      return z.NEVER;
    });
}

const DURATION = '^(?:\\d{1,9}[smhdw])+$';

/** A length of time between two bounds, in seconds. */
export function duration(least: Seconds = 1, most: Seconds = FOREVER) {
  const range =
    most === FOREVER ? `at least ${formatDuration(least)}` : `from ${formatDuration(least)} to ${formatDuration(most)}`;
  const fix = `write a duration ${range}, such as 90s, 10m, 4h or 7d`;
  return form({ what: 'a duration', fix, pattern: DURATION, examples: ['90s', '10m', '4h', '7d'] }, (text) => {
    const seconds = parseDuration(text);
    if (seconds === null) return null;
    if (seconds < least) return new Wrong(`"${text}" is too short`, fix);
    if (seconds > most || seconds === FOREVER) return new Wrong(`"${text}" is too long`, fix);
    return seconds;
  });
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** A number of bytes between two bounds. */
export function size(least: number, most: number, range: string) {
  const fix = `write a size ${range}, such as 16MiB or 2GiB`;
  return form({ what: 'a size', fix, pattern: '^\\d+ ?[KMGT]?i?B$', examples: ['16MiB', '2GiB'] }, (text) => {
    const match = /^(\d{1,12}) ?([KMGT]?)(i?)B$/.exec(text);
    if (match === null || (match[2] !== '' && match[3] === '')) return null;
    const bytes = Number(match[1]) * (UNITS[match[2] as string] as number);
    return bytes >= least && bytes <= most ? bytes : new Wrong(`"${text}" is out of range`, fix);
  });
}

/** A share from 1% to 100%, as a number from 0.01 to 1. */
export const percent = form(
  { what: 'a share', fix: 'write a whole percentage from 1% to 100%, such as 10%', pattern: '^\\d{1,3} ?%$' },
  (text) => {
    const match = /^(\d{1,3}) ?%$/.exec(text);
    const share = match === null ? 0 : Number(match[1]) / 100;
    return share > 0 && share <= 1 ? share : null;
  },
);

/** A whole number between two bounds. */
export function whole(least: number, most: number, what = 'a whole number') {
  const fix = `write ${what} from ${least} to ${most}`;
  const error = (issue: { input?: unknown }) => say(`${shown(issue.input)} is not allowed here`, fix);
  return z.int({ error }).min(least, { error }).max(most, { error });
}

/** Reads a network; says what to write instead. */
export function readNetwork(text: string): Prefix | Wrong {
  const prefix = parsePrefix(text);
  if (!isProblem(prefix)) return prefix;
  if (prefix.problem === 'host_bits') {
    const fix = `write ${prefix.corrected} for the network, or the address alone`;
    return new Wrong(`"${text}" has host bits set`, fix);
  }
  const detail = prefix.problem === 'bad_length' ? `no network: ${prefix.detail}` : prefix.detail;
  return new Wrong(`"${text}" is ${detail}`, NETWORK_FIX);
}

const NETWORK_FIX = 'write an address or a network such as 198.51.100.7, 198.51.100.0/24 or "2001:db8::/48"';

/** An address or a network in any spelling. */
export const network = form<Prefix>(
  { what: 'an address or a network', fix: NETWORK_FIX, examples: ['198.51.100.0/24'] },
  readNetwork,
);

/** The value alone or a list of values; always gives a list. */
export function listOf<T extends z.ZodType>(item: T, least = 0, emptyFix = 'write at least one') {
  // The value alone is made a list by itself: it may be an array in its turn, such as a range.
  const alone = item.transform((value) => [value as z.output<T>]);
  return z.union([alone, z.array(item).min(least, say('is empty', emptyFix))]);
}

/** `true`/`false`, also as `on`/`off` and `yes`/`no`, which YAML 1.2 reads as text. */
export const onOff = z
  .union([z.boolean(), z.enum(['on', 'off', 'yes', 'no'])], {
    error: (issue) => say(`${shown(issue.input)} is neither on nor off`, 'write true or false'),
  })
  .transform((value) => value === true || value === 'on' || value === 'yes');

/** One of a few words. */
export function word<const T extends readonly [string, ...string[]]>(...words: T) {
  return z.enum(words, {
    error: (issue) =>
      say(
        `${shown(issue.input)} is not one of its values`,
        `write ${words.join(', ').replace(/, ([^,]*)$/, ' or $1')}`,
      ),
  });
}

export const off = z.literal('off');

/** Free text of limited length on one line. */
export function text(most: number, what: string) {
  const error = (issue: { input?: unknown }) =>
    say(`${shown(issue.input)} is not ${what}`, `write 1 to ${most} characters on one line`);
  return z
    .string({ error })
    .trim()
    .min(1, { error })
    .max(most, { error })
    .regex(/^[^\u0000-\u001f\u007f]*$/, { error });
}

/** An absolute path. */
export const path = form({ what: 'a full path', fix: 'write a path that begins with /', pattern: '^/' }, (value) =>
  value.startsWith('/') && !value.includes('\0') && value.length <= 4096 ? value : null,
);

const ACTIONS = 'write ban 1h, would ban 1h, flag, note or ignore';

/** What a policy line does: `ban D | would ban D | flag | note | ignore`. */
export const action = form<PolicyAction>(
  {
    what: 'an action',
    fix: ACTIONS,
    pattern: '^(?:(?:would )?ban (?:forever|(?:\\d{1,9}[smhdw])+)|flag|note|ignore)$',
  },
  (value) => {
    if (value === 'flag' || value === 'note' || value === 'ignore') return { kind: value };
    const match = /^(would +)?ban(?: +(.*))?$/.exec(value);
    if (match === null) return null;
    if (match[2] === undefined) return new Wrong(`"${value}" does not say for how long`, `write ${value.trim()} 1h`);
    const seconds = parseDuration(match[2]);
    if (seconds === null)
      return new Wrong(`"${match[2]}" is not a duration`, 'write one such as ban 10m, ban 4h or ban 7d');
    return { kind: match[1] === undefined ? 'ban' : 'would_ban', duration: seconds };
  },
);

/** What a detector of the packet filter does: `ban D`. Gives seconds. */
export const banOnly = form(
  {
    what: 'what a detector does',
    fix: 'write ban and a duration, such as ban 10m; to switch the detector off, write off in its place',
  },
  (value) => {
    const match = /^ban +(.*)$/.exec(value);
    const seconds = match === null ? null : parseDuration(match[1] as string);
    return seconds === FOREVER ? null : seconds;
  },
);

/** `200/s per source`: events a second, counted for what `per` names. */
function rateOf(per: 'source' | 'destination' | null) {
  const suffix = per === null ? '' : `(?: +per +${per})?`;
  const example = (amount: string) => `${amount}${per === null ? '' : ` per ${per}`}`;
  return form(
    {
      what: 'a rate',
      fix: `write a number a second or a minute, such as ${example('200/s')} or ${example('600/m')}`,
      pattern: `^\\d+ ?/ ?[sm]${suffix.replaceAll(' +', ' ')}$`,
    },
    (value) => {
      const match = new RegExp(`^(\\d{1,9}) ?/ ?([sm])${suffix}$`).exec(value);
      const perSecond = match === null ? 0 : Number(match[1]) / (match[2] === 's' ? 1 : 60);
      return perSecond > 0 ? perSecond : null;
    },
  );
}

export const rate = rateOf('source');
export const ratePerDestination = rateOf('destination');
export const plainRate = rateOf(null);

/** `30 ports per source`: how many different ones. */
function countOf(unit: 'ports' | 'hosts') {
  return form(
    {
      what: `a number of ${unit}`,
      fix: `write a number from 2 to 65534, such as 30 ${unit} per source`,
      pattern: `^\\d+ ${unit}(?: per source)?$`,
    },
    (value) => {
      const match = new RegExp(`^(\\d{1,5}) +${unit}(?: +per +source)?$`).exec(value);
      const count = match === null ? 0 : Number(match[1]);
      return count >= 2 && count <= 65_534 ? count : null;
    },
  );
}

export const portCount = countOf('ports');
export const hostCount = countOf('hosts');

/** `22:00-06:00`: a part of every day. */
export const hours = form<Hours>(
  {
    what: 'a part of the day',
    fix: 'write it as 22:00-06:00, in the time zone of time_zone',
    pattern: '^\\d{1,2}:\\d{2} ?- ?\\d{1,2}:\\d{2}$',
  },
  (value) => {
    const match = /^(\d{1,2}):(\d\d) ?- ?(\d{1,2}):(\d\d)$/.exec(value);
    if (match === null) return null;
    const minutes = (hour: string | undefined, minute: string | undefined) =>
      Number(hour) <= 24 && Number(minute) < 60 ? Number(hour) * 60 + Number(minute) : Number.NaN;
    const from = minutes(match[1], match[2]);
    const to = minutes(match[3], match[4]);
    return from < 1440 && to <= 1440 && from !== to ? { from, to } : null;
  },
);

/** A number or an inclusive range `low-high` between two bounds. */
export function range(what: string, least: number, most: number, example: string) {
  const fix = `write a number from ${least} to ${most}, or a range such as ${example}`;
  const bad = (input: unknown) => say(`${shown(input)} is not ${what}`, fix);
  return z
    .union([z.number(), z.string()], { error: (issue) => bad(issue.input) })
    .meta({ description: what })
    .transform((value, context): readonly [number, number] => {
      const match = /^(\d{1,10})(?: ?- ?(\d{1,10}))?$/.exec(String(value).trim());
      const low = match === null ? Number.NaN : Number(match[1]);
      const high = match?.[2] === undefined ? low : Number(match[2]);
      if (low >= least && high <= most && low <= high) return [low, high];
      const swapped = low >= least && low <= most && high >= least && high < low;
      context.addIssue({
        code: 'custom',
        message: swapped ? say(`${shown(value)} begins with its end`, `write ${high}-${low}`) : bad(value),
      });
      return z.NEVER;
    });
}

/** The name of a time zone that this Node knows. */
export const timeZone = form({ what: 'a time zone', fix: 'write a name such as UTC or Europe/Paris' }, (value) => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: value });
    return value;
  } catch {
    return null;
  }
});

/** `host:port`, the host being an address or a name. */
export const hostPort = form(
  { what: 'a host and port', fix: 'write them as 10.0.0.5:6379 or "[2001:db8::5]:6379"' },
  (value) => {
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(value);
    if (match === null || Number(match[3]) < 1 || Number(match[3]) > 65_535) return null;
    if (match[1] !== undefined && isIP(match[1]) !== 6) return null;
    return value;
  },
);
