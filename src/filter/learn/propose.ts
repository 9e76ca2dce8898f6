import type { EpochMs } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import type { CountThreshold, FilterConfig, Hours, RateThreshold } from '../../config/config.js';
import { type Exception, exceptionsOf } from './exceptions.js';
import { type Figure, figuresOf } from './figures.js';
import { type ProfileReport, sourcesOf } from './report.js';

/** A proposal: nothing of it is in force until a person puts it into the configuration. */
export interface Proposal {
  readonly from: EpochMs;
  readonly to: EpochMs;
  readonly packets: number;
  readonly sources: number;
  readonly answers: boolean;
  readonly figures: readonly Figure[];
  readonly exceptions: readonly Exception[];
  /** A `filter:` section with the evidence beside each figure. */
  readonly yaml: string;
}

/** @param filter the present configuration: its times, bans, hours and rules are kept */
export function propose(report: ProfileReport, filter: FilterConfig, tight = false): Proposal {
  const figures = figuresOf(report, filter, tight);
  const exceptions = exceptionsOf(report);
  const { from, to, packets, answers } = report;
  const about = { from, to, packets, sources: sourcesOf(report), answers, figures, exceptions };
  return { ...about, yaml: [...head(report, tight), ...section(figures, filter), ...allowed(exceptions)].join('\n') };
}

function head(report: ProfileReport, tight: boolean): string[] {
  const { from, to, packets, leftOut, answers, connections } = report;
  const span = formatDuration((to - from) / 1000);
  const date = (ms: number) => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
  return [
    `# Proposed by barricata learn from ${packets} first packets of about ${sourcesOf(report)} sources`,
    `# outside your networks, seen in ${span}: ${date(from)} to ${date(to)}. Nothing of it is in force.`,
    ...(leftOut > 0 ? [`# Left out: ${leftOut} first packets of your own networks, which are never banned.`] : []),
    answers
      ? `# ${connections} connections were completed; attempts that were completed count for nothing.`
      : '# Nothing told which connections were completed, so each attempt counts as if it had failed.',
    tight
      ? '# Tight: 2 x the largest that was seen, also where that is below the shipped default.'
      : '# Each figure: 2 x the largest that was seen, not below the shipped default, within bounds.',
    '# A visit is the time in which a source comes with no pause as long as the time counted over.',
    '',
  ];
}

function section(figures: readonly Figure[], filter: FilterConfig): string[] {
  const figure = (key: Figure['key']) => figures.find((f) => f.key === key) as Figure;
  const lines = ['filter:'];
  const add = (key: Figure['key'], body: (n: number) => string[]) => {
    const f = figure(key);
    lines.push(...comment(f), ...body(f.proposed), '');
  };
  add('syn', (n) => rates('syn', n, filter.syn));
  add('flood', (n) => [flood(n, filter.flood)]);
  lines.push(...comment(figure('drop_larger_than')));
  add('icmp', (n) => rates('icmp', n, filter.icmp, icmpSize(filter, figure('drop_larger_than').proposed)));
  add('udp', (n) => rates('udp', n, filter.udp));
  add('scan', (n) => counts('scan', 'ports', n, filter.scan));
  add('slow_scan', (n) => counts('slow_scan', 'ports', n, filter.slowScan));
  add('sweep', (n) => counts('sweep', 'hosts', n, filter.sweep));
  add('ping_sweep', (n) => counts('ping_sweep', 'hosts', n, filter.pingSweep));
  add('stealth', (n) => counts('stealth', 'ports', n, filter.stealth));
  lines.push('  # As it is: what answers a stray ACK is not learned.');
  lines.push(...counts('ack_scan', 'ports', filter.ackScan?.most ?? 0, filter.ackScan));
  lines.push(`  land: ${filter.land}`);
  if (filter.rules.length === 0) lines.push('  rules: []');
  else lines.push('  rules:', ...filter.rules.map(({ text }) => `    - ${text}`));
  return lines;
}

