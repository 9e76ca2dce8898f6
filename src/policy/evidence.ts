import type { EveAlert } from '../suricata/eve-alert.js';
import type { Proof } from './ban.js';
import type { DecisionContext } from './context.js';

/** Whether it is shown that the flow's initiator really has the address that its packets carry. */
export interface Evidence {
  /** `null`: not proven; the source may be forged. */
  readonly proof: Proof | null;
  /** What proves it, or what is missing. */
  readonly detail: string;
  /** The rule counts per destination: its packet's sender is whoever tripped it, so nobody is to be banned for it. */
  readonly sourceIsChance: boolean;
}

/** Values of `app_proto` that say that no protocol was recognised. */
const NO_PROTOCOL = new Set(['none', 'failed', 'unknown', '']);

export function isTcp(proto: string): boolean {
  return proto === 'TCP' || proto === '6';
}

/**
 * Judges one alert. Proof needs a completed TCP handshake, since only who
 * receives our answers can complete one: an application protocol that was
 * recognised with traffic both ways, a flow that Suricata calls established
 * with payload to the server, or a connection that connection tracking saw
 * assured. Packet counts alone never prove: a forged SYN, our SYN-ACK and the
 * RST of the address's true owner are two packets in and one back.
 */
export function evidenceOf(alert: EveAlert, context: Pick<DecisionContext, 'ruleFacts' | 'conntrack'>): Evidence {
  const facts = context.ruleFacts(alert.sid, alert.gid);
  if (facts?.track === 'by_dst') {
    return unproven('the rule counts per destination (track by_dst): its source is whoever came last', true);
  }
  if (!isTcp(alert.proto)) return unproven(`${alert.proto || 'no protocol'}: only TCP proves a source address`);
  if (context.conntrack(alert) === 'assured') return proven('conntrack', 'connection tracking saw it assured');
  const { flow } = alert;
  if (flow === null) return unproven('the alert carries no flow');
  const counts = `${flow.packetsToServer} packets in, ${flow.packetsToClient} back`;
  const appProto = alert.appProto?.toLowerCase() ?? '';
  const known = !NO_PROTOCOL.has(appProto);
  if (known && flow.packetsToServer >= 2 && flow.packetsToClient >= 1)
    return proven('app', `TCP, ${appProto}, ${counts}`);
  if (flow.state?.toLowerCase() === 'established' && flow.packetsToClient >= 1 && payloadToServer(alert)) {
    return proven('flow', `TCP, established with payload to the server, ${counts}`);
  }
  if (known) return unproven(`TCP, ${appProto}, but ${counts}`);
  return unproven(`TCP, ${counts}, no application protocol and no established flow with payload`);
}

/**
 * Whether the initiator sent payload. EVE counts whole frames; a SYN has at
 * most 40 bytes of TCP header, later packets 32 (RFC 9293, RFC 7323), each with
 * Ethernet and one VLAN tag before it.
 */
function payloadToServer({ flow, src }: EveAlert): boolean {
  if (flow === null || flow.packetsToServer < 2) return false;
  const headers = 14 + 4 + (src?.address.includes(':') ? 40 : 20) + 32;
  return flow.bytesToServer > flow.packetsToServer * headers + 8;
}

function proven(proof: Proof, detail: string): Evidence {
  return { proof, detail, sourceIsChance: false };
}

function unproven(detail: string, sourceIsChance = false): Evidence {
  return { proof: null, detail, sourceIsChance };
}
