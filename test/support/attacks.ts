/** What is tried against the packet path, and what has to come of it. */
import type { DetectorName } from '../../src/filter/detection.js';
import { GATEWAY, NETWORK, NETWORK6, SERVER, SERVER6 } from './lab.js';

/** The windows of the two slow counts are shortened, so that a slow scan takes seconds; the counts are those shipped. */
export const FILTER = {
  udp: { more_than: '300/s per source', during: '3s', then: 'ban 10m' },
  scan: { more_than: '30 ports per source', within: '5s', then: 'ban 10m' },
  slow_scan: { more_than: '60 ports per source', within: '60s', then: 'ban 10m' },
};

export interface Attack {
  readonly name: string;
  readonly family: 4 | 6;
  readonly command: readonly [string, ...string[]];
  /** Any of these may be the one that sees it first; none where nobody is to be banned. */
  readonly seenBy: readonly DetectorName[];
  /** `host`: unproven. `fleet`: the attacker completed connections. `none`: its packets are dropped, nobody is banned. */
  readonly scope: 'host' | 'fleet' | 'none';
  /** Packets that may come past the filter at most. */
  readonly atMost: number;
  /** Milliseconds from the first packet to the ban, at most. */
  readonly within: number;
}

type Outcome = Partial<Omit<Attack, 'name' | 'family' | 'command'>>;

const QUICK = 8000;

function row(name: string, family: 4 | 6, command: Attack['command'], outcome: Outcome): Attack {
  return { name, family, command, seenBy: ['port_scan'], scope: 'host', atMost: 60, within: QUICK, ...outcome };
}

/** A scan with nmap as people start it, but without retries, which only make it longer. */
function nmap(flags: string, outcome: Outcome = {}, target = SERVER): Attack {
  const words = flags.split(' ');
  const family = target.includes(':') ? 6 : 4;
  const command = ['nmap', ...(family === 6 ? ['-6'] : []), '-n', '--max-retries', '0', ...words, target] as const;
  const shown = `nmap ${family === 6 ? '-6 ' : ''}${flags.replace(' -Pn', '')}`;
  return row(target === SERVER || target === SERVER6 ? shown : `${shown} ${target}`, family, command, outcome);
}

function hping(flags: string, outcome: Outcome, target = SERVER): Attack {
  return row(`hping3 ${flags}`, 4, ['hping3', '-q', ...flags.split(' '), target], outcome);
}

const stealth: Outcome = { seenBy: ['stealth_scan'], atMost: 0 };
const sweep: Outcome = { seenBy: ['host_sweep', 'ping_sweep'], atMost: 100 };
const PORTS = '-Pn -p 1-400';
/** hping3 knows IPv4 only. */
const NPING6 = [
  'nping',
  '-6',
  '--tcp',
  '--flags',
  'syn',
  '-p',
  '80',
  '--rate',
  '1500',
  '-c',
  '4000',
  '-HN',
  SERVER6,
] as const;

