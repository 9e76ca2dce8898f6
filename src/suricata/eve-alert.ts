/**
 * suricata: the alert path's source. `eve-source` is all that the configuration
 * names: `eve-tailer` follows eve.json files through every kind of rotation and
 * `bookmark` says where it was; `eve-unix` listens on a socket; `eve-redis`
 * takes from lists and streams. `eve-reader` finds the few lines that carry an
 * alert and reads only those, `eve-alert` is what an alert is to the rest of the program.
 */
import type { EpochMs } from '../base/clock.js';
import { type Address, parseAddress } from '../net/address.js';
import { type Prefix, parseHost } from '../net/prefix.js';
import { parseTimestamp } from './timestamp.js';

/** One end of the packet or flow; addresses canonical. */
export interface Endpoint {
  readonly address: Address;
  /** The same address as numbers, read once. */
  readonly host: Prefix;
  /** `null` for protocols without ports. */
  readonly port: number | null;
}

/** The subset of an EVE `alert` record that decisions need (Suricata manual, EVE JSON format). Unknown parts are absent, never guessed. */
export interface EveAlert {
  /** Event time with the record's own offset applied. */
  readonly at: EpochMs;
  readonly gid: number;
  readonly sid: number;
  readonly rev: number;
  readonly signature: string;
  readonly category: string;
  /** 1-255, lower is worse. */
  readonly severity: number;
  readonly action: 'allowed' | 'blocked';
  /** `verdict.action` in lower case where the record carries one: `alert`, `pass`, `drop`... */
  readonly verdict: string | null;
  /** The packet's sender and receiver: NOT attacker and victim. `null` when the record has no usable addresses. */
  readonly src: Endpoint | null;
  readonly dest: Endpoint | null;
  /** Upper case and one name for each, whatever the version logs: TCP, UDP, ICMP, IPV6-ICMP, GRE...; '' when absent. */
  readonly proto: string;
  /** Lower case. */
  readonly appProto: string | null;
  readonly direction: 'to_server' | 'to_client' | null;
  readonly flowId: number | null;
  readonly flow: {
    /** Flow initiator and responder (Suricata >= 7). */
    readonly src: Endpoint | null;
    readonly dest: Endpoint | null;
    readonly packetsToServer: number;
    readonly packetsToClient: number;
    readonly bytesToServer: number;
    readonly bytesToClient: number;
    /** `new`, `established`, `closed`..., or a state of TCP, where logged; lower case. */
    readonly state: string | null;
    readonly start: EpochMs | null;
  } | null;
  /** `alert.source` / `alert.target` of rules with the `target` keyword. */
  readonly ruleSource: Address | null;
  readonly ruleTarget: Address | null;
  readonly metadata: Readonly<Record<string, readonly string[]>>;
  /** X-Forwarded-For as logged, unsplit. */
  readonly xff: string | null;
  /** Set when the packet was seen inside a tunnel: depth >= 1 with other outer addresses, or `pkt_src` says so. */
  readonly tunnelled: boolean;
  readonly icmpType: number | null;
  readonly packetSource: string | null;
}

/** Why a line that should carry an alert is not used; counted, never fatal. */
export type UnusableCause =
  | 'truncated'
  | 'not_json'
  | 'not_an_object'
  | 'pretty_printed'
  | 'not_an_alert'
  | 'no_sid'
  | 'no_timestamp'
  /** It has only the `@timestamp` that Logstash or Filebeat put in: when it was shipped, not when it happened. */
  | 'shipper_timestamp'
  | 'no_addresses'
  | 'bad_address'
  | 'too_long';

/** What reading one stretch of a source gave. Handed on in file order. */
export interface EveBatch {
  /** The path (or address, without its password) that was read. */
  readonly source: string;
  readonly alerts: readonly EveAlert[];
  /** Lines read, alerts or not. */
  readonly lines: number;
  /** Opaque text to store with the effects of this batch and to give back at the next start; `null` for a source that has no place to go back to. */
  readonly position: string | null;
}

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOr<Fallback>(value: unknown, fallback: Fallback): string | Fallback {
  return typeof value === 'string' ? value : fallback;
}

