/** What became of one decision. `offline`: kept in the offline journal, and wanted in the kernel from now on. */
export type CommitOutcome =
  | 'stored'
  | 'extended'
  /** Its count was written, and its end stays. */
  | 'counted'
  /** Nothing was written; its count is with the next write. */
  | 'unchanged'
  | 'pardoned'
  | 'suppressed'
  | 'wrong_type'
  | 'duplicate'
  | 'offline'
  /** Notes, ignored alerts and refusals store nothing. */
  | 'none';
