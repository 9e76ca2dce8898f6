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

/** A part of the day in minutes since midnight, `from` inclusive, `to` exclusive; over midnight where `to` is not greater. */
export interface Hours {
  readonly from: number;
  readonly to: number;
}

/** What holds instead at certain hours of the day; the first that covers the time counts. */
export interface HoursLimit {
  readonly between: Hours;
  /** In the unit of the threshold that it stands in for; Infinity = nothing is too much. */
  readonly limit: number;
  readonly ban: Seconds;
}

/** `more_than` N events a second (per source) sustained over `during`. */
export interface RateThreshold {
  /** Events a second; Infinity where only `hours` limit. */
  readonly perSecond: number;
  readonly during: Seconds;
  readonly ban: Seconds;
  readonly hours?: readonly HoursLimit[];
}

/** `more_than` N different ports or hosts (per source) `within` a time. */
export interface CountThreshold {
  /** Ports or hosts; Infinity where only `hours` limit. */
  readonly most: number;
  readonly within: Seconds;
  readonly ban: Seconds;
  readonly hours?: readonly HoursLimit[];
}

/** Many sources against one service of ours. */
export interface FloodThreshold {
  /** Unanswered connection attempts a second to one address and port; the kernel holds it there while the flood lasts. */
  readonly perSecond: number;
  readonly during: Seconds;
  /** From at least so many different sources: fewer are for `syn`. */
  readonly sources: number;
  readonly then: 'limit' | 'synproxy';
}

/** One of the operator's own packet rules; every condition that is present must hold. */
export interface PacketRule {
  /** What the file says, as YAML on one line. */
  readonly text: string;
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6' | null;
  /** TCP flag bits: `(flags & mask) === value`; `null` = any. */
  readonly flags: { readonly mask: number; readonly value: number } | null;
  /** Empty = any. */
  readonly from: readonly Prefix[];
  readonly to: readonly Prefix[];
  /** Inclusive ranges; empty = any. */
  readonly sourcePorts: readonly (readonly [number, number])[];
  readonly targetPorts: readonly (readonly [number, number])[];
  readonly icmpTypes: readonly number[];
  /** Bytes of the IP packet, exclusive; `null` = any. */
  readonly largerThan: number | null;
  readonly smallerThan: number | null;
  readonly then: { readonly kind: 'accept' | 'drop' | 'reject' } | { readonly kind: 'ban'; readonly duration: Seconds };
}

/** What the packet filter looks for; `null` switches a detector off. */
export interface FilterConfig {
  /** IANA name, for `hours`. */
  readonly timeZone: string;
  /** Unanswered connection attempts of one source. */
  readonly syn: RateThreshold | null;
  readonly flood: FloodThreshold | null;
  readonly icmp: (RateThreshold & { readonly dropLargerThan: number | null }) | null;
  /** First packets of UDP conversations of one source. */
  readonly udp: RateThreshold | null;
  /** Different ports of ours that did not open. */
  readonly scan: CountThreshold | null;
  readonly slowScan: CountThreshold | null;
  /** Different hosts of ours on which nothing opened. */
  readonly sweep: CountThreshold | null;
  /** Different hosts of ours that were pinged. */
  readonly pingSweep: CountThreshold | null;
  /** Different ports touched by packets that no system sends (NULL, FIN, Xmas, SYN with FIN); each is dropped. */
  readonly stealth: CountThreshold | null;
  /** Different ports that answered an ACK out of nowhere by RST. */
  readonly ackScan: CountThreshold | null;
  /** Drop packets whose source is their own destination. */
  readonly land: boolean;
  readonly rules: readonly PacketRule[];
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
  /** 1-based line of each of `filter.rules`, for messages; apart from them, for a rule that only moved has not changed. */
  readonly packetRuleLines: readonly number[];
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
  readonly queue: {
    readonly numbers: readonly number[];
    readonly whenOverloaded: 'accept' | 'drop';
    /** First packets a second that are handed to the queues at most; what is above, the kernel settles. */
    readonly atMost: number;
  };
  /** Keys that the file sets and that this version reads but does not act on yet; `status` and `doctor` list them. */
  readonly inactive: readonly string[];
}