/** A whole number of at least `least` and at most `most`; `null` for anything else, numbers in quotes included. */
function whole(value: unknown, least: number, most: number): number | null {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most ? (value as number) : null;
}

function count(value: unknown): number {
  return whole(value, 0, Number.MAX_SAFE_INTEGER) ?? 0;
}

/** Raised inside this file only: an address field that is there and is no address. */
class BadAddress extends Error {}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}

/**
 * Numbers of protocols that a decision looks at, and names that differ between
 * versions; where a name is unknown to the machine, older versions log the
 * number in three digits.
 */
const PROTOS = new Map([
  ['1', 'ICMP'],
  ['6', 'TCP'],
  ['17', 'UDP'],
  ['58', 'IPV6-ICMP'],
  ['132', 'SCTP'],
  ['ICMPV6', 'IPV6-ICMP'],
  ['ICMP6', 'IPV6-ICMP'],
]);

/** The one name of a protocol, however it is spelled: `tcp`, `6` and `006` are `TCP`. */
export function protoName(text: string): string {
  if (text === 'TCP' || text === 'UDP') return text;
  const name = text
    .trim()
    .toUpperCase()
    .replace(/^0+(?=\d)/, '');
  return PROTOS.get(name) ?? name;
}

function protoOf(value: unknown): string {
  return typeof value === 'number' ? protoName(String(value)) : protoName(textOr(value, ''));
}

/** Protocols with ports; older versions log port 0 for ICMP. */
const PORTED = new Set(['TCP', 'UDP', 'SCTP', 'DCCP', 'UDPLITE']);

function endpoint(ip: unknown, port: unknown, proto: string): Endpoint | null {
  if (isAbsent(ip)) return null;
  const host = parseHost(ip);
  if (host === null) throw new BadAddress();
  const number = whole(port, 0, 65_535);
  return { address: host.text as Address, host, port: number === 0 && !PORTED.has(proto) ? null : number };
}

/** The ends of the flow are those of the packet in one order or the other, so that they are seldom read twice. */
function flowEnd(ip: unknown, port: unknown, record: Fields, src: Endpoint, dest: Endpoint | null, proto: string) {
  if (ip === record['src_ip'] && port === record['src_port']) return src;
  if (dest !== null && ip === record['dest_ip'] && port === record['dest_port']) return dest;
  return endpoint(ip, port, proto);
}

function flowOf(
  record: Fields,
  src: Endpoint,
  dest: Endpoint | null,
  proto: string,
  assumeUtc: boolean,
): EveAlert['flow'] {
  const flow = record['flow'];
  if (!isFields(flow)) return null;
  const tcp = record['tcp'];
  return {
    src: flowEnd(flow['src_ip'], flow['src_port'], record, src, dest, proto),
    dest: flowEnd(flow['dest_ip'], flow['dest_port'], record, src, dest, proto),
    packetsToServer: count(flow['pkts_toserver']),
    packetsToClient: count(flow['pkts_toclient']),
    bytesToServer: count(flow['bytes_toserver']),
    bytesToClient: count(flow['bytes_toclient']),
    state: (textOr(flow['state'], '') || (isFields(tcp) ? textOr(tcp['state'], '') : '')).toLowerCase() || null,
    start: parseTimestamp(flow['start'], assumeUtc),
  };
}

/** The action, in lower case; what else the versions put beside it (`reject-target`, `reject_target`) decides nothing. */
function verdictOf(verdict: unknown): string | null {
  const action = isFields(verdict) ? verdict['action'] : verdict;
  return typeof action === 'string' ? action.toLowerCase() : null;
}

const NO_METADATA: EveAlert['metadata'] = Object.freeze({});

