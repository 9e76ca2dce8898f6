import type { EpochMs, Seconds } from '../base/clock.js';
import type { Config, FilterConfig, PolicyAction, PolicyLine, RepeatOffenders } from '../config/config.js';
import type { AddressWords } from '../net/address.js';
import type { Prefix } from '../net/prefix.js';
import { PrefixSet } from '../net/prefix-set.js';
import type { Refusal } from '../protection/admits.js';
import type { EveAlert } from '../suricata/eve-alert.js';
import type { RuleThreshold, ThresholdTrack } from '../suricata/rule-text.js';
import type { RuleSide } from './rule-facts.js';

/**
 * What the text of a rule says and the alert does not. Absent facts only ever
 * make a decision milder.
 */
export interface RuleFacts {
  /** The revision in the rules file; the sensor may still run another. */
  readonly rev: number;
  /** `flow:to_server` (also `from_client`) or `flow:to_client`: which way the alerting packet went. */
  readonly flow: 'to_server' | 'to_client' | null;
  /** The rule asks for an established flow. */
  readonly established: boolean;
  /** The rule asks for a flow that is not established. */
  readonly notEstablished: boolean;
  /** The rule looks at packets whatever the state of their flow. */
  readonly stateless: boolean;
  /** `threshold` or `detection_filter`: by whom it counts. By destination, the source is whoever came last. */
  readonly track: ThresholdTrack | null;
  /** What kind of counting that is: `limit` only keeps repeated alerts back, the others alert at the count. */
  readonly threshold: RuleThreshold['type'] | null;
  /** The end that the `target` keyword calls the one attacked. */
  readonly target: 'src_ip' | 'dest_ip' | null;
  /** Name of the class, such as `web-application-attack`; alerts carry its description. */
  readonly classtype: string | null;
  /** As the rule's header names it: `tcp`, `http`, `ip`... */
  readonly protocol: string;
  /** Which networks the header names before and after its arrow: where the alerting packet came from and went to. */
  readonly source: RuleSide;
  readonly destination: RuleSide;
  /** The arrow is `<>` or `=>`, so that the packet may also have gone the other way. */
  readonly bothWays: boolean;
  readonly metadata: Readonly<Record<string, readonly string[]>>;
  /** The rule only sets flow bits; an alert of it is not to be expected. */
  readonly noalert: boolean;
}

/** How the daemon acts on automatic decisions now. */
export type RunMode = 'enforce' | 'observe' | 'pause' | 'off';

/** Everything a decision depends on besides the alert; immutable, so that deciding is a pure function. */
export interface DecisionContext {
  /** The moment of deciding: the wall clock, or the event's own time in a replay. */
  readonly now: EpochMs;
  readonly mode: RunMode;
  readonly policy: readonly PolicyLine[];
  readonly otherwise: PolicyAction;
  readonly policyVersion: string;
  /** Whether `barricata ban` and `barricata ignore` in a rule's metadata count. */
  readonly metadataActions: boolean;
  readonly ignoreAlertsOlderThan: Seconds;
  readonly unprovenNeverOver: Seconds;
  readonly repeatOffenders: RepeatOffenders | null;
  readonly filter: FilterConfig;
  readonly home: PrefixSet<true>;
  readonly trustedProxies: PrefixSet<true>;
  readonly host: string;
  /** Name of the sensor that wrote the alerts, where it is another machine. */
  readonly sensor: string | null;
  /** Whether the address is one of this machine's own. */
  readonly isOwn: (words: AddressWords) => boolean;
  /** The protections: `null` admits a ban of the prefix. */
  readonly refuse: (prefix: Prefix) => Refusal | null;
  /** Whether the prefix touches the shipped infrastructure list, also when `never_ban` leaves it out. */
  readonly isInfrastructure: (prefix: Prefix) => boolean;
  /** What a person excepted from bans inside the network, a pardon or a suppression: names its key, or `null`. */
  readonly exceptionInside: (network: Prefix) => string | null;
  readonly ruleFacts: (sid: number, gid: number) => RuleFacts | null;
  /** Whether connection tracking saw the alert's connection answered both ways. */
  readonly conntrack: (alert: EveAlert) => 'assured' | 'unknown';
}

/** What is known only while running. What is left out is unknown, which makes decisions milder. */
export interface LiveContext extends Pick<DecisionContext, 'now' | 'refuse'>, Partial<LiveOptional> {}
type LiveOptional = Pick<
  DecisionContext,
  'mode' | 'isOwn' | 'isInfrastructure' | 'exceptionInside' | 'ruleFacts' | 'conntrack' | 'sensor'
>;

/**
 * The context that a configuration and the live facts make; cheap enough for
 * each batch.
 */
export function contextOf(config: Config, live: LiveContext): DecisionContext {
  return {
    now: live.now,
    mode: live.mode ?? config.mode,
    policy: config.policy,
    otherwise: config.otherwise,
    policyVersion: config.policyVersion,
    metadataActions: config.suricata.metadataActions,
    ignoreAlertsOlderThan: config.suricata.ignoreAlertsOlderThan,
    unprovenNeverOver: config.limits.unprovenNeverOver,
    repeatOffenders: config.repeatOffenders,
    filter: config.filter,
    home: setOf(config.home),
    trustedProxies: setOf(config.suricata.trustedProxies),
    host: config.host,
    sensor: live.sensor ?? null,
    isOwn: live.isOwn ?? (() => false),
    refuse: live.refuse,
    isInfrastructure: live.isInfrastructure ?? (() => false),
    exceptionInside: live.exceptionInside ?? (() => null),
    ruleFacts: live.ruleFacts ?? (() => null),
    conntrack: live.conntrack ?? (() => 'unknown'),
  };
}

/** Lists of a configuration never change in place, so that each is made into a set once. */
const sets = new WeakMap<readonly Prefix[], PrefixSet<true>>();

export function setOf(prefixes: readonly Prefix[]): PrefixSet<true> {
  const known = sets.get(prefixes);
  if (known !== undefined) return known;
  const set = new PrefixSet<true>();
  for (const prefix of prefixes) set.set(prefix, true);
  sets.set(prefixes, set);
  return set;
}
