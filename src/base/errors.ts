/**
 * base: errors, time, bounded work and logs. Nothing here knows a word of the
 * domain and nothing here does I/O of its own; every other folder may import it.
 */

/**
 * The root of every error that Barricata raises on purpose. One subclass exists
 * per boundary (netlink, enforcement, blocklist, configuration); callers branch
 * on `kind`, never on the message.
 */
export class BarricataError extends Error {
  /** What was being attempted, in a few words: `ipset add`, `read config`. */
  readonly operation: string;
  /** Stable machine-readable class of the failure, such as `not_permitted`. */
  readonly kind: string;

  constructor(operation: string, kind: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.operation = operation;
    this.kind = kind;
  }
}

/** The message of anything that was thrown, with the messages of its causes (or of its several failed attempts), one after the other. */
export function messageOf(thrown: unknown, depth = 0): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const own = ownMessage(thrown, depth);
  if (thrown.cause === undefined || depth >= DEEPEST_CAUSE) return own;
  const cause = messageOf(thrown.cause, depth + 1);
  return own.includes(cause) ? own : `${own}: ${cause}`;
}

/** Errors may cause each other in a circle. */
const DEEPEST_CAUSE = 8;

function ownMessage(error: Error, depth: number): string {
  if (error.message !== '') return error.message;
  if (error instanceof AggregateError && error.errors.length > 0 && depth < DEEPEST_CAUSE) {
    return error.errors.map((one) => messageOf(one, depth + 1)).join(', ');
  }
  return error.name;
}

/** Makes a switch over a discriminated union exhaustive at compile time. */
export function unreachable(value: never, where: string): never {
  throw new BarricataError(where, 'unreachable', `${where}: unexpected ${JSON.stringify(value)}`);
}
