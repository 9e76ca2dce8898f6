import { formatDuration } from '../base/duration.js';
import type { BanReport, ReplayReport } from '../replay/report.js';
import { type Column, layOut, mark, type OutputForm, print, printable, printRows, tell, utc } from './output.js';

/** Rows of each list on a screen; `-o tsv` and `-o json` give all. */
const ROWS = 50;
const SIGNATURES = 15;

/** Prints a replay for people, or its bans as lines for programs. */
export function showReplay(form: OutputForm, report: ReplayReport, width: number): void {
  if (form === 'json') print(JSON.stringify(report));
  else if (form === 'tsv') {
    tell(summary(report));
    for (const line of remarks(report)) tell(line);
    printRows('tsv', [...report.bans, ...report.wouldBans], BANS, (ban) => ban);
  } else for (const line of screen(report, width)) print(line);
}

const BANS: readonly Column<BanReport>[] = [
  { title: 'ADDRESS', value: (ban) => ban.address },
  { title: 'ACTION', value: (ban) => ('why' in ban ? 'would ban' : 'ban') },
  { title: 'FROM', value: (ban) => (ban.at === null ? '-' : utc(ban.at)) },
  { title: 'FOR', value: (ban) => lasts(ban.bannedFor) },
  { title: 'BANS', value: (ban) => String(ban.times), align: 'right' },
  { title: 'ALERTS', value: (ban) => String(ban.alerts), align: 'right' },
  { title: 'PROVEN', value: (ban) => (ban.proven ? 'yes' : 'no') },
  { title: 'WOULD CUT', value: (ban) => String(ban.collateral?.events ?? 0), align: 'right' },
  { title: 'SID', value: (ban) => String(ban.sid ?? '-') },
  {
    title: 'POLICY',
    value: (ban) => (ban.line ? `${ban.policy} (line ${ban.line})` : (ban.policy ?? '-')),
    elastic: true,
  },
  { title: 'SIGNATURE', value: (ban) => ban.signature ?? '-', elastic: true },
];

function screen(report: ReplayReport, width: number): string[] {
  const lines = [summary(report), ...remarks(report)];
  if (report.against !== undefined) lines.push('', ...difference(report.against));
  lines.push(...table('', [...report.bans, ...report.wouldBans], BANS, ROWS, width));
  const hurt = report.bans.filter((ban) => ban.collateral !== null);
  if (hurt.length > 0) {
    lines.push('', mark('warn', 'benign traffic of these addresses that the bans would have cut:'));
    for (const ban of hurt.slice(0, ROWS)) lines.push(...collateral(ban));
    if (hurt.length > ROWS) lines.push(`  and ${hurt.length - ROWS} more addresses (-o json names all)`);
  }
  lines.push(...table('flags: own hosts that need a look', report.flags, FLAGS, ROWS, width));
  const others = report.signatures.filter(({ outcomes }) => outcomes.ban === undefined);
  lines.push(...table('signatures that banned nobody', others, SIGNATURE_COLUMNS, SIGNATURES, width));
  return lines;
}

type Flag = ReplayReport['flags'][number];
const FLAGS: readonly Column<Flag>[] = [
  { title: 'INSIDE', value: (flag) => flag.inside },
  { title: 'OTHER END', value: (flag) => flag.outside },
  { title: 'SID', value: (flag) => String(flag.sid) },
  { title: 'ALERTS', value: (flag) => String(flag.alerts), align: 'right' },
  { title: 'FIRST', value: (flag) => utc(flag.first) },
  { title: 'WHY', value: (flag) => flag.why, elastic: true },
];

type Signature = ReplayReport['signatures'][number];
const SIGNATURE_COLUMNS: readonly Column<Signature>[] = [
  { title: 'SID', value: ({ gid, sid }) => (gid === 1 ? String(sid) : `${gid}:${sid}`) },
  { title: 'ALERTS', value: ({ alerts }) => String(alerts), align: 'right' },
  { title: 'OUTCOME', value: ({ outcomes }) => Object.keys(outcomes).join(' ').replaceAll('_', ' ') },
  { title: 'SIGNATURE', value: ({ signature }) => signature, elastic: true },
  { title: 'WHY', value: ({ outcomes }) => Object.values(outcomes)[0]?.why ?? '-', elastic: true },
];

