/**
 * The single description of the configuration file (CONTRACT section 5): what
 * may be written, what it means, what holds when it is not written. Reading
 * gives plain units; `build` makes the `Config` of it, and the JSON schema for
 * editors is generated from it.
 */
import { z } from 'zod';
import { contains, type Prefix, prefix } from '../net/prefix.js';
import { DEFAULT_HOME, DEFAULT_NEVER_BAN, DEFAULT_POLICY } from './defaults.js';
import { parseEveEntry } from './eve-entry.js';
import { filter } from './filter-schema.js';
import { policyLines } from './policy-schema.js';
import {
  action,
  duration,
  form,
  hostPort,
  listOf,
  network,
  off,
  onOff,
  path,
  percent,
  plainRate,
  readNetwork,
  say,
  shown,
  size,
  text,
  timeZone,
  Wrong,
  whole,
  word,
} from './scalars.js';
import { section } from './section.js';
import { nearest } from './spelling.js';

const EMPTY = say('is empty', 'write at least one');
const HOUR = 3600;
const DAY = 86_400;
const YEAR = 365 * DAY;
const MIB = 2 ** 20;

const host = form(
  {
    what: 'a host name',
    fix: 'write auto, or letters, digits, dots, - and _ (64 at most)',
    pattern: '^[A-Za-z0-9._-]{1,64}$',
  },
  (value) => (/^[A-Za-z0-9._-]{1,64}$/.test(value) ? value : null),
);

const HOME_FIX = 'list the networks that this machine protects, such as [10.0.0.0/8, 192.168.0.0/16]';
const home = listOf(network, 1, HOME_FIX).superRefine((networks, context) => {
  if (networks.some((n) => n.length === 0)) {
    context.addIssue({ code: 'custom', message: say('covers every address, so that nobody is outside', HOME_FIX) });
  }
});

const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'].map(prefix);
const bannablePrivate = listOf(network).superRefine((networks, context) => {
  networks.forEach((n, index) => {
    if (PRIVATE.some((range) => contains(range, n))) return;
    const fix =
      'remove it (public networks may be banned anyway), or write one inside 10/8, 172.16/12, 192.168/16 or fc00::/7';
    context.addIssue({ code: 'custom', path: [index], message: say(`${n.text} is not a private network`, fix) });
  });
});

const UNTIL_FIX = 'write a day or a moment such as 2026-12-31 or 2026-12-31T18:00:00Z';
const listedNetwork = section({
  address: network,
  reason: text(500, 'a reason').optional(),
  ticket: text(100, 'a ticket').optional(),
  until: form({ what: 'a date', fix: UNTIL_FIX }, (value) => {
    const day = /^(\d{4})-(\d\d)-(\d\d)(.*)$/.exec(value);
    if (day === null || Number.isNaN(Date.parse(`${value.slice(0, 10)}T00:00:00Z`))) return null;
    // Date.parse would read 30 February as a day of March.
    if (new Date(`${value.slice(0, 10)}T00:00:00Z`).getUTCDate() !== Number(day[3])) return null;
    if (day[4] === '') return value;
    const moment = value.replace(' ', 'T');
    return /^T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/.test(moment.slice(10)) && !Number.isNaN(Date.parse(moment))
      ? moment
      : null;
  }).optional(),
});

const NEVER_BAN_FIX =
  'write home, this_machine, infrastructure, a network, or { address: 198.51.100.0/24, reason: ... }';
const NEVER_BAN_WORDS = ['home', 'this_machine', 'infrastructure'];
const neverBanWord = form<string | Prefix>({ what: 'an entry of never_ban', fix: NEVER_BAN_FIX }, (value) => {
  if (NEVER_BAN_WORDS.includes(value)) return value;
  const near = nearest(value, NEVER_BAN_WORDS);
  return near === null ? readNetwork(value) : new Wrong(`${shown(value)} is unknown`, `did you mean "${near}"?`);
});
const neverBanEntry = z.union([neverBanWord, listedNetwork], {
  error: (issue) => say(`${shown(issue.input)} is not an entry of never_ban`, NEVER_BAN_FIX),
});

