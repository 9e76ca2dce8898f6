import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { endOfDay } from './calendar.js';
import type { Config, NeverBanEntry, PolicyLine } from './config.js';
import { buildFilter } from './filter-schema.js';
import { schema, type Written } from './schema.js';

/** Text that is the same for the same meaning: keys sorted, defaults filled in, networks and expressions as text. */
export function canonical(value: unknown): string {
  if (value === Number.POSITIVE_INFINITY) return '"forever"';
  if (value instanceof RegExp) return JSON.stringify(String(value));
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    if ('family' in value && 'text' in value) return JSON.stringify(value.text);
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** Whether the private redis-server is the store: unless another is named. */
export function isEmbedded(redis: Written['redis']): boolean {
  return redis.embedded ?? (redis.url === undefined && redis.sentinels === undefined && redis.cluster === undefined);
}

/** 12 hex digits over everything the file means, except this host's own name. */
export function versionOf(written: Written): string {
  const { host: _, ...shared } = written;
  const redis = { ...written.redis, embedded: isEmbedded(written.redis) };
  return createHash('sha256')
    .update(canonical({ ...shared, redis }))
    .digest('hex')
    .slice(0, 12);
}

/** Keys that are read and checked, and that this version does not act on; a function gives the part that counts. */
const NOT_YET: readonly (readonly [path: string, of: (written: Written) => unknown])[] = [
  ['redis.sentinels', (w) => w.redis.sentinels],
  ['redis.cluster', (w) => w.redis.cluster],
  ['enforcement.backend: nftables', (w) => w.enforcement.backend === 'nftables'],
  ['enforcement.action', (w) => w.enforcement.action],
  ['context', (w) => w.context],
  ['console', (w) => w.console],
  ['notify', (w) => w.notify],
];

let defaults: Written | null = null;

function inactiveKeys(written: Written): string[] {
  defaults ??= schema.parse({});
  const base = defaults;
  const keys = NOT_YET.filter(([, of]) => {
    const value = of(written);
    return value !== 'off' && value !== false && !isDeepStrictEqual(value, of(base));
  }).map(([path]) => path);
  return keys;
}

function neverBan(written: Written, lineOf: (index: number) => number): Config['neverBan'] {
  const listed: NeverBanEntry[] = [];
  for (const [index, entry] of written.never_ban.entries()) {
    if (typeof entry === 'string') continue;
    const line = lineOf(index);
    if ('text' in entry)
      listed.push({ prefix: entry, line, reason: 'listed under never_ban', ticket: null, until: null });
    else {
      const { until } = entry;
      listed.push({
        prefix: entry.address,
        line,
        reason: entry.reason ?? 'listed under never_ban',
        ticket: entry.ticket ?? null,
        until:
          until === undefined ? null : until.includes('T') ? Date.parse(until) : endOfDay(until, written.time_zone),
      });
    }
  }
  return {
    home: written.never_ban.includes('home'),
    thisMachine: written.never_ban.includes('this_machine'),
    infrastructure: written.never_ban.includes('infrastructure'),
    listed,
  };
}

function repeatOffenders(written: Written['repeat_offenders']): Config['repeatOffenders'] {
  if (written === 'off') return null;
  return { multiply: written.multiply, neverOver: written.never_over, forgetAfter: written.forget_after };
}

/** A policy line as it stands in the file. */
export type WrittenLine = Required<Pick<PolicyLine, 'line' | 'text'>>;

/**
 * Makes the configuration of what the schema read.
 * @param lineOf where a policy line stands by its position, `null` where the file has none
 * @param packetRuleOf the same of one of `filter.rules`
 * @param neverBanLineOf the 1-based line of an entry of `never_ban`, 0 where the file has none
 */
export function build(
  written: Written,
  file: string,
  lineOf: (index: number) => WrittenLine | null,
  neverBanLineOf: (index: number) => number,
  packetRuleOf: (index: number) => WrittenLine | null,
): Config {
  const { suricata, limits, redis, enforcement, queue, history } = written;
  const policy: PolicyLine[] = written.policy.map((line, index) => ({ ...line, line: 0, ...lineOf(index) }));
  return {
    file,
    policyVersion: versionOf(written),
    mode: written.mode,
    host: written.host === 'auto' ? ownName() : written.host,
    state: written.state,
    run: written.run,
    timeZone: written.time_zone,
    home: written.home,
    neverBan: neverBan(written, neverBanLineOf),
    bannablePrivate: written.bannable_private,
    suricata: {
      eve: suricata.eve,
      rules: suricata.rules,
      ignoreAlertsOlderThan: suricata.ignore_alerts_older_than,
      longestLine: suricata.longest_line,
      trustedProxies: suricata.trusted_proxies,
      metadataActions: suricata.metadata_actions,
    },
    quarantine: written.quarantine === 'off' ? null : written.quarantine,
    filter: buildFilter(written.filter, written.time_zone, (index) => packetRuleOf(index)?.text ?? `rule ${index + 1}`),
    packetRuleLines: written.filter.rules.map((_, index) => packetRuleOf(index)?.line ?? 0),
    policy,
    otherwise: written.otherwise,
    repeatOffenders: repeatOffenders(written.repeat_offenders),
    limits: {
      newBansPerMinute: limits.new_bans_per_minute,
      totalBans: limits.total_bans,
      knownGoodShare: limits.known_good_share === 'off' ? null : limits.known_good_share,
      whenReached: limits.when_reached,
      widest: limits.widest,
      unprovenNeverOver: limits.unproven.never_over,
    },
    redis: {
      embedded: isEmbedded(redis),
      url: redis.url ?? null,
      prefix: redis.prefix,
    },
    enforcement: {
      backend: enforcement.backend,
      iptables: enforcement.iptables,
      outbound: enforcement.outbound,
      onStop: enforcement.on_stop,
    },
    history: history === 'off' ? null : { keep: history.keep, atMost: history.at_most },
    queue: { numbers: queue.numbers, whenOverloaded: queue.when_overloaded, atMost: queue.at_most },
    inactive: inactiveKeys(written),
  };
}

/** The machine's name with what a key of Redis cannot carry taken out. */
function ownName(): string {
  return (
    hostname()
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .slice(0, 64) || 'localhost'
  );
}
