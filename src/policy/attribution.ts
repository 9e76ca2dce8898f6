import { type Address, parseAddress } from '../net/address.js';
import { hostPrefix, type Prefix } from '../net/prefix.js';
import type { Endpoint, EveAlert } from '../suricata/eve-alert.js';
import { embeddedIpv4, isSpecialKind, kindOf } from './address-kind.js';
import type { Role } from './ban.js';
import type { DecisionContext, RuleFacts } from './context.js';
import { guessServer } from './server-ports.js';

/** Why the address that was found must not be banned on this alert, whatever the policy says. */
export type DoubtKind =
  | 'no_addresses'
  | 'icmp_error'
  | 'direction_unknown'
  | 'contradiction'
  | 'neither_inside'
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
    return unknown('no addresses', src?.address ?? null, 'no_addresses', 'the alert does not name both ends');
  }
  const srcHost = hostPrefix(src.address);
  const destHost = hostPrefix(dest.address);
  if (isIcmpError(alert)) {
    const detail = `ICMP type ${alert.icmpType} quotes somebody else's packet`;
    return unknown('not looked for', null, 'icmp_error', detail);
  }
  const forged = forgedBy(alert);
  if (forged !== null) return unknown('not looked for', null, 'forged_xff', forged);
  const found = findInitiator(alert, src, dest, facts.ruleFacts(alert.sid, alert.gid));
  if ('doubt' in found) {
    const srcInside = isInside(srcHost, facts);
    const destInside = isInside(destHost, facts);
    if (srcInside && destInside && !isSpecialKind(kindOf(srcHost)) && !isSpecialKind(kindOf(destHost))) {
      // Whoever opened it, both are ours; the sender of the packet stands for the one to look at.
      return judgeEnds(
        alert,
        { initiator: src, responder: dest, fromHost: srcHost, toHost: destHost, resolvedBy: 'both ends inside' },
        facts,
      );
    }
    const outside = srcInside === destInside ? null : srcInside ? dest.address : src.address;
    return unknown('nothing', outside, found.doubt.kind, found.doubt.detail);
  }
  const [initiator, responder] = found.opener === 'src' ? [src, dest] : [dest, src];
  const [fromHost, toHost] = found.opener === 'src' ? [srcHost, destHost] : [destHost, srcHost];
  return judgeEnds(alert, { initiator, responder, fromHost, toHost, resolvedBy: found.by }, facts);
}

interface Ends {
  readonly initiator: Endpoint;
  readonly responder: Endpoint;
  readonly fromHost: Prefix;
  readonly toHost: Prefix;
  readonly resolvedBy: string;
}

function judgeEnds(alert: EveAlert, ends: Ends, facts: Facts): Attribution {
  const { initiator, responder, fromHost, toHost, resolvedBy } = ends;
  const result = (role: Role, candidate: Address | null, kind?: DoubtKind, detail = ''): Attribution => ({
    role,
    candidate,
    initiator,
    responder,
    resolvedBy,
    doubt: kind === undefined ? null : { kind, detail },
  });
  const from = initiator.address;
  const to = responder.address;
  const fromKind = kindOf(fromHost);
  if (isSpecialKind(fromKind)) {
    return result('unknown', from, 'special_source', `${from} is a ${spoken(fromKind)} address, never a remote host`);
  }
  if (facts.trustedProxies.covering(fromHost) !== null) {
    return result('unknown', null, 'behind_proxy', proxyDetail(alert, from, facts));
  }
  const fromInside = isInside(fromHost, facts);
  const toKind = kindOf(toHost);
  if (toKind === 'multicast' || toKind === 'broadcast' || toKind === 'unspecified' || toKind === 'reserved') {
    const role = fromInside ? 'lateral' : 'inbound';
    return result(role, fromInside ? null : from, 'special_destination', `sent to the ${spoken(toKind)} address ${to}`);
  }
  const toInside = isInside(toHost, facts);
  if (fromInside) return toInside ? result('lateral', null) : result('outbound', to);
  if (!toInside) {
    const detail = `neither ${from} nor ${to} is in \`home\` or an address of this machine`;
    return result('unknown', from, 'neither_inside', detail);
  }
  if (alert.tunnelled || /tunnel|encapsulation/i.test(alert.packetSource ?? '')) {
    return result('inbound', from, 'tunnel', `${from} was seen inside a tunnel: it is not on our wire`);
  }
  const embedded = embeddedIpv4(fromHost);
  if (embedded !== null) {
    return result('inbound', from, 'transition_address', `${from} is ${spoken(fromKind)} of ${embedded}`);
  }
  const { ruleSource, ruleTarget } = alert;
  if ((ruleSource !== null && ruleSource !== from) || (ruleTarget !== null && ruleTarget === from)) {
    const detail = `the rule's target keyword names ${ruleSource ?? to} as the attacker, the flow was opened by ${from}`;
    return result('inbound', from, 'rule_disagrees', detail);
  }
  return result('inbound', from);
}

