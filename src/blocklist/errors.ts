import { BarricataError, messageOf } from '../base/errors.js';

/**
 * - `unreachable`: no connection, or no answer in time; what was asked may or may not have been done
 * - `loading`: Redis reads its data from disk and answers nothing else yet
 * - `auth`: the password, user or permission is wrong
 * - `read_only`: a replica, or a Redis that cannot write to its disk
 * - `out_of_memory`: `maxmemory` is reached and nothing may be evicted
 * - `refused`: Redis understood and said no, or what was asked for makes no sense
 * - `full`: the offline journal has no room left
 */
export type BlocklistErrorKind =
  | 'unreachable'
  | 'loading'
  | 'auth'
  | 'read_only'
  | 'out_of_memory'
  | 'refused'
  | 'full';

/** The blocklist could not be read or written. */
export class BlocklistError extends BarricataError {
  declare readonly kind: BlocklistErrorKind;
  constructor(operation: string, kind: BlocklistErrorKind, message: string, cause?: unknown) {
    super(operation, kind, message, cause);
  }

  /** Whether the store may take the same thing later, so that the offline journal has to keep it until then. */
  get passing(): boolean {
    return this.kind !== 'refused' && this.kind !== 'full';
  }
}

/** By the first word of an error reply (Redis documentation, "Redis serialization protocol", simple errors). */
const BY_CODE: Readonly<Record<string, BlocklistErrorKind>> = {
  LOADING: 'loading',
  BUSY: 'loading',
  MASTERDOWN: 'loading',
  TRYAGAIN: 'loading',
  CLUSTERDOWN: 'unreachable',
  MOVED: 'unreachable',
  ASK: 'unreachable',
  DENIED: 'auth',
  NOAUTH: 'auth',
  WRONGPASS: 'auth',
  NOPERM: 'auth',
  READONLY: 'read_only',
  MISCONF: 'read_only',
  NOREPLICAS: 'read_only',
  OOM: 'out_of_memory',
};

const HINTS: Readonly<Record<BlocklistErrorKind, string>> = {
  unreachable: 'Redis does not answer; is redis-server running?',
  loading: 'Redis is still reading its data; wait a moment',
  auth: 'Redis refused the login or the command; check user, password and ACL of the redis: url',
  read_only: 'Redis takes no writes; it is a replica, or its disk is full',
  out_of_memory: 'Redis is out of memory; raise maxmemory and keep maxmemory-policy noeviction',
  refused: 'Redis refused the command',
  full: 'the offline journal is full',
};

/** Turns whatever the client library threw into the one error of this boundary. */
export function blocklistError(operation: string, thrown: unknown): BlocklistError {
  if (thrown instanceof BlocklistError) return thrown;
  const text = messageOf(thrown);
  // A command inside a script fails with the bare code, before Redis 7 with
  // "ERR Error running script (call to f_...): @user_script:9: @user_script: 9: -OOM command not allowed ...".
  const codes = [...text.matchAll(/(?:^|: ?-?)([A-Z]{3,12})\b/g)].map(([, code]) => BY_CODE[code as string]);
  const isReply = thrown instanceof Error && thrown.name === 'ReplyError';
  const kind = codes.find((known) => known !== undefined) ?? (isReply ? 'refused' : 'unreachable');
  return new BlocklistError(operation, kind, `${operation}: ${HINTS[kind]} (${text})`, thrown);
}
