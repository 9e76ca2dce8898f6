import { BarricataError } from '../base/errors.js';

export type NetlinkErrorKind =
  /** The FFI or libc did not load; callers fall back to command-line tools. */
  | 'ffi_unavailable'
  /** EPERM: not root, no CAP_NET_ADMIN, or another program owns the object (a bound queue). */
  | 'not_permitted'
  /** The kernel lacks the subsystem: EPROTONOSUPPORT, EOPNOTSUPP, an unknown set type. */
  | 'unsupported'
  /** ENOENT: the set does not exist. */
  | 'missing'
  /** EEXIST. */
  | 'exists'
  /** The set has reached maxelem (IPSET_ERR_HASH_FULL, 4352). */
  | 'full'
  /** Any other errno. */
  | 'refused';

/** A system call or a netlink request failed; `errno` is positive as in errno.h, or an IPSET_ERR_* code. */
export class NetlinkError extends BarricataError {
  declare readonly kind: NetlinkErrorKind;
  readonly errno: number;
  constructor(operation: string, errno: number, kind: NetlinkErrorKind, detail = '', cause?: unknown) {
    super(
      operation,
      kind,
      `${operation}: ${detail || kind.replaceAll('_', ' ')}${errno ? ` (errno ${errno})` : ''}`,
      cause,
    );
    this.errno = errno;
  }
}
