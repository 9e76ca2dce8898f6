import type { Address } from '../net/address.js';
import type { Prefix } from '../net/prefix.js';
import type { Endpoint, EveAlert } from '../suricata/eve-alert.js';
import { type AddressKind, embeddedIpv4, isSpecialKind, kindOf } from './address-kind.js';
import type { Role } from './ban.js';
import type { DecisionContext, RuleFacts } from './context.js';
import { forwardedClient, overwrittenBy } from './forwarded.js';
import { findOpener } from './initiator.js';

/** Why the address that was found must not be banned on this alert, whatever the policy says. */
export type DoubtKind =
  | 'no_addresses'
  | 'same_address'
  | 'icmp_error'
  | 'direction_unknown'
  | 'contradiction'
  | 'neither_inside'
  | 'home_disagrees'
  | 'special_source'
  | 'special_destination'
  | 'forged_xff'
  | 'behind_proxy'
  | 'tunnel'
  | 'transition_address'
  | 'rule_disagrees';

export interface Doubt {
  readonly kind: DoubtKind;
  readonly detail: string;
}

/** Who is who in one alert. */
export interface Attribution {
  readonly role: Role;
  /** The end outside, which a ban or a flag would name: the attacker when inbound, the called host when outbound. */
  readonly candidate: Address | null;
  /** The end that opened the flow, and the other; `null` when unknown. */
  readonly initiator: Endpoint | null;
  readonly responder: Endpoint | null;
  /** What the initiator was found by: `flow initiator`, `direction to_client`, `server port 80`... */
  readonly resolvedBy: string;
  /** The trusted proxy that carries the initiator's requests: our packets are the proxy's, so that a ban drops none of them here. */
  readonly via: Address | null;
  readonly doubt: Doubt | null;
}

type Facts = Pick<DecisionContext, 'home' | 'trustedProxies' | 'isOwn' | 'ruleFacts'>;

/**
 * Finds the attacker: the end outside our networks, in the role that the
 * opening of the flow gives it. `src_ip` is the sender of one packet and decides
 * nothing by itself.
 */
export function attribute(alert: EveAlert, facts: Facts): Attribution {
  const { src, dest } = alert;
  if (src === null || dest === null) {
    return unknown('no addresses', src ?? dest, 'no_addresses', 'the alert does not name both ends');
  }
  if (isIcmpError(alert)) {
    const detail = `ICMP type ${alert.icmpType} quotes somebody else's packet`;
    return unknown('not looked for', null, 'icmp_error', detail);
  }
  const claimed = overwrittenBy(alert);
  if (claimed !== null) {
    const detail = `X-Forwarded-For claims ${claimed}, which also stands as an end of the packet: an address that a client can choose`;
    return unknown('not looked for', null, 'forged_xff', detail);
  }
  const rule = facts.ruleFacts(alert.sid, alert.gid);
  const opener = findOpener(alert, src, dest, rule);
  if (opener.end === null) return withoutOpener(alert, src, dest, opener, rule, facts);
  const initiator = opener.end === 'src' ? src : dest;
  const responder = opener.end === 'src' ? dest : src;
  if (facts.trustedProxies.size > 0 && facts.trustedProxies.covering(initiator.host) !== null) {
    return behindProxy(alert, initiator, responder, opener.by, rule, facts);
  }
  return judge(alert, { initiator, responder, resolvedBy: opener.by, via: null }, rule, facts);
}

type Ends = Pick<Attribution, 'resolvedBy' | 'via'> & { readonly initiator: Endpoint; readonly responder: Endpoint };

/** Nothing tells who opened the flow: with both ends inside that makes no difference, else nobody is accused. */
function withoutOpener(
  alert: EveAlert,
  src: Endpoint,
  dest: Endpoint,
  { kind, detail }: Doubt,
  rule: RuleFacts | null,
  facts: Facts,
): Attribution {
  const srcInside = isInside(src.host, facts);
  const destInside = isInside(dest.host, facts);
  const special = isSpecialKind(kindOf(src.host)) || isSpecialKind(kindOf(dest.host));
  if (srcInside && destInside && !special) {
    // Both are ours; where the rule does not say whom to look at, the sender of the packet stands for it.
    const named = attackerByRule(alert, rule, src, dest);
    const [initiator, responder] = named === dest.address ? [dest, src] : [src, dest];
    return judge(alert, { initiator, responder, resolvedBy: 'both ends inside', via: null }, rule, facts);
  }
  const outside = srcInside === destInside ? null : srcInside ? dest : src;
  return unknown('nothing', outside, kind, detail);
}

/** The initiator is a trusted proxy: the client that it names stands for it. */
function behindProxy(
  alert: EveAlert,
  proxy: Endpoint,
  responder: Endpoint,
  by: string,
  rule: RuleFacts | null,
  facts: Facts,
): Attribution {
  const ends = { initiator: proxy, responder, resolvedBy: by, via: null };
  const client = alert.xff === null ? null : forwardedClient(alert.xff, facts.trustedProxies);
  const clientEnd = client === null ? null : { address: client.text as Address, host: client, port: null };
  const resolvedBy = `${by}, X-Forwarded-For of trusted proxy ${proxy.address}`;
  const proxyInside = isInside(proxy.host, facts);
  const responderInside = isInside(responder.host, facts);
  if (proxyInside && !responderInside) {
    // A proxy for our own clients: the one it speaks for is to be looked at, when it names one of ours.
    const ours = clientEnd !== null && isInside(clientEnd.host, facts) && !isSpecialKind(kindOf(clientEnd.host));
    return judge(alert, ours ? { ...ends, initiator: clientEnd, resolvedBy, via: proxy.address } : ends, rule, facts);
  }
  if (clientEnd !== null && !isSpecialKind(kindOf(clientEnd.host))) {
    return judge(alert, { initiator: clientEnd, responder, resolvedBy, via: proxy.address }, rule, facts);
  }
  const named = clientEnd === null ? 'names no client' : `names ${clientEnd.address}, which is no remote host`;
  const doubt: Doubt = { kind: 'behind_proxy', detail: `${proxy.address} is a trusted proxy and ${named}` };
  return { ...ends, role: 'unknown', candidate: null, doubt };
}