function comment(f: Figure): string[] {
  const unit = f.unit === '/s' ? '/s' : ` ${f.unit}`;
  const what = f.key === 'flood' ? 'services' : f.key === 'drop_larger_than' ? 'messages' : 'visits';
  const present = f.present === null ? 'off' : Number.isFinite(f.present) ? `${f.present}${unit}` : 'by the hour only';
  const lines = [`  # ${f.key}: ${f.proposed}${unit} (now ${present}): ${f.why}.`];
  if (f.visits === 0) lines.push('  #   nothing was seen');
  else
    lines.push(
      `  #   ${f.visits} ${what}: p50 ${f.p50}, p95 ${f.p95}, p99 ${f.p99}, p99.9 ${f.p999}, max ${f.max}${unit}`,
    );
  if (f.largest.length > 0)
    lines.push(`  #   largest: ${f.largest.map(({ who, value, at }) => `${who} ${value} (${minute(at)})`).join(', ')}`);
  if (f.strangers.visits > 0)
    lines.push(
      `  #   left out: ${f.strangers.visits} visits of sources that never completed a connection, up to ${f.strangers.max}${unit} (${f.strangers.who})`,
    );
  if (f.doubtful) lines.push('  #   LOOK at the largest before you take this: an attacker among them would loosen it');
  return lines;
}

function minute(iso: string): string {
  return iso.slice(0, 16).replace('T', ' ');
}

/** The size from which one message is dropped; `off` stays off. */
function icmpSize(filter: FilterConfig, proposed: number): string {
  return filter.icmp !== null && filter.icmp.dropLargerThan === null
    ? ', drop_larger_than: off'
    : `, drop_larger_than: ${Math.max(576, Math.min(65_535, proposed))}`;
}

function rates(key: string, perSecond: number, present: RateThreshold | null, more = ''): string[] {
  const during = formatDuration(present?.during ?? 3);
  const entry = (limit: string, ban: number, when = '', extra = '') =>
    `{ more_than: ${limit} per source, during: ${during}, then: ban ${formatDuration(ban)}${extra}${when} }`;
  if (present === null) return [`  ${key}: off`, `  # on: ${key}: ${entry(`${perSecond}/s`, 600, '', more)}`];
  const always = Number.isFinite(present.perSecond);
  const special = (present.hours ?? []).map(({ between, limit, ban }, index) =>
    entry(rate(limit), ban, hours(between), !always && index === 0 ? more : ''),
  );
  return entries(key, special, always, () => entry(`${perSecond}/s`, present.ban, '', more));
}

/** A second where it is whole, else a minute. */
function rate(perSecond: number): string {
  return Number.isInteger(perSecond) ? `${perSecond}/s` : `${Math.round(perSecond * 60)}/m`;
}

function counts(key: string, unit: 'ports' | 'hosts', most: number, present: CountThreshold | null): string[] {
  if (present === null) return [`  ${key}: off`];
  const within = formatDuration(present.within);
  const entry = (limit: number, ban: number, when = '') =>
    `{ more_than: ${limit} ${unit} per source, within: ${within}, then: ban ${formatDuration(ban)}${when} }`;
  const special = (present.hours ?? []).map(({ between, limit, ban }) => entry(limit, ban, hours(between)));
  return entries(key, special, Number.isFinite(present.most), () => entry(Math.max(2, most), present.ban));
}

/** Entries for hours of the day are kept as they are; what holds otherwise is what was learned. */
function entries(key: string, special: string[], always: boolean, entry: () => string): string[] {
  if (special.length === 0) return [`  ${key}: ${entry()}`];
  const lines = [`  ${key}:`, ...special.map((text) => `    - ${text}`)];
  if (always) lines.push(`    - ${entry()}`);
  return lines;
}

function flood(perSecond: number, present: FilterConfig['flood']): string {
  if (present === null) return '  flood: off';
  const { during, sources, then } = present;
  return `  flood: { more_than: ${perSecond}/s per destination, during: ${formatDuration(during)}, sources: ${sources}, then: ${then} }`;
}

function hours({ from, to }: Hours): string {
  const clock = (minutes: number) =>
    `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
  return `, between: "${clock(from)}-${clock(to)}"`;
}

function allowed(exceptions: readonly Exception[]): string[] {
  if (exceptions.length === 0) return [''];
  const line = ({ address, reason }: Exception) => [
    `# ${address}  ${reason}`,
    `#   barricata allow ${address} --for 90d --reason "${reason}"`,
    `#   never_ban:  - { address: "${address}", reason: "${reason}" }`,
  ];
  return [
    '',
    '# These never failed and come regularly. Whoever you know among them may be excepted,',
    '# by the command for a time, or by a line under never_ban for good. Nothing was done.',
    ...exceptions.flatMap(line),
    '',
  ];
}
