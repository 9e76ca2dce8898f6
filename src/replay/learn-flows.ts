import type { Seconds } from '../base/clock.js';
import type { TrafficProfile } from '../filter/learn/profile.js';
import { parseWords, unmapped } from '../net/address.js';
import { Packet, PROTOCOL, TCP_FLAG } from '../net/packet.js';
import { parseTimestamp } from '../suricata/timestamp.js';

/** Flows are told at their end; so many are put in the order of their beginnings at a time. */
const SORTED = 250_000;
const MOST_PINGS = 100_000;
const NEWLINE = 10;
const FLOW = ['"event_type":"flow"', '"event_type": "flow"'].map((text) => Buffer.from(text));
const UDP = 17;
const SYN_ACK = TCP_FLAG.SYN | TCP_FLAG.ACK;

/** A flow as the filter would have seen its first packet. */
interface Begun {
  readonly at: number;
  readonly source: string;
  readonly target: string;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly targetPort: number;
  readonly type: number;
  readonly length: number;
  /** Packets of the one that began it, and over how long, seconds: each echo request counts. */
  readonly packets: number;
  readonly lasted: number;
  readonly completed: boolean;
}

/** Gives a profile the flow events of eve files. */
export class FlowLearner {
  flows = 0;
  unusable = 0;
  /** The time of the last flow; never goes back. */
  now = 0;
  readonly #profile: TrafficProfile;
  readonly #icmpWindow: Seconds;
  readonly #packet = new Packet();
  #waiting: Begun[] = [];

  /** @param icmpWindow seconds that ICMP is counted over */
  constructor(profile: TrafficProfile, icmpWindow: Seconds) {
    this.#profile = profile;
    this.#icmpWindow = icmpWindow;
  }

  /** @param lines complete lines */
  take(lines: Buffer): void {
    for (let start = 0; start < lines.length; ) {
      let end = lines.indexOf(NEWLINE, start);
      if (end < 0) end = lines.length;
      const line = lines.subarray(start, end);
      if (FLOW.some((mark) => line.includes(mark))) this.#line(line);
      start = end + 1;
    }
  }

  end(): void {
    this.#give(this.#waiting.length);
  }

  #line(line: Buffer): void {
    let flow: Begun | null = null;
    try {
      flow = begunOf(JSON.parse(line.toString('utf8')) as Record<string, unknown>);
    } catch {
      // A line that is cut.
    }
    if (flow === null) {
      this.unusable += 1;
      return;
    }
    this.flows += 1;
    this.#waiting.push(flow);
    if (this.#waiting.length >= SORTED) this.#give(SORTED >> 1);
  }

  #give(count: number): void {
    this.#waiting.sort((a, b) => a.at - b.at);
    for (const flow of this.#waiting.slice(0, count)) this.#note(flow);
    this.#waiting = this.#waiting.slice(count);
  }

  #note(flow: Begun): void {
    const p = this.#packet;
    if (!fill(p, flow)) return;
    this.now = Math.max(this.now, Math.floor(flow.at));
    const isEcho = flow.protocol === PROTOCOL.ICMP || flow.protocol === PROTOCOL.ICMPV6;
    // A long flow of pings counts as what of it falls into the time that is counted over.
    const share = Math.min(1, this.#icmpWindow / Math.max(flow.lasted, 1e-3));
    const times = isEcho ? Math.min(Math.ceil(flow.packets * share), MOST_PINGS) : 1;
    for (let i = 0; i < times; i++) this.#profile.note(p, this.now);
    if (flow.completed) this.#profile.completed(p);
  }
}

const PROTOCOLS: Readonly<Record<string, number>> = {
  TCP: PROTOCOL.TCP,
  UDP,
  ICMP: PROTOCOL.ICMP,
  'IPv6-ICMP': PROTOCOL.ICMPV6,
};

/** What a flow event says; `null` when it lacks what is needed. */
function begunOf(record: Record<string, unknown>): Begun | null {
  if (record['event_type'] !== 'flow') return null;
  const flow = record['flow'] as Record<string, unknown> | undefined;
  const tcp = record['tcp'] as Record<string, unknown> | undefined;
  const { src_ip: source, dest_ip: target, proto } = record as Record<string, unknown>;
  const at = parseTimestamp(flow?.['start'] ?? record['timestamp'], true);
  const protocol = typeof proto === 'string' ? PROTOCOLS[proto] : undefined;
  if (at === null || protocol === undefined || typeof source !== 'string' || typeof target !== 'string') return null;
  const number = (value: unknown) => (typeof value === 'number' && value >= 0 ? value : 0);
  const toServer = number(flow?.['pkts_toserver']);
  const flags = (key: string) => Number.parseInt(String(tcp?.[key]), 16);
  return {
    at,
    source,
    target,
    protocol,
    sourcePort: number(record['src_port']),
    targetPort: number(record['dest_port']),
    type: number(record['icmp_type']),
    // Of a flow only the mean of its packets is known; frames are counted with their Ethernet header.
    length: Math.max(0, Math.round(number(flow?.['bytes_toserver']) / Math.max(1, toServer)) - 14),
    packets: toServer,
    lasted: Math.max(0, ((parseTimestamp(flow?.['end'], true) ?? at) - at) / 1000),
    // SYN+ACK came back, and an ACK went there.
    completed:
      protocol === PROTOCOL.TCP &&
      (flags('tcp_flags_tc') & SYN_ACK) === SYN_ACK &&
      (flags('tcp_flags_ts') & TCP_FLAG.ACK) !== 0,
  };
}

function fill(p: Packet, flow: Begun): boolean {
  const [source, target] = [flow.source, flow.target].map((text) => {
    const words = parseWords(text);
    return words === null ? null : unmapped(words);
  });
  if (!source || !target || source.family !== target.family) return false;
  p.family = source.family;
  p.source0 = source.w0;
  p.source1 = source.w1;
  p.source2 = source.w2;
  p.source3 = source.w3;
  p.target0 = target.w0;
  p.target1 = target.w1;
  p.target2 = target.w2;
  p.target3 = target.w3;
  p.protocol = flow.protocol;
  p.length = flow.length;
  p.sourcePort = flow.sourcePort;
  p.targetPort = flow.targetPort;
  p.flags = TCP_FLAG.SYN;
  p.type = flow.type;
  p.code = 0;
  return true;
}
