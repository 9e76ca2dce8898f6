/**
 * config: what one YAML file says, checked and in plain units. `schema` is the
 * single description (the JSON schema in `config/` is generated from it),
 * `load` reads a file and reports every error at once with its line.
 */
import type { Seconds } from '../base/clock.js';
import type { Prefix } from '../net/prefix.js';

export type ModeName = 'enforce' | 'observe' | 'off';

/** One listed network that is never banned. */
export interface NeverBanEntry {
  readonly prefix: Prefix;
  /** 1-based line in the file; 0 where the file has none. */
  readonly line: number;
  readonly reason: string;
  readonly ticket: string | null;
  /** End of the day named by `until`, in `time_zone`; `null` = for good. */
  readonly until: number | null;
}

/** `more_than` N events a second (per source) sustained over `during`. */
export interface RateThreshold {
  /** Events a second. */
  readonly perSecond: number;
  readonly during: Seconds;
  readonly ban: Seconds;
}

export interface FilterConfig {
  readonly syn: RateThreshold | null;
  readonly icmp: (RateThreshold & { readonly dropLargerThan: number | null }) | null;
  readonly scan: { readonly ports: number; readonly within: Seconds; readonly ban: Seconds } | null;
}

export type PolicyAction =
  | { readonly kind: 'ban'; readonly duration: Seconds }
  | { readonly kind: 'would_ban'; readonly duration: Seconds }
  | { readonly kind: 'flag' }
  | { readonly kind: 'note' }
  | { readonly kind: 'ignore' };

/** Conditions of one policy line; every one that is present must hold. */
export interface PolicyConditions {
  readonly sid?: readonly number[];
  /** Inclusive. */
  readonly sidRange?: readonly (readonly [number, number])[];
  readonly category?: readonly string[];
  /** Inclusive; lower is worse. */
  readonly severity?: readonly [number, number];
  /** Substring (case-insensitive), or a regular expression when written `/re/`. */
  readonly signature?: readonly (string | RegExp)[];
  readonly from?: Side;
  readonly to?: Side;
  readonly proven?: boolean;
  readonly appProto?: readonly string[];
  readonly proto?: readonly string[];
  readonly destPort?: readonly (readonly [number, number])[];
  /** `meta.KEY`: any of the values of that rule metadata key. */
  readonly meta?: Readonly<Record<string, readonly string[]>>;
  /** Both ends inside (`true`), or one of them outside (`false`). `ban`: both inside, and the one that opened the flow may be banned. */
  readonly internal?: boolean | 'ban';
  /** So many different signatures against the same initiator, each an alert that matches the rest of this line. */
  readonly distinctSids?: { readonly atLeast: number; readonly within: Seconds };
}

export type Side = 'outside' | 'home' | { readonly networks: readonly Prefix[] };

export interface PolicyLine {
  readonly name: string;
  /** 1-based line in the file, quoted by `why`; 0 for a line of the built-in default. */
  readonly line: number;
  /** What the file says, as YAML on one line; absent for a line of the built-in default. */
  readonly text?: string;
  readonly when: PolicyConditions;
  readonly then: PolicyAction;
}

export interface RepeatOffenders {
  /** Of the line's duration: for the first ban, the second... The last holds for all that follow. */
  readonly multiply: readonly number[];
  /** No multiplied ban is longer. */
  readonly neverOver: Seconds;
  /** A ban counts for so long after it was made. */
  readonly forgetAfter: Seconds;
}

export interface Config {
  /** The file this was read from, for messages. */
  readonly file: string;
  /** 12 hex digits of a sha256 of the canonical form of the whole file. */
  readonly policyVersion: string;
  readonly mode: ModeName;
  readonly host: string;
  readonly state: string;
  readonly run: string;
  /** IANA name; for wall-clock times in the file. */
  readonly timeZone: string;
  readonly home: readonly Prefix[];
  readonly neverBan: {
    readonly home: boolean;
    readonly thisMachine: boolean;
    readonly infrastructure: boolean;
    readonly listed: readonly NeverBanEntry[];
  };
  readonly bannablePrivate: readonly Prefix[];
  readonly suricata: {
    /** Paths and globs of files, and addresses of sockets and Redis queues: `parseEveEntry` reads each. */
    readonly eve: readonly string[];
    readonly rules: string;
    readonly ignoreAlertsOlderThan: Seconds;
    /** Bytes. */
    readonly longestLine: number;
    /** Reverse proxies whose X-Forwarded-For is believed; never banned themselves. */
    readonly trustedProxies: readonly Prefix[];
    /** Honour `barricata ban` and `barricata ignore` in the metadata of rules. */
    readonly metadataActions: boolean;
  };
  /** What a signature that an update brought must have behind it before it bans; `null` = it bans at once. */
  readonly quarantine: { readonly age: Seconds; readonly hits: number } | null;
  readonly filter: FilterConfig;
  readonly policy: readonly PolicyLine[];
  readonly otherwise: PolicyAction;
  /** What a further ban of the same address lasts; `null` = as long as the first. */
  readonly repeatOffenders: RepeatOffenders | null;
  readonly limits: {
    readonly newBansPerMinute: number;
    readonly totalBans: number;
    /** Share (0..1) of a minute's new bans that may be known good clients; `null` = any. */
    readonly knownGoodShare: number | null;
    readonly whenReached: 'stop_and_alert' | 'alert';
    readonly widest: { readonly ipv4: number; readonly ipv6: number };
    readonly unprovenNeverOver: Seconds;
  };
  readonly redis: {
    readonly embedded: boolean;
    /** `redis://`, `rediss://` or `unix://` address; `null` when embedded, and for sentinels or a cluster, which `inactive` then names. */
    readonly url: string | null;
    readonly prefix: string;
  };
  readonly enforcement: {
    readonly backend: 'auto' | 'ipset' | 'nftables';
    readonly iptables: 'auto' | 'nft' | 'legacy';
    readonly outbound: boolean;
    readonly onStop: 'keep' | 'remove';
  };
  /** `null`: nothing is kept. */
  readonly history: {
    readonly keep: Seconds;
    /** Bytes. */
    readonly atMost: number;
  } | null;
  readonly queue: { readonly numbers: readonly number[]; readonly whenOverloaded: 'accept' | 'drop' };
  /** Keys that the file sets and that this version reads but does not act on yet; `status` and `doctor` list them. */
  readonly inactive: readonly string[];
}