const EVE_FIX =
  'write a full path or a glob such as /var/log/suricata/eve*.json, unix:///run/barricata/eve.sock (80 bytes at most), redis://host/0?list=suricata or redis://host/0?stream=suricata';
const eveSource = form({ what: 'a source of EVE records', fix: EVE_FIX }, (value) =>
  parseEveEntry(value) === null ? null : value,
);

/** One that is named twice would be read twice, and two readers of one list take each other's lines. */
const eveSources = listOf(eveSource, 1, EVE_FIX).superRefine((sources, context) => {
  const twice = sources.find((source, index) => sources.indexOf(source) !== index);
  if (twice === undefined) return;
  context.addIssue({
    code: 'custom',
    message: say(`${parseEveEntry(twice)?.source} is named twice`, 'name each once'),
  });
});

const redisUrl = form(
  {
    what: 'the address of a Redis',
    fix: 'write redis://10.0.0.5:6379/0, rediss://user:password@host:6379/0 or unix:///run/redis/redis.sock',
  },
  (value) => {
    if (/^unix:\/\/\/[^?]/.test(value)) return value;
    const url = /^rediss?:\/\//.test(value) && URL.canParse(value) ? new URL(value) : null;
    return url !== null && url.hostname !== '' && /^(\/\d*)?$/.test(url.pathname) ? value : null;
  },
);

const redis = section({
  embedded: onOff.optional(),
  url: redisUrl.optional(),
  sentinels: z
    .union([
      z.array(hostPort).min(1, EMPTY),
      section({ name: text(100, 'a name'), hosts: z.array(hostPort).min(1, EMPTY) }),
    ])
    .optional(),
  master: text(100, 'the name of the master').optional(),
  cluster: z.array(hostPort).min(1, EMPTY).optional(),
  prefix: form(
    {
      what: 'a prefix of keys',
      fix: 'write letters, digits, . _ - : or { } (64 at most), such as barricata',
      pattern: '^[A-Za-z0-9._:{}-]{1,64}$',
    },
    (value) => (/^[A-Za-z0-9._:{}-]{1,64}$/.test(value) ? value : null),
  ).prefault('barricata'),
}).superRefine((value, context) => {
  const ways = (['url', 'sentinels', 'cluster'] as const).filter((key) => value[key] !== undefined);
  if (value.embedded === true && ways.length > 0) {
    const fix = `remove "embedded: true" to use ${ways[0]}, or remove ${ways[0]}`;
    context.addIssue({
      code: 'custom',
      path: ['embedded'],
      message: say(`an embedded Redis and ${ways[0]} cannot both be the store`, fix),
    });
  } else if (ways.length > 1) {
    context.addIssue({
      code: 'custom',
      path: [ways[1] as string],
      message: say(`${ways.join(' and ')} cannot all be the store`, 'keep one'),
    });
  } else if (value.embedded === false && ways.length === 0) {
    context.addIssue({
      code: 'custom',
      path: ['embedded'],
      message: say('no Redis is named', 'write url: redis://host:6379/0, or embedded: true'),
    });
  }
  if (value.cluster !== undefined && !/\{[^{}]+\}/.test(value.prefix)) {
    const plain = value.prefix.replace(/[{}]/g, '') || 'barricata';
    const message = say(
      `"${value.prefix}" would spread one entry over several nodes of the cluster`,
      `write prefix: "{${plain}}"`,
    );
    context.addIssue({ code: 'custom', path: ['prefix'], message });
  }
});

const queueNumbers = listOf(whole(0, 65_535, 'a queue number'), 1).superRefine((numbers, context) => {
  const twice = numbers.find((n, index) => numbers.indexOf(n) !== index);
  if (twice !== undefined)
    context.addIssue({ code: 'custom', message: say(`queue ${twice} is named twice`, 'name each once') });
});

const user = z.union([text(100, 'a user'), z.record(z.string(), z.unknown())]);