type Found = { readonly opener: 'src' | 'dest'; readonly by: string } | { readonly doubt: Doubt };

/** Which end of the packet opened the flow, from the surest source to the weakest. */
function findInitiator(alert: EveAlert, src: Endpoint, dest: Endpoint, rule: RuleFacts | null): Found {
  const { direction } = alert;
  const byDirection = direction === null ? null : direction === 'to_server' ? 'src' : 'dest';
  const flowSrc = alert.flow?.src ?? null;
  if (flowSrc !== null) {
    const opener = endOf(flowSrc, src, dest);
    const flowDest = alert.flow?.dest ?? null;
    const other = flowDest === null || opener === null || flowDest.address === (opener === 'src' ? dest : src).address;
    if (opener === null || !other) {
      return {
        doubt: { kind: 'contradiction', detail: `the flow's initiator ${flowSrc.address} is no end of the packet` },
      };
    }
    if (byDirection !== null && byDirection !== opener && src.address !== dest.address) {
      return { doubt: { kind: 'contradiction', detail: `direction ${direction} and the flow's initiator disagree` } };
    }
    return { opener, by: 'flow initiator' };
  }
  if (byDirection !== null) return { opener: byDirection, by: `direction ${direction}` };
  if (rule !== null && rule.flow !== null) {
    return { opener: rule.flow === 'to_server' ? 'src' : 'dest', by: `rule flow:${rule.flow}` };
  }
  const server = guessServer(src.port, dest.port);
  if (server !== null) {
    const port = server === 'src' ? src.port : dest.port;
    return { opener: server === 'src' ? 'dest' : 'src', by: `server port ${port}` };
  }
  const named =
    alert.ruleSource === null ? '' : `; the rule names ${alert.ruleSource} as the source, which alone is not enough`;
  return {
    doubt: {
      kind: 'direction_unknown',
      detail: `no flow initiator, direction or server port says who opened the flow${named}`,
    },
  };
}

function endOf(one: Endpoint, src: Endpoint, dest: Endpoint): 'src' | 'dest' | null {
  if (src.address === dest.address && one.address === src.address) return one.port === dest.port ? 'dest' : 'src';
  return one.address === src.address ? 'src' : one.address === dest.address ? 'dest' : null;
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
  if (proto === 'ICMP' || proto === '1') return icmpType === 3 || icmpType === 4 || icmpType === 11 || icmpType === 12;
  return (proto === 'IPV6-ICMP' || proto === 'ICMPV6' || proto === '58') && icmpType >= 1 && icmpType <= 4;
}

/**
 * In `xff: mode: overwrite` Suricata writes what the client claimed into
 * `src_ip` or `dest_ip`; nothing else in the record tells that it did.
 */
function forgedBy({ xff, src, dest }: EveAlert): string | null {
  if (xff === null) return null;
  for (const claimed of claimsOf(xff)) {
    if (claimed === src?.address || claimed === dest?.address) {
      return `X-Forwarded-For claims ${claimed}, which also stands as an end of the packet: an address that a client can choose`;
    }
  }
  return null;
}

/** The addresses in an X-Forwarded-For value, left to right; what is no address is left out. At most 20 are read. */
function claimsOf(xff: string): Address[] {
  const claims: Address[] = [];
  for (const token of xff.slice(0, 1000).split(',', 20)) {
    const text = token.trim().replace(/^"|"$/g, '');
    const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? text.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1');
    const address = parseAddress(bare);
    if (address !== null) claims.push(address);
  }
  return claims;
}

function proxyDetail(alert: EveAlert, proxy: Address, facts: Facts): string {
  const client = claimsOf(alert.xff ?? '').findLast(
    (claim) => facts.trustedProxies.covering(hostPrefix(claim)) === null,
  );
  const who = client === undefined ? 'an unknown client' : client;
  return `${proxy} is a trusted proxy and speaks for ${who}: at layer 3 only the proxy can be dropped`;
}

function unknown(resolvedBy: string, candidate: Address | null, kind: DoubtKind, detail: string): Attribution {
  return { role: 'unknown', candidate, initiator: null, responder: null, resolvedBy, doubt: { kind, detail } };
}

function spoken(kind: string): string {
  return kind === 'teredo'
    ? 'the Teredo address'
    : kind === 'six_to_four'
      ? 'the 6to4 address'
      : kind.replaceAll('_', '-');
}