/** Each from a source of its own; several go on at the same time. */
export const SCANS: readonly Attack[] = [
  nmap(`-sS ${PORTS}`),
  // Open ports come first with nmap, and it completes the connections to them.
  nmap(`-sT ${PORTS}`, { scope: 'fleet', atMost: 120 }),
  nmap(`-sN ${PORTS}`, stealth),
  nmap(`-sF ${PORTS}`, stealth),
  nmap(`-sX ${PORTS}`, stealth),
  nmap(`-sS --scanflags SYNFIN ${PORTS}`, stealth),
  nmap(`-sU --min-rate 200 ${PORTS}`, { seenBy: ['port_scan', 'udp_rate'] }),
  nmap('-sO -Pn', {}),
  nmap(`-sY ${PORTS}`),
  nmap(`-sZ ${PORTS}`),
  nmap(`-sS -f ${PORTS}`),
  nmap(`-sS -D 8.8.8.8,1.1.1.1,ME ${PORTS}`, { atMost: 180 }),
  nmap(`-sS --source-port 53 ${PORTS}`),
  nmap(`-sS -T4 -F -Pn`),
  nmap('-sS --max-rate 4 -Pn -p 1-120', { seenBy: ['slow_scan'], atMost: 80, within: 40_000 }),
  nmap('-sS -Pn -p 1001-1006', { seenBy: ['port_scan', 'host_sweep'], atMost: 120 }, NETWORK),
  nmap('-sS -Pn -p 23', sweep, NETWORK),
  nmap('-sn -PE', sweep, NETWORK),
  nmap('-sn', sweep, NETWORK),
  nmap('-sn -PS81', sweep, NETWORK),
  nmap(`-sS ${PORTS}`, {}, SERVER6),
  nmap(`-sT ${PORTS}`, { scope: 'fleet', atMost: 120 }, SERVER6),
  nmap(`-sN ${PORTS}`, stealth, SERVER6),
  nmap(`-sX ${PORTS}`, stealth, SERVER6),
  nmap(`-sU --min-rate 200 ${PORTS}`, { seenBy: ['port_scan', 'udp_rate'] }, SERVER6),
  nmap('-sS -Pn -p 23', sweep, NETWORK6),
  nmap('-sn -PE', sweep, NETWORK6),
];

/** One after the other: each takes much of a small machine. */
export const FLOODS: readonly Attack[] = [
  hping('-S -p 80 -i u500 -c 4000', { seenBy: ['syn_rate'], atMost: 650 }),
  hping('-S -p ++1 -i u1000 -c 2000', { seenBy: ['port_scan'], atMost: 60 }),
  hping('-1 -i u1000 -c 2000', { seenBy: ['icmp_rate'], atMost: 160 }),
  hping('-2 -p 53 -i u500 -c 4000', { seenBy: ['udp_rate'], atMost: 950 }),
  row('ping -6 -i 0.002', 6, ['ping', '-6', '-n', '-q', '-i', '0.002', '-c', '2000', SERVER6], {
    seenBy: ['icmp_rate'],
    atMost: 160,
  }),
  row('nping -6 --tcp --flags syn', 6, NPING6, { seenBy: ['syn_rate'], atMost: 650 }),
  hping('-1 -d 2000 -i u50000 -c 20', { seenBy: [], scope: 'none', atMost: 0 }),
  hping(`-S -a ${SERVER} -s 80 -k -p 80 -i u50000 -c 20`, { seenBy: [], scope: 'none', atMost: 0 }),
  hping(`-S -a ${GATEWAY} -p 8080 -i u500 -c 4000`, { seenBy: [], scope: 'none', atMost: 4000 }),
  hping('-S -a 9.9.9.9 -p 8080 -i u500 -c 4000', { seenBy: [], scope: 'none', atMost: 4000 }),
];

/** Against another service than the one that the innocent client uses. */
export const RANDOM_SOURCES = hping('-S --rand-source -p 443 -i u100 -c 60000', {
  seenBy: [],
  scope: 'none',
  atMost: 60_000,
});

/**
 * A stray ACK says something only when the rules, and conntrack with them, have been there for two
 * minutes. Only answers that the server gave count, so that as many pass as are sent
 * meanwhile, within milliseconds.
 */
export const LATE: readonly Attack[] = [
  nmap('-sA --max-rate 1000 -Pn -p 1-1000', { seenBy: ['ack_scan'], atMost: 300 }),
  nmap('-sW --max-rate 1000 -Pn -p 1-1000', { seenBy: ['ack_scan'], atMost: 300 }),
  nmap('-sM --max-rate 1000 -Pn -p 1-1000', { seenBy: ['ack_scan', 'stealth_scan'], atMost: 300 }),
  nmap('-sA --max-rate 1000 -Pn -p 1-1000', { seenBy: ['ack_scan'], atMost: 300 }, SERVER6),
];
