/** What the tests of deciding share: a stand-in for the protections, the first policy, and a context made of both. */
import type { PolicyLine } from '../../../src/config/config.js';
import { type Address, type AddressWords, parseAddress } from '../../../src/net/address.js';
import { hostPrefix, overlaps, type Prefix, prefix, prefixOf, widthOf } from '../../../src/net/prefix.js';
import { type DecisionContext, type RuleFacts, setOf } from '../../../src/policy/context.js';
import type { Refusal, RefusalCause } from '../../../src/protection/admits.js';
import type { Endpoint, EveAlert } from '../../../src/suricata/eve-alert.js';
import { DEFAULT_FILTER } from '../../support/filter.js';

export const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'];
export const SPECIAL = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/128',
  '::1/128',
  'fe80::/10',
  'ff00::/8',
];
export const INFRASTRUCTURE = ['8.8.8.8/32', '1.1.1.1/32', '2001:4860:4860::8888/128'];

export const WEB: PolicyLine = {
  name: 'web exploitation',
  line: 40,
  when: { category: ['Web Application Attack'], severity: [1, 1], from: 'outside', proven: true },
  then: { kind: 'ban', duration: 3600 },
};

export const PRIVILEGE: PolicyLine = {
  name: 'privilege gain',
  line: 43,
  when: {
    category: ['Attempted Administrator Privilege Gain', 'Attempted User Privilege Gain'],
    severity: [1, 1],
    from: 'outside',
    proven: true,
  },
  then: { kind: 'ban', duration: 3600 },
};

/** Bans whatever it can: what is still not banned is kept out by something other than the policy. */
export const BAN_ALL: PolicyLine = { name: 'ban all', line: 1, when: {}, then: { kind: 'ban', duration: 86_400 } };

export interface Setting {
  readonly now: number;
  readonly home?: readonly string[];
  readonly own?: readonly string[];
  readonly allowed?: readonly string[];
  readonly trustedProxies?: readonly string[];
  readonly policy?: readonly PolicyLine[];
  readonly otherwise?: DecisionContext['otherwise'];
  readonly mode?: DecisionContext['mode'];
  readonly rules?: Readonly<Record<string, Partial<RuleFacts>>>;
  readonly conntrack?: 'assured' | 'unknown';
  readonly ignoreAlertsOlderThan?: number;
  readonly metadataActions?: boolean;
  readonly repeatOffenders?: DecisionContext['repeatOffenders'];
  /** What a person pardoned or suppressed. */
  readonly exceptions?: readonly string[];
  /** Which causes `refuse` leaves out, as when `never_ban` does not list them. */
  readonly without?: readonly RefusalCause[];
}

/** A rule whose text says nothing that decisions look at. */
export const PLAIN_RULE: RuleFacts = {
  rev: 1,
  flow: null,
  established: false,
  notEstablished: false,
  stateless: false,
  track: null,
  threshold: null,
  target: null,
  classtype: null,
  protocol: 'tcp',
  source: 'any',
  destination: 'any',
  bothWays: false,
  metadata: {},
  noalert: false,
};

/** Refuses as the protections do: one cause for each list that shares an address with the prefix. */
export function refuseBy(lists: Readonly<Partial<Record<RefusalCause, readonly string[]>>>) {
  const entries = Object.entries(lists).flatMap(([cause, texts]) =>
    (texts ?? []).map((text) => ({ cause: cause as RefusalCause, network: prefix(text) })),
  );
  return (candidate: Prefix): Refusal | null => {
    const hit = entries.find(({ network }) => overlaps(network, candidate));
    return hit === undefined
      ? null
      : { cause: hit.cause, detail: `${candidate.text} meets ${hit.cause} ${hit.network.text}` };
  };
}

export function contextFor(setting: Setting): DecisionContext {
  const home = (setting.home ?? PRIVATE).map(prefix);
  const own = setOf((setting.own ?? []).map((text) => hostPrefix(parseAddress(text) as Address)));
  const infrastructure = INFRASTRUCTURE.map(prefix);
  const lists: Partial<Record<RefusalCause, readonly string[]>> = {
    special: SPECIAL,
    home: setting.home ?? PRIVATE,
    this_machine: setting.own ?? [],
    infrastructure: INFRASTRUCTURE,
    allowed: setting.allowed ?? [],
    private: PRIVATE,
  };
  for (const cause of setting.without ?? []) delete lists[cause];
  return {
    now: setting.now,
    mode: setting.mode ?? 'enforce',
    policy: setting.policy ?? [WEB, PRIVILEGE],
    otherwise: setting.otherwise ?? { kind: 'note' },
    policyVersion: '0123456789ab',
    metadataActions: setting.metadataActions ?? false,
    ignoreAlertsOlderThan: setting.ignoreAlertsOlderThan ?? 600,
    unprovenNeverOver: 600,
    repeatOffenders:
      setting.repeatOffenders === undefined
        ? { multiply: [1, 4, 24], neverOver: 604_800, forgetAfter: 2_592_000 }
        : setting.repeatOffenders,
    filter: DEFAULT_FILTER,
    home: setOf(home),
    trustedProxies: setOf((setting.trustedProxies ?? []).map(prefix)),
    host: 'edge-1',
    sensor: null,
    isOwn: (words: AddressWords) => own.covering(prefixOf(words, widthOf(words.family))) !== null,
    refuse: refuseBy(lists),
    isInfrastructure: (candidate) => infrastructure.some((network) => overlaps(network, candidate)),
    exceptionInside: (network) => setting.exceptions?.map(prefix).find((one) => overlaps(network, one))?.text ?? null,
    ruleFacts: (sid) => {
      const facts = setting.rules?.[String(sid)];
      return facts === undefined ? null : { ...PLAIN_RULE, ...facts };
    },
    conntrack: () => setting.conntrack ?? 'unknown',
  };
}

export function endpoint(address: string, port: number | null): Endpoint {
  const host = prefix(address);
  return { address: host.text as Address, host, port };
}

export interface AlertShape {
  readonly src?: string;
  readonly dest?: string;
  readonly sid?: number;
  readonly at?: number;
  readonly flowId?: number | null;
  readonly flowStart?: number | null;
  readonly proven?: boolean;
}

/** A proven HTTP attack from outside, as far as nothing else is asked for. */
export function alertFrom(shape: AlertShape, over: Partial<EveAlert> = {}): EveAlert {
  const at = shape.at ?? Date.UTC(2026, 10, 23, 12);
  const src = endpoint(shape.src ?? '203.0.113.66', 43_932);
  const dest = endpoint(shape.dest ?? '192.168.50.10', 80);
  return {
    at,
    gid: 1,
    sid: shape.sid ?? 2_019_232,
    rev: 4,
    signature: 'ET WEB_SERVER Possible CVE-2014-6271 Attempt',
    category: 'Web Application Attack',
    severity: 1,
    action: 'allowed',
    verdict: null,
    src,
    dest,
    proto: 'TCP',
    appProto: shape.proven === false ? null : 'http',
    direction: 'to_server',
    flowId: shape.flowId === undefined ? 1 : shape.flowId,
    flow: {
      src,
      dest,
      packetsToServer: 4,
      packetsToClient: 3,
      bytesToServer: 456,
      bytesToClient: 391,
      state: null,
      start: shape.flowStart === undefined ? at - 500 : shape.flowStart,
    },
    ruleSource: null,
    ruleTarget: null,
    metadata: {},
    xff: null,
    tunnelled: false,
    icmpType: null,
    packetSource: 'wire/pcap',
    ...over,
  };
}
