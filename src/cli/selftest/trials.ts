import type { CountThreshold, FilterConfig, PacketRule, RateThreshold } from '../../config/config.js';
import type { DetectorName } from '../../filter/detection.js';
import { formatWords } from '../../net/address.js';
import { TCP_FLAG } from '../../net/packet.js';
import type { Shots } from './packets.js';
import { attackerOf, PORT, SERVER } from './world.js';

const { SYN, ACK, FIN, PSH, URG } = TCP_FLAG;

/** What has to come of an attack. */
export type Expected = 'ban' | 'flood' | 'drop' | 'pass';

export interface Trial {
  readonly name: DetectorName | 'flood' | 'land' | 'icmp_size' | `rule ${number}`;
  /** Why there is nothing to attack; `null` = attack. */
  readonly off: string | null;
  readonly expected: Expected;
  /** Address whose packets are counted and looked for among the banned. */
  readonly source: string;
  readonly shots: Shots;
  /** Detectors that would see this attack first, switched off for it. */
  readonly without: readonly string[];
  /** Seconds since the start before which it cannot be seen. */
  readonly notBefore: number;
}

/** An attack sends this much more than what the threshold allows. */
const MORE = 1.5;
/** Attacks are made within about this time, s, where other limits allow it. */
const QUICK = 2;
const LONGEST = 15;
const FASTEST = 40_000;
/** An ACK out of nowhere means something only when conntrack has known the network for this long, s. */
const ACK_SCAN_AFTER = 125;
const MOST_RULES = 8;

/** The attack of each detector, scaled to its threshold. */
export function trialsOf(filter: FilterConfig): Trial[] {
  const { syn, icmp, udp, flood } = filter;
  const list: Trial[] = [];
  const add = (
    name: Trial['name'],
    threshold: unknown,
    shots: Partial<Shots> & Pick<Shots, 'protocol' | 'count' | 'perSecond'>,
    more: Partial<Trial> = {},
  ) => {
    const source = attackerOf(list.length);
    list.push({
      name,
      off: threshold === null || threshold === false ? 'off' : null,
      expected: 'ban',
      source,
      shots: { ...PLAIN, source, ...shots },
      without: [],
      notBefore: 0,
      ...more,
    });
  };
  add('syn_rate', syn, { protocol: 'tcp', ...overRate(syn) });
  add('icmp_rate', icmp, { protocol: 'icmp', port: 8, size: 84, ...overRate(icmp) });
  add('udp_rate', udp, { protocol: 'udp', port: 5353, size: 60, ...overRate(udp) });
  const ports = (threshold: CountThreshold | null) => overCount(threshold, syn);
  const scan = (threshold: CountThreshold | null) => ({
    ...ports(threshold),
    port: 2000,
    ports: ports(threshold).count,
  });
  add('port_scan', filter.scan, { protocol: 'tcp', ...scan(filter.scan) });
  add('slow_scan', filter.slowScan, { protocol: 'tcp', ...scan(filter.slowScan) }, { without: ['scan'] });
  const hosts = (threshold: CountThreshold | null, limit: RateThreshold | null) => {
    const over = overCount(threshold, limit);
    return { ...over, target: '10.66.1.1', targets: over.count };
  };
  add('host_sweep', filter.sweep, { protocol: 'tcp', port: 2323, ...hosts(filter.sweep, syn) });
  add('ping_sweep', filter.pingSweep, { protocol: 'icmp', port: 8, size: 84, ...hosts(filter.pingSweep, icmp) });
  add('stealth_scan', filter.stealth, {
    protocol: 'tcp',
    flags: [0, FIN, FIN | PSH | URG, SYN | FIN],
    ...scan(filter.stealth),
  });
  add(
    'ack_scan',
    filter.ackScan,
    { protocol: 'tcp', flags: [ACK], ...scan(filter.ackScan) },
    { notBefore: ACK_SCAN_AFTER },
  );
  const perSecond = (flood?.perSecond ?? 1) * 2.5;
  add(
    'flood',
    flood,
    {
      protocol: 'tcp',
      source: 'random',
      perSecond: Math.min(FASTEST, perSecond),
      count: Math.ceil(perSecond * ((flood?.during ?? 1) + QUICK)),
    },
    { expected: 'flood' },
  );
  const dropped: Partial<Trial> = { expected: 'drop' };
  const land = { protocol: 'tcp', source: SERVER, sourcePort: PORT, count: 20, perSecond: 100 } as const;
  add('land', filter.land, land, { ...dropped, source: SERVER });
  const size = icmp?.dropLargerThan ?? null;
  add(
    'icmp_size',
    size,
    { protocol: 'icmp', port: 8, size: Math.min(65_000, (size ?? 0) + 100), count: 3, perSecond: 3 },
    dropped,
  );
  for (const [index, rule] of filter.rules.slice(0, MOST_RULES).entries()) {
    const source = rule.from.length > 0 ? hostOf(rule.from) : attackerOf(list.length);
    const shots = shotsOf(rule, source);
    const kind = rule.then.kind;
    const name: Trial['name'] = kind === 'ban' ? 'packet_rule' : `rule ${index + 1}`;
    const passes = index > 0 ? 'an earlier rule may match it first' : null;
    const off = shots === null ? 'its packets cannot be made here' : kind === 'accept' ? passes : null;
    const expected = kind === 'ban' ? 'ban' : kind === 'accept' ? 'pass' : 'drop';
    add(name, true, shots ?? land, { expected, off, source });
  }
  if (!list.some(({ name }) => name === 'packet_rule')) add('packet_rule', null, land, { off: 'no rule bans' });
  return list;
}

