import type { EpochMs } from '../base/clock.js';
import type { RunMode } from '../blocklist/mode.js';

/** Names of CONTRACT section 6. */
export type AlarmName =
  | 'not_enforcing'
  | 'store_down'
  | 'store_emptied'
  | 'eve_stalled'
  | 'canary_broken'
  | 'capacity'
  | 'limit_reached'
  | 'flood'
  | 'queue_unfiltered'
  | 'protected_hit'
  | 'flag_outbound'
  | 'policy_rejected'
  | 'allow_expiring'
  | 'clock_skew'
  | 'host_missing';

/** Something that a person has to look at, from when it began until it is over. */
export interface Alarm {
  readonly name: AlarmName;
  /** ISO 8601 UTC. */
  readonly since: string;
  readonly detail: string;
}

/**
 * What `barricata status -o json` prints (CONTRACT section 2; more fields may be
 * added). Counts are since the start of the daemon.
 */
export interface DaemonStatus {
  readonly version: string;
  readonly pid: number;
  readonly host: string;
  readonly startedAt: EpochMs;
  readonly config: {
    readonly file: string;
    readonly version: string;
    readonly problems: readonly string[];
    /** Keys of the file whose change waits for a restart. */
    readonly restartNeeded: readonly string[];
    readonly inactive: readonly string[];
  };
  readonly mode: RunMode;
  readonly modeUntil: string | null;
  readonly modeFrom: 'fleet' | 'host' | 'file';
  readonly redis: {
    readonly up: boolean;
    readonly problem: string | null;
    readonly cli: string;
    readonly embedded: boolean;
  };
  readonly blocklist: {
    readonly complete: boolean;
    readonly entries: number;
    readonly allowed: number;
    readonly held: number;
    /** Batches that wait for Redis. */
    readonly offline: number;
    /** Entries decided while Redis was away that it refused for good. */
    readonly givenUp: number;
    readonly refused: number;
  };
  readonly kernel: {
    readonly backend: string;
    readonly entries: number;
    readonly drift: number;
    readonly complete: boolean;
    readonly rules: 'in place' | 'missing' | 'failed';
    readonly failures: readonly string[];
    readonly heals: Readonly<Record<string, number>>;
    readonly droppedPackets: number;
  };
  readonly queue: {
    readonly bound: boolean;
    readonly problem: string | null;
    readonly packets: number;
    readonly dropped: number;
    /** Packets that a kernel-side limit dropped before the queue. */
    readonly limited: number;
    /** Packets that should have been judged and passed without. */
    readonly unfiltered: number;
    readonly exceptions: number;
    readonly detections: Readonly<Record<string, number>>;
    /** Whether the events of connection tracking are read: only then are detections proven and good clients known. */
    readonly connections: 'known' | 'unknown';
  };
  readonly eve: readonly {
    readonly source: string;
    readonly opened: boolean;
    readonly problem: string | null;
    readonly lines: number;
    readonly alerts: number;
    readonly lagSeconds: number;
    readonly unusable: Readonly<Record<string, number>>;
    /** What happened to the source, by kind: rotations of a file, connections of a socket, gaps... */
    readonly events: Readonly<Record<string, number>>;
  }[];
  /** What is known of the rules file; see `RulesetStatus`. */
  readonly rules: {
    readonly path: string;
    readonly rules: number | null;
    readonly readAt: string | null;
    readonly problem: string | null;
    readonly faults: Readonly<Record<string, { readonly count: number; readonly firstLine: number }>>;
  };
  /** Rules that an update brought and that do not ban yet; `null` when there is no quarantine. */
  readonly quarantine: { readonly rules: number; readonly waiting: string | null } | null;
  readonly decisions: Readonly<Record<string, number>>;
  /** `null` when none is kept. */
  readonly history: {
    readonly bytes: number;
    readonly rows: number;
    readonly lost: { readonly alerts: number; readonly contacts: number };
    readonly problem: string | null;
  } | null;
  /** Attackers counted for `distinct_sids`, and those forgotten because there were too many. */
  readonly windows: { readonly initiators: number; readonly forgotten: number };
  readonly limits: {
    /** The limit on automatic bans that was reached, and what that means. */
    readonly reached: string | null;
    readonly newBansLastMinute: number;
    /** Known good clients among those, 0..1; `unknown` while nothing tells who is one: that limit is not in force then. */
    readonly knownGoodShare: number | 'unknown' | 'off';
  };
  readonly protections: {
    readonly protectedNetworks: number;
    readonly sshPeers: number;
    readonly problems: readonly string[];
  };
  /**
   * The first comparison is complete, the rules are in place, nothing is left out of a set, the queue is bound,
   * Redis answers, this host's name is its own, and every existing eve source is open.
   */
  readonly ready: boolean;
  readonly alarms: readonly Alarm[];
  /** What keeps it from being ready, and other things a person should know, worst first. */
  readonly problems: readonly string[];
}