function judge(alert: EveAlert, ends: Ends, rule: RuleFacts | null, facts: Facts): Attribution {
  const { initiator, responder } = ends;
  const from = initiator.address;
  const to = responder.address;
  const fromKind = kindOf(initiator.host);
  if (isSpecialKind(fromKind)) {
    const detail = `${from} is a ${spoken(fromKind)} address, never a remote host`;
    return found(ends, 'unknown', initiator, 'special_source', detail);
  }
  const fromInside = isInside(initiator.host, facts);
  const toKind = kindOf(responder.host);
  if (toKind === 'multicast' || toKind === 'broadcast' || toKind === 'unspecified' || toKind === 'reserved') {
    const detail = `sent to the ${spoken(toKind)} address ${to}`;
    return fromInside
      ? found(ends, 'lateral', null, 'special_destination', detail)
      : found(ends, 'inbound', initiator, 'special_destination', detail);
  }
  if (from === to) {
    const detail = `${from} sent it to itself: traffic within one machine, or a forged source`;
    return found(ends, 'unknown', null, 'same_address', detail);
  }
  const toInside = isInside(responder.host, facts);
  if (fromInside) return toInside ? found(ends, 'lateral', null) : found(ends, 'outbound', responder);
  if (!toInside) {
    const detail = `neither ${from} nor ${to} is in \`home\` or an address of this machine: is your own network missing from \`home\`?`;
    return found(ends, 'unknown', initiator, 'neither_inside', detail);
  }
  if (alert.tunnelled) {
    return found(ends, 'inbound', initiator, 'tunnel', `${from} was seen inside a tunnel: it is not on our wire`);
  }
  if (fromKind !== 'host') {
    const embedded = embeddedIpv4(initiator.host) ?? 'an IPv4 host';
    return found(ends, 'inbound', initiator, 'transition_address', `${from} is ${spoken(fromKind)} of ${embedded}`);
  }
  if (ends.via === null) {
    const { src, dest } = alert;
    const named = attackerByRule(alert, rule, src, dest);
    if (named !== null && named !== from) {
      const detail = `the rule's target keyword names ${named} as the attacker, the flow was opened by ${from}`;
      return found(ends, 'inbound', initiator, 'rule_disagrees', detail);
    }
    const side = rule === null || rule.bothWays ? null : initiator === src ? rule.source : rule.destination;
    if (side === 'home') {
      const detail = `the rule is about an address of its own networks, and ${from} is not in \`home\`: is it missing there?`;
      return found(ends, 'inbound', initiator, 'home_disagrees', detail);
    }
  }
  return found(ends, 'inbound', initiator);
}

/** The end that the rule's `target` keyword leaves as the attacker, as the alert or else the rule's text has it. */
function attackerByRule(
  { ruleSource, ruleTarget }: EveAlert,
  rule: RuleFacts | null,
  src: Endpoint | null,
  dest: Endpoint | null,
): Address | null {
  if (ruleSource !== null) return ruleSource;
  if (src === null || dest === null) return null;
  if (ruleTarget === src.address) return dest.address;
  if (ruleTarget === dest.address) return src.address;
  if (ruleTarget !== null || rule === null || rule.target === null) return null;
  return rule.target === 'src_ip' ? dest.address : src.address;
}

function found(ends: Ends, role: Role, candidate: Endpoint | null, kind?: DoubtKind, detail = ''): Attribution {
  const { initiator, responder, resolvedBy, via } = ends;
  const doubt = kind === undefined ? null : { kind, detail };
  return { role, candidate: candidate?.address ?? null, initiator, responder, resolvedBy, via, doubt };
}

function unknown(resolvedBy: string, candidate: Endpoint | null, kind: DoubtKind, detail: string): Attribution {
  const doubt = { kind, detail };
  const address = candidate?.address ?? null;
  return { role: 'unknown', candidate: address, initiator: null, responder: null, resolvedBy, via: null, doubt };
}

/** Home networks and this machine; loopback and link-local destinations are this machine or its own wire. */
export function isInside(host: Prefix, facts: Pick<DecisionContext, 'home' | 'isOwn'>): boolean {
  if (facts.home.covering(host) !== null || facts.isOwn(host)) return true;
  const kind = kindOf(host);
  return kind === 'loopback' || kind === 'link_local';
}

/** Error messages carry the packet that they complain about (RFC 792, RFC 4443 section 2.4). */
function isIcmpError({ proto, icmpType }: EveAlert): boolean {
  if (icmpType === null) return false;
  if (proto === 'ICMP') return icmpType === 3 || icmpType === 4 || icmpType === 11 || icmpType === 12;
  return proto === 'IPV6-ICMP' && icmpType >= 1 && icmpType <= 4;
}

function spoken(kind: AddressKind): string {
  switch (kind) {
    case 'teredo':
      return 'the Teredo address';
    case 'six_to_four':
      return 'the 6to4 address';
    case 'nat64':
      return 'the NAT64 address';
    case 'ipv4_embedded':
      return 'an IPv6 spelling';
    default:
      return kind.replaceAll('_', '-');
  }
}
