import { z } from 'zod';
import { FOREVER } from '../base/clock.js';
import { parseDuration } from '../base/duration.js';
import type { FilterConfig, Hours, HoursLimit, PacketRule } from './config.js';
import {
  banOnly,
  duration,
  form,
  hostCount,
  hours,
  listOf,
  network,
  off,
  onOff,
  portCount,
  rate,
  ratePerDestination,
  say,
  shown,
  text,
  whole,
  word,
} from './scalars.js';
import { ALWAYS, section } from './section.js';

/**
 * The packet path (CONTRACT "filter"). A detector is one threshold, `off`, or a
 * list of thresholds of which each but one says at which hours it holds.
 */

const HOUR = 3600;
const between = hours.optional();

interface Timed {
  readonly between?: Hours | undefined;
}

/**
 * One threshold or several for different hours; all count over the same time.
 * @param over the key of that time
 */
function detector<Shape extends z.core.$ZodLooseShape>(shape: Shape, over: 'during' | 'within', defaults: unknown) {
  const one = section({ ...shape, between });
  const timed = z.array(one).min(1, say('is empty', 'write at least one threshold, or off'));
  const several = timed.superRefine((entries, context) => {
    if (!Array.isArray(entries)) return;
    const list = entries as readonly (Timed & Record<string, unknown>)[];
    const always = list.findIndex((entry) => entry.between === undefined);
    if (always >= 0 && always < list.length - 1) {
      const message = say('holds at any hour, so that what follows never counts', 'write it last, or give it between');
      context.addIssue({ code: 'custom', path: [always], message });
    }
    list.forEach((entry, index) => {
      if (entry[over] === list[0]?.[over]) return;
      const message = say(`is another than in the first entry`, `write the same ${over} in each entry`);
      context.addIssue({ code: 'custom', path: [index, over], message });
    });
  }, ALWAYS);
  return z
    .union([off, one.transform((value) => [value]), several], {
      error: (issue) => say(`${shown(issue.input)} is no threshold`, 'write off, or a mapping with more_than'),
    })
    .prefault(defaults as never);
}

const perSource = { more_than: rate, during: duration(1, 600), then: banOnly };
const ports = (longest: number) => ({ more_than: portCount, within: duration(1, longest), then: banOnly });
const hosts = { more_than: hostCount, within: duration(1, HOUR), then: banOnly };

const onePort = z.union([
  whole(0, 65_535, 'a port'),
  form({ what: 'a range of ports', fix: 'write one such as 8000-8099' }, (value) => {
    const match = /^(\d{1,5})-(\d{1,5})$/.exec(value);
    if (match === null || Number(match[1]) > Number(match[2]) || Number(match[2]) > 65_535) return null;
    return [Number(match[1]), Number(match[2])] as const;
  }),
]);

const ACTIONS = { what: 'what a packet rule does', fix: 'write accept, drop, reject, or ban 10m' };
const ruleAction = form<PacketRule['then']>(ACTIONS, (value) => {
  if (value === 'accept' || value === 'drop' || value === 'reject') return { kind: value };
  const match = /^ban +(.*)$/.exec(value);
  const seconds = match === null ? null : parseDuration(match[1] as string);
  return seconds === null || seconds === FOREVER ? null : { kind: 'ban', duration: seconds };
});
const packetRule = section({
  proto: word('tcp', 'udp', 'icmp', 'icmpv6').optional(),
  flags: listOf(word('syn', 'ack', 'fin', 'rst', 'psh', 'urg', 'none'), 1).optional(),
  from: listOf(network, 1).optional(),
  to: listOf(network, 1).optional(),
  sport: listOf(onePort, 1).optional(),
  dport: listOf(onePort, 1).optional(),
  icmp_type: listOf(whole(0, 255), 1).optional(),
  larger_than: whole(0, 65_535).optional(),
  smaller_than: whole(1, 65_535).optional(),
  then: ruleAction,
  note: text(500, 'a note').optional(),
}).superRefine((rule, context) => {
  const wrong = (path: string, message: string, fix: string) =>
    context.addIssue({ code: 'custom', path: [path], message: say(message, fix) });
  const { proto, flags } = rule;
  if (flags !== undefined && proto !== 'tcp') wrong('flags', 'flags are those of TCP', 'write proto: tcp');
  if (flags?.includes('none') && flags.length > 1) wrong('flags', 'none goes with no other flag', 'write flags: none');
  for (const key of ['sport', 'dport'] as const) {
    if (rule[key] !== undefined && proto !== 'tcp' && proto !== 'udp')
      wrong(key, 'ports are those of TCP and UDP', 'write proto: tcp or proto: udp');
  }
  if (rule.icmp_type !== undefined && proto !== 'icmp' && proto !== 'icmpv6')
    wrong('icmp_type', 'types are those of ICMP', 'write proto: icmp or proto: icmpv6');
  const family = proto === 'icmp' ? 4 : proto === 'icmpv6' ? 6 : null;
  for (const key of ['from', 'to'] as const) {
    if (family !== null && rule[key]?.some((net) => net.family !== family))
      wrong(key, `${proto} has no such addresses`, `write networks of IPv${family}`);
  }
  if (Object.keys(rule).every((key) => key === 'then' || key === 'note'))
    wrong('then', 'the rule would match every packet', 'write at least one condition, such as proto: udp');
}, ALWAYS);