const PLAIN: Shots = {
  protocol: 'tcp',
  source: '',
  target: SERVER,
  targets: 1,
  port: PORT,
  ports: 1,
  sourcePort: null,
  flags: [SYN],
  size: 40,
  count: 1,
  perSecond: 1,
};

/** The highest of what holds at any hour. */
function limitOf(always: number, hours: readonly { readonly limit: number }[] | undefined): number {
  const limits = [always, ...(hours ?? []).map(({ limit }) => limit)].filter(Number.isFinite);
  return limits.length === 0 ? 1 : Math.max(...limits);
}

function overRate(threshold: RateThreshold | null): Pick<Shots, 'count' | 'perSecond'> {
  if (threshold === null) return { count: 1, perSecond: 1 };
  const allowed = limitOf(threshold.perSecond, threshold.hours) * threshold.during;
  const count = Math.ceil(allowed * MORE) + 20;
  const perSecond = Math.min(FASTEST, Math.max(count / QUICK, (count / threshold.during) * 1.2));
  return { count, perSecond };
}

/** @param rate of the detector that would see packets that come faster */
function overCount(threshold: CountThreshold | null, rate: RateThreshold | null): Pick<Shots, 'count' | 'perSecond'> {
  if (threshold === null) return { count: 1, perSecond: 1 };
  const count = Math.ceil(limitOf(threshold.most, threshold.hours) * MORE) + 5;
  const wanted = count / Math.min(QUICK, threshold.within / 2);
  const below = rate === null ? FASTEST : limitOf(rate.perSecond, rate.hours) / 2;
  return { count, perSecond: Math.min(FASTEST, Math.max(count / LONGEST, Math.min(wanted, below))) };
}

/** Some packets that a rule speaks of; `null` when the sender cannot make them, or they would not reach the server. */
function shotsOf(rule: PacketRule, source: string): Shots | null {
  const protocol = rule.protocol ?? (rule.targetPorts.length > 0 ? 'tcp' : 'udp');
  if (protocol === 'icmpv6' || rule.from.some(({ family }) => family === 6) || rule.to.length > 0) return null;
  const port = protocol === 'icmp' ? (rule.icmpTypes[0] ?? 8) : (rule.targetPorts[0]?.[0] ?? 9999);
  const least = { icmp: 28, tcp: 40, udp: 28 }[protocol];
  const size = rule.largerThan === null ? least : Math.max(least, rule.largerThan + 1);
  if ((rule.smallerThan !== null && size >= rule.smallerThan) || size > 65_000) return null;
  return {
    ...PLAIN,
    protocol,
    source,
    port,
    sourcePort: rule.sourcePorts[0]?.[0] ?? null,
    flags: [rule.flags?.value ?? SYN],
    size,
    count: 5,
    perSecond: 20,
  };
}

/** An address inside the first network. */
function hostOf([net]: PacketRule['from']): string {
  if (net === undefined || net.family === 6) return '';
  return formatWords({ family: 4, w0: net.length === 32 ? net.w0 : net.w0 + 1, w1: 0, w2: 0, w3: 0 });
}