export const schema = section({
  mode: word('enforce', 'observe', 'off')
    .prefault('enforce')
    .meta({ description: 'the first mode; `barricata mode` changes it at run time' }),
  host: host.prefault('auto'),
  state: path.prefault('/var/lib/barricata'),
  run: path.prefault('/run/barricata'),
  time_zone: timeZone.prefault('UTC'),
  home: home.prefault(DEFAULT_HOME),
  never_ban: z
    .array(neverBanEntry, { error: (issue) => say(`${shown(issue.input)} is not a list`, NEVER_BAN_FIX) })
    .prefault(DEFAULT_NEVER_BAN),
  bannable_private: bannablePrivate.prefault([]),
  suricata: section({
    eve: eveSources.prefault(['/var/log/suricata/eve*.json']),
    rules: path.prefault('/var/lib/suricata/rules/suricata.rules'),
    ignore_alerts_older_than: duration(1, YEAR).prefault('10m'),
    longest_line: size(64 * 1024, 256 * MIB, 'from 64KiB to 256MiB').prefault('16MiB'),
    trusted_proxies: listOf(network).prefault([]),
    metadata_actions: onOff.prefault(false),
  }).prefault({}),
  quarantine: z
    .union([off, section({ age: duration(HOUR, YEAR).prefault('3d'), hits: whole(1, 1_000_000).prefault(5) })], {
      error: (issue) => say(`${shown(issue.input)} is no quarantine`, 'write off, or { age: 3d, hits: 5 }'),
    })
    .prefault({}),
  filter: filter.prefault({}),
  policy: policyLines.prefault(DEFAULT_POLICY),
  otherwise: action.prefault('note'),
  repeat_offenders: z
    .union([
      off,
      section({
        multiply: z.array(whole(1, 100_000)).min(1, EMPTY).prefault([1, 4, 24]),
        never_over: duration().prefault('7d'),
        forget_after: duration(HOUR, 10 * YEAR).prefault('30d'),
      }),
    ])
    .prefault({}),
  limits: section({
    new_bans_per_minute: whole(1, 1_000_000).prefault(100),
    total_bans: whole(1, 10_000_000).prefault(1_000_000),
    known_good_share: z.union([off, percent]).prefault('10%'),
    widest: section({ ipv4: whole(8, 32).prefault(24), ipv6: whole(19, 128).prefault(48) }).prefault({}),
    unproven: section({
      never_over: duration(1, DAY).prefault('10m'),
      scope: word('host').prefault('host'),
    }).prefault({}),
    when_reached: word('stop_and_alert', 'alert').prefault('stop_and_alert'),
  }).prefault({}),
  redis: redis.prefault({}),
  history: z
    .union([
      off,
      section({
        keep: duration(HOUR, 10 * YEAR).prefault('7d'),
        at_most: size(MIB, 1024 * 1024 * MIB, 'from 1MiB to 1TiB').prefault('2GiB'),
      }),
    ])
    .prefault({}),
  enforcement: section({
    backend: word('auto', 'ipset', 'nftables').prefault('auto'),
    iptables: word('auto', 'nft', 'legacy').prefault('auto'),
    action: word('drop', 'reject').prefault('drop'),
    outbound: onOff.prefault(true),
    on_stop: word('keep', 'remove').prefault('keep'),
  }).prefault({}),
  queue: section({
    numbers: queueNumbers.prefault([100]),
    when_overloaded: word('accept', 'drop').prefault('accept'),
    at_most: plainRate.prefault('100000/s'),
  }).prefault({}),
  context: z
    .union([
      off,
      section({
        mmdb: listOf(path).prefault([]),
        lists: listOf(path).prefault([]),
        reverse_dns: onOff.prefault('off'),
      }),
    ])
    .prefault({}),
  console: z
    .union([
      off,
      section({
        listen: hostPort.prefault('127.0.0.1:8780'),
        tls: z.union([off, section({ cert: path, key: path, client_ca: path.optional() })]).prefault('off'),
        users: z.array(user).prefault([]),
        ticket_url: text(500, 'an address').optional(),
        policy: word('edit', 'read_only').prefault('edit'),
      }),
    ])
    .prefault({}),
  notify: z.array(z.record(z.string(), z.unknown())).prefault([]),
});

export type Written = z.output<typeof schema>;
