import type { EpochMs } from '../base/clock.js';
import { type Address, parseAddress } from '../net/address.js';
import { parseTimestamp } from '../suricata/timestamp.js';

export type BenignKind = 'flow' | 'http' | 'tls';

/** A connection, request or session that worked. */
export interface BenignEvent {
  readonly kind: BenignKind;
  /** When it went on; the same moment for a request. */
  readonly from: EpochMs;
  readonly until: EpochMs;
  readonly client: Address;
  readonly server: Address;
  readonly serverPort: number | null;
  /** `GET www.example.org/index.html 200`, `TLS 1.3 www.example.org`, `TCP 10 packets in, 12 back`. */
  readonly what: string;
}

type Fields = Readonly<Record<string, unknown>>;
const NONE: Fields = {};
const LONGEST = 200;

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : NONE;
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

/**
 * Reads a parsed eve record of type flow, http or tls.
 *
 * @param hadAlert whether a flow with this id raised an alert
 * @returns `null` unless it shows that both ends talked, and no alert spoke of its flow
 */
export function benignEvent(record: unknown, hadAlert: (flowId: number) => boolean): BenignEvent | null {
  const event = fields(record);
  const kind = event['event_type'];
  if (kind !== 'flow' && kind !== 'http' && kind !== 'tls') return null;
  const at = parseTimestamp(event['timestamp'], true);
  const client = parseAddress(event['src_ip']);
  const server = parseAddress(event['dest_ip']);
  const flowId = event['flow_id'];
  if (at === null || client === null || server === null) return null;
  const flow = fields(event['flow']);
  if (typeof flowId === 'number' ? hadAlert(flowId) : flow['alerted'] === true) return null;
  const what = kind === 'flow' ? flowText(event, flow) : kind === 'http' ? httpText(event) : tlsText(event);
  if (what === null) return null;
  const port = event['dest_port'];
  return {
    kind,
    from: kind === 'flow' ? (parseTimestamp(flow['start'], true) ?? at) : at,
    until: kind === 'flow' ? (parseTimestamp(flow['end'], true) ?? at) : at,
    client,
    server,
    serverPort: typeof port === 'number' && port > 0 ? port : null,
    what: what.slice(0, LONGEST),
  };
}

/** A connection is one when something was said after the handshake: a scan that meets an open port is none. */
function flowText(event: Fields, flow: Fields): string | null {
  const toServer = number(flow['pkts_toserver']);
  const toClient = number(flow['pkts_toclient']);
  const proto = String(event['proto']).toUpperCase();
  const tcp = proto === 'TCP';
  if (!tcp && proto !== 'UDP') return null;
  if (tcp && flow['state'] === 'new') return null;
  return toServer >= (tcp ? 3 : 1) && toClient >= (tcp ? 2 : 1)
    ? `${proto} ${toServer} packets in, ${toClient} back`
    : null;
}

function httpText(event: Fields): string | null {
  const http = fields(event['http']);
  const status = number(http['status']);
  if (status < 200 || status > 399) return null;
  return `${http['http_method'] ?? '?'} ${http['hostname'] ?? ''}${http['url'] ?? ''} ${status}`;
}

function tlsText(event: Fields): string | null {
  const tls = fields(event['tls']);
  const version = tls['version'];
  if (typeof version !== 'string' || version === 'UNDETERMINED') return null;
  return `${version} ${tls['sni'] ?? ''}`.trim();
}