export const filter = section({
  syn: detector(perSource, 'during', { more_than: '200/s per source', during: '3s', then: 'ban 10m' }),
  flood: z
    .union([
      off,
      section({
        more_than: ratePerDestination,
        during: duration(1, 600).prefault('3s'),
        sources: whole(2, 1_000_000).prefault(100),
        then: word('limit', 'synproxy').prefault('limit'),
      }),
    ])
    .prefault({ more_than: '2000/s per destination' }),
  icmp: detector({ ...perSource, drop_larger_than: z.union([off, whole(576, 65_535)]).optional() }, 'during', {
    more_than: '50/s per source',
    during: '3s',
    then: 'ban 10m',
    drop_larger_than: 1024,
  }),
  udp: detector(perSource, 'during', 'off'),
  scan: detector(ports(HOUR), 'within', { more_than: '30 ports per source', within: '60s', then: 'ban 10m' }),
  slow_scan: detector(ports(24 * HOUR), 'within', { more_than: '60 ports per source', within: '1h', then: 'ban 10m' }),
  sweep: detector(hosts, 'within', { more_than: '20 hosts per source', within: '60s', then: 'ban 10m' }),
  ping_sweep: detector(hosts, 'within', { more_than: '20 hosts per source', within: '60s', then: 'ban 10m' }),
  stealth: detector(ports(HOUR), 'within', { more_than: '5 ports per source', within: '60s', then: 'ban 10m' }),
  ack_scan: detector(ports(HOUR), 'within', { more_than: '10 ports per source', within: '60s', then: 'ban 10m' }),
  land: onOff.prefault(true),
  rules: z.array(packetRule).prefault([]),
});

type Written = z.output<typeof filter>;

/** What is common to the entries of a list of thresholds, and what holds at which hours. */
function timed<Entry extends { readonly more_than: number; readonly then: number } & Timed>(
  entries: readonly Entry[],
): { readonly first: Entry; readonly limit: number; readonly ban: number; readonly hours?: readonly HoursLimit[] } {
  const first = entries[0] as Entry;
  const always = entries.find((entry) => entry.between === undefined);
  const special = entries.flatMap(({ between: when, more_than, then }) =>
    when === undefined ? [] : [{ between: when, limit: more_than, ban: then }],
  );
  return {
    first,
    limit: always?.more_than ?? Number.POSITIVE_INFINITY,
    ban: (always ?? first).then,
    ...(special.length > 0 && { hours: special }),
  };
}

type Entries<Key extends keyof Written> = Exclude<Written[Key], 'off' | boolean>;

function rateThreshold(entries: Entries<'syn'> | Entries<'icmp'> | 'off') {
  if (entries === 'off') return null;
  const { first, limit, ban, hours: special } = timed(entries);
  return { perSecond: limit, during: first.during, ban, ...(special && { hours: special }) };
}

function countThreshold(entries: Entries<'scan'> | 'off') {
  if (entries === 'off') return null;
  const { first, limit, ban, hours: special } = timed(entries);
  return { most: limit, within: first.within, ban, ...(special && { hours: special }) };
}

const BITS = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;
/** A packet with other flags of these than those named is another packet; PSH and URG count where they are named. */
const STATE_BITS = BITS.fin | BITS.syn | BITS.rst | BITS.ack;

function flagsOf(names: Written['rules'][number]['flags']): PacketRule['flags'] {
  if (names === undefined) return null;
  const value = names.reduce((bits, name) => bits | (name === 'none' ? 0 : BITS[name]), 0);
  return { mask: names.includes('none') ? 63 : STATE_BITS | value, value };
}

const range = (port: number | readonly [number, number]) => (typeof port === 'number' ? ([port, port] as const) : port);

/** @param textOf what the file says of the rule at a position */
export function buildFilter(written: Written, timeZone: string, textOf: (index: number) => string): FilterConfig {
  const { syn, flood, icmp, udp, scan, slow_scan, sweep, ping_sweep, stealth, ack_scan, land, rules } = written;
  const icmpRate = rateThreshold(icmp);
  const largest = icmp === 'off' ? undefined : icmp.find(({ drop_larger_than: size }) => size !== undefined);
  return {
    timeZone,
    syn: rateThreshold(syn),
    flood:
      flood === 'off'
        ? null
        : { perSecond: flood.more_than, during: flood.during, sources: flood.sources, then: flood.then },
    icmp: icmpRate && {
      ...icmpRate,
      dropLargerThan: typeof largest?.drop_larger_than === 'number' ? largest.drop_larger_than : null,
    },
    udp: rateThreshold(udp),
    scan: countThreshold(scan),
    slowScan: countThreshold(slow_scan),
    sweep: countThreshold(sweep),
    pingSweep: countThreshold(ping_sweep),
    stealth: countThreshold(stealth),
    ackScan: countThreshold(ack_scan),
    land,
    rules: rules.map((rule, index) => ({
      text: textOf(index),
      protocol: rule.proto ?? null,
      flags: flagsOf(rule.flags),
      from: rule.from ?? [],
      to: rule.to ?? [],
      sourcePorts: (rule.sport ?? []).map(range),
      targetPorts: (rule.dport ?? []).map(range),
      icmpTypes: rule.icmp_type ?? [],
      largerThan: rule.larger_than ?? null,
      smallerThan: rule.smaller_than ?? null,
      then: rule.then,
    })),
  };
}