function metadataOf(value: unknown): EveAlert['metadata'] {
  if (!isFields(value)) return NO_METADATA;
  const entries: [string, readonly string[]][] = [];
  for (const [key, values] of Object.entries(value)) {
    const list = (Array.isArray(values) ? values : [values])
      .filter((item) => typeof item === 'string' || typeof item === 'number')
      .map(String);
    if (list.length > 0) entries.push([key, list]);
  }
  // fromEntries defines properties; assignment would let a key named __proto__ set the prototype.
  return Object.fromEntries(entries);
}

/**
 * Whether the packet was inside a tunnel. Suricata 7 logs `tunnel` with depth 0
 * and the packet's own addresses for a packet put together from fragments: none.
 */
function isTunnelled(record: Fields, src: Endpoint, dest: Endpoint | null): boolean {
  const packetSource = record['pkt_src'];
  if (typeof packetSource === 'string' && (packetSource.includes('tunnel') || packetSource.includes('encapsulation'))) {
    return true;
  }
  const tunnel = record['tunnel'];
  if (!isFields(tunnel)) return false;
  const depth = tunnel['depth'];
  if (typeof depth === 'number' && depth < 1) return false;
  const outerSrc = parseAddress(tunnel['src_ip']);
  const outerDest = parseAddress(tunnel['dest_ip']);
  return outerSrc !== src.address || outerDest !== (dest?.address ?? null);
}

/**
 * Reads one parsed EVE record. Tolerant of every shape that Suricata 6, 7, 8
 * and those of 2017 write; only the event type, the signature id, the time and
 * the sender's address are required. Never throws.
 *
 * @param assumeUtc reads times without an offset as UTC, for records of old whose offset nobody knows
 * @returns the alert, or why the record cannot be used
 */
export function parseAlert(record: unknown, assumeUtc = false): EveAlert | UnusableCause {
  if (!isFields(record)) return 'not_an_object';
  const alert = record['alert'];
  if (record['event_type'] !== 'alert' || !isFields(alert)) return 'not_an_alert';
  const sid = whole(alert['signature_id'], 1, 0xffff_ffff);
  const gid = alert['gid'] === undefined ? 1 : whole(alert['gid'], 0, 0xffff_ffff);
  const rev = alert['rev'] === undefined ? 0 : whole(alert['rev'], 0, 0xffff_ffff);
  if (sid === null || gid === null || rev === null) return 'no_sid';
  const { timestamp } = record;
  const at = parseTimestamp(timestamp, assumeUtc);
  if (at === null) return isAbsent(timestamp) && !isAbsent(record['@timestamp']) ? 'shipper_timestamp' : 'no_timestamp';
  const proto = protoOf(record['proto']);
  const { source, target } = alert;
  try {
    const src = endpoint(record['src_ip'], record['src_port'], proto);
    if (src === null) return 'no_addresses';
    const dest = endpoint(record['dest_ip'], record['dest_port'], proto);
    const direction = record['direction'];
    return {
      at,
      gid,
      sid,
      rev,
      signature: textOr(alert['signature'], ''),
      category: textOr(alert['category'], ''),
      // A priority that is missing or out of range must not look urgent: lower is worse.
      severity: whole(alert['severity'], 1, 255) ?? 255,
      action: alert['action'] === 'blocked' ? 'blocked' : 'allowed',
      verdict: verdictOf(record['verdict']),
      src,
      dest,
      proto,
      appProto: textOr(record['app_proto'], '').toLowerCase() || null,
      direction: direction === 'to_server' || direction === 'to_client' ? direction : null,
      flowId: whole(record['flow_id'], 0, Number.MAX_SAFE_INTEGER),
      flow: flowOf(record, src, dest, proto, assumeUtc),
      ruleSource: isFields(source) ? parseAddress(source['ip']) : null,
      ruleTarget: isFields(target) ? parseAddress(target['ip']) : null,
      metadata: metadataOf(alert['metadata']),
      xff: textOr(alert['xff'], null) ?? textOr(record['xff'], null),
      tunnelled: isTunnelled(record, src, dest),
      icmpType: whole(record['icmp_type'], 0, 255),
      packetSource: textOr(record['pkt_src'], null),
    };
  } catch (error) {
    if (error instanceof BadAddress) return 'bad_address';
    throw error;
  }
}