function table<Row>(
  title: string,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  most: number,
  width: number,
): string[] {
  if (rows.length === 0) return [];
  const cells = rows.slice(0, most).map((row) => columns.map((column) => printable(column.value(row))));
  const lines = ['', ...(title === '' ? [] : [`${title}:`]), ...layOut(columns, cells, width)];
  if (rows.length > most) lines.push(`and ${rows.length - most} more (-o json has all)`);
  return lines;
}

function summary(report: ReplayReport): string {
  const parts = [
    `alerts ${count(report.alerts)}`,
    `ignored ${count(report.ignored)}`,
    `noted ${count(report.noted)}`,
    `flagged ${count(report.flagged)}`,
    ...(report.refused > 0 ? [`refused ${count(report.refused)}`] : []),
    ...(report.wouldBans.length > 0 ? [`would bans ${count(report.wouldBans.length)}`] : []),
    `bans ${count(report.bans.length)}`,
  ];
  const against = report.against === undefined ? '' : ` (current policy: ${count(report.against.bans.length)})`;
  return `${parts.join('  ')}${against}`;
}

/** What a reader must know about the figures. */
function remarks(report: ReplayReport): string[] {
  const lines: string[] = [`policy ${report.policy.version} of ${report.policy.file}`];
  if (report.first !== null && report.last !== null) lines.push(`from ${utc(report.first)} to ${utc(report.last)}`);
  if (report.olderThanSince > 0)
    lines.push(`${count(report.olderThanSince)} alerts are older than --since and left out`);
  if (report.assumedUtc > 0)
    lines.push(`${count(report.assumedUtc)} alerts have times without an offset, read as UTC; the daemon refuses them`);
  const unusable = Object.entries(report.unusable).map(([cause, n]) => `${cause.replaceAll('_', ' ')} ${count(n)}`);
  if (unusable.length > 0) lines.push(mark('warn', `unusable records: ${unusable.join(', ')}`));
  for (const [what, n] of Object.entries(report.unlisted))
    if (n > 0) lines.push(mark('warn', `${count(n)} alerts concern ${what} for which there was no room in the lists`));
  if (report.naive !== undefined) {
    const { external, own, special } = report.naive;
    lines.push(
      `"ban src_ip at severity 1-2" would ban ${external + own + special === 1 ? '1 address' : `${count(external + own + special)} addresses`}: ${count(external)} external, ${count(own)} own, ${count(special)} special`,
    );
  }
  return lines;
}

function difference({ added, removed, changed }: NonNullable<ReplayReport['against']>): string[] {
  const lines = [
    ...removed.map(({ address, why }) => `- ${address}  no longer banned  (${printable(why)})`),
    ...added.map(({ address, why }) => `+ ${address}  newly banned  (now ${printable(why)})`),
    ...changed.map(({ address, before, after }) => `~ ${address}  banned ${lasts(after)} instead of ${lasts(before)}`),
  ];
  if (lines.length === 0) return ['the two policies ban the same addresses for as long'];
  return lines.length <= ROWS ? lines : [...lines.slice(0, ROWS), `and ${lines.length - ROWS} more (-o json has all)`];
}

function collateral({ address, collateral: cut }: BanReport): string[] {
  if (cut === null) return [];
  const ends = cut.ends.slice(0, 3).map(({ inside, port }) => (port === null ? inside : `${inside} port ${port}`));
  const more = cut.ends.length > 3 ? ` and ${cut.ends.length - 3} more` : '';
  const span = `${utc(cut.first)} to ${utc(cut.last)}`;
  return [
    `  ${address}  ${count(cut.flow)} flows, ${count(cut.http)} http, ${count(cut.tls)} tls, ${span}, with ${ends.join(', ')}${more}`,
    ...cut.examples.map(({ at, kind, inside, what }) => `    ${utc(at)}  ${kind}  ${inside}  ${printable(what)}`),
  ];
}

/** `null` = for good. */
function lasts(seconds: number | null): string {
  return seconds === null ? 'for good' : formatDuration(seconds);
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}
