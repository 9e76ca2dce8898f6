import type { EveAlert } from '../suricata/eve-alert.js';
import type { Proof } from './ban.js';
import type { DecisionContext, RuleFacts } from './context.js';

/** Whether it is shown that the flow's initiator really has the address that its packets carry. */
export interface Evidence {
  /** `null`: not proven; the source may be forged. */
  readonly proof: Proof | null;
  /** What proves it, or what is missing. */
  readonly detail: string;
  /** The rule counts over all sources: its packet's sender is whoever tripped it, so nobody is to be banned for it. */
  readonly sourceIsChance: boolean;
}

type Flow = NonNullable<EveAlert['flow']>;

/**
 * Values of `app_proto` that prove no exchange: none was recognised, or, for
 * FTP data, the flow was expected on that port and nothing of it was read.
 */
const PROVES_NOTHING = new Set(['none', 'failed', 'unknown', 'ftp-data']);
/** States of a connection, as eve's flow and tcp records call them, in which the handshake is not complete. */
const NOT_OPEN = new Set(['new', 'none', 'syn_sent', 'syn_recv', 'syn_recv1', 'syn_recv2']);

/**
 * Judges one alert. Proof needs a completed TCP handshake, since only who
 * receives our answers can complete one: an application protocol that was
 * recognised with traffic both ways, a flow that Suricata calls established
 * with payload to the server, or a connection that connection tracking saw
 * assured. Packet counts alone never prove: a forged SYN, our SYN-ACK and the
 * RST of the address's true owner are two packets in and one back.
 */
export function evidenceOf(alert: EveAlert, context: Pick<DecisionContext, 'ruleFacts' | 'conntrack'>): Evidence {
  const rule = context.ruleFacts(alert.sid, alert.gid);
  const chance = rule === null ? null : countsManySources(rule);
  if (chance !== null) return unproven(`the rule counts ${chance}: its source is whoever came last`, true);
  if (alert.proto !== 'TCP') return unproven(`${alert.proto || 'no protocol'}: only TCP proves a source address`);
  const single = rule === null ? null : matchesSinglePackets(rule);
  if (single !== null) return unproven(single);
  if (context.conntrack(alert) === 'assured') return proven('conntrack', 'connection tracking saw it assured');
  const { flow, appProto } = alert;
  if (flow === null) return unproven('the alert carries no flow');
  const missing = missingFrom(alert, flow);
  if (missing !== null) return unproven(`TCP, ${counted(flow)}: ${missing}`);
  if (appProto !== null && !PROVES_NOTHING.has(appProto)) return proven('app', `TCP, ${appProto}, ${counted(flow)}`);
  if (flow.state !== 'established') return unproven(`TCP, ${counted(flow)}: no application protocol was recognised`);
  return hasPayloadToServer(alert, flow)
    ? proven('flow', `TCP, established with payload to the server, ${counted(flow)}`)
    : unproven(`TCP, established, ${counted(flow)}: no payload to the server`);
}

/** Over which sources the rule counts, where that is more than one; `null` when its source is the one counted. */
function countsManySources({ track, threshold }: RuleFacts): string | null {
  if (track === 'by_dst') return 'per destination (track by_dst)';
  // By rule, `limit` and `backoff` hold repeated alerts back; the others wait for the last of many.
  const waits = threshold !== 'limit' && threshold !== 'backoff';
  return track === 'by_rule' && waits ? 'over all sources (track by_rule)' : null;
}

/** Protocols of a rule's header that name packets; the others (http, tls...) are read from a stream. */
const PACKET_PROTOCOLS = new Set([
  ...['ip', 'ip4', 'ipv4', 'ip6', 'ipv6', 'tcp', 'tcp-pkt', 'tcp-stream', 'pkthdr'],
  ...['udp', 'icmp', 'icmpv4', 'icmpv6', 'sctp', 'ether', 'arp'],
]);

/**
 * A rule that does not ask for an established flow also alerts on one forged
 * packet, in a connection that is somebody else's and proven: what is proven of
 * the flow then says nothing about that packet.
 */
function matchesSinglePackets({ stateless, notEstablished, established, protocol }: RuleFacts): string | null {
  if (notEstablished) return 'the rule asks for a flow that is not established';
  if (stateless) return 'the rule looks at single packets (flow:stateless)';
  if (established || !PACKET_PROTOCOLS.has(protocol)) return null;
  return `the rule looks at single packets (${protocol}, without flow:established)`;
}

/** What shows that the handshake may not have been completed, or `null`. */
function missingFrom(alert: EveAlert, flow: Flow): string | null {
  if (flow.packetsToServer < 2) return 'fewer than two packets in';
  if (flow.packetsToClient < 1) return 'nothing came back';
  if (flow.state !== null && NOT_OPEN.has(flow.state)) return `the connection is ${flow.state}`;
  if (onlyResetsBack(alert, flow)) return 'what came back is no longer than resets';
  if (alert.packetSource === FLUSH && !hasPayloadToClient(alert, flow)) {
    return 'raised when the flow ended, and the server never sent data';
  }
  return null;
}

/**
 * At the end of a flow Suricata inspects what it holds, also what the server
 * never took: the data of a forged SYN with TCP Fast Open (RFC 7413), which the
 * server's SYN-ACK leaves out, is then an alert on an "established" flow with
 * `app_proto` and the counts of a handshake. Only data from the server tells.
 */
const FLUSH = 'stream (flow timeout)';

/** Longest headers that EVE counts, which are whole frames: Ethernet, a VLAN tag, IP, TCP with all its options. */
const LINK = 14 + 4;
const TCP_LONGEST = 60;
/** What segments after the handshake carry: TCP with timestamps (RFC 7323). */
const TCP_USUAL = 32;

function ipHeader({ src }: EveAlert): number {
  return src?.host.family === 6 ? 40 : 20;
}

function hasPayloadToClient(alert: EveAlert, { packetsToClient, bytesToClient }: Flow): boolean {
  return bytesToClient > packetsToClient * (LINK + ipHeader(alert) + TCP_LONGEST);
}

/** One segment, the SYN, may carry all options. */
function hasPayloadToServer(alert: EveAlert, { packetsToServer, bytesToServer }: Flow): boolean {
  const headers = packetsToServer * (LINK + ipHeader(alert) + TCP_USUAL);
  return bytesToServer > headers + TCP_LONGEST - TCP_USUAL;
}

/**
 * A server that knows no such connection answers data with resets, of bare
 * headers; a SYN-ACK has at least the option of its segment size. With
 * `stream.midstream` Suricata takes up forged data without a handshake.
 */
function onlyResetsBack(alert: EveAlert, { packetsToClient, bytesToClient }: Flow): boolean {
  return bytesToClient > 0 && bytesToClient <= packetsToClient * (14 + ipHeader(alert) + 20);
}

function counted({ packetsToServer, packetsToClient }: Flow): string {
  return `${packetsToServer} packets in, ${packetsToClient} back`;
}

function proven(proof: Proof, detail: string): Evidence {
  return { proof, detail, sourceIsChance: false };
}

function unproven(detail: string, sourceIsChance = false): Evidence {
  return { proof: null, detail, sourceIsChance };
}
