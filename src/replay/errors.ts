import { BarricataError } from '../base/errors.js';

export type ReplayErrorKind =
  /** Not there, no permission, or damaged. */
  | 'unreadable'
  /** Compressed in a way that is not read here. */
  | 'unknown_format'
  /** A capture needs Suricata, and it is not installed. */
  | 'no_suricata'
  /** Suricata could not read the capture or the rules. */
  | 'suricata_failed';

/** What a replay cannot be made of. */
export class ReplayError extends BarricataError {
  declare readonly kind: ReplayErrorKind;

  constructor(operation: string, kind: ReplayErrorKind, message: string, cause?: unknown) {
    super(operation, kind, message, cause);
  }
}
