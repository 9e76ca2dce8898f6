import { formatDuration } from '../../base/duration.js';
import type { DaemonStatus } from '../../daemon/status.js';
import { configOf, daemonStatus } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, mark, outputForm, print, printable } from '../output.js';

/** Exit 0 only when the daemon is complete; 4 until then, and when it does not answer. */
export async function run(_args: readonly string[], options: GlobalOptions): Promise<number> {
  const config = await configOf(options);
  const status = await daemonStatus(config);
  if (!options.quiet) {
    if (outputForm(options.output) === 'json') print(JSON.stringify(status));
    else for (const line of screen(status)) print(line);
  }
  return status.ready ? EXIT.done : EXIT.unreachable;
}

const number = (n: number): string => n.toLocaleString('en');

function knownGood({ limits: { knownGoodShare: share } }: DaemonStatus): string {
  if (share === 'off') return '';
  if (share === 'unknown') return '; known_good_share is not in force: nothing tells yet who is a known good client';
  return `, ${Math.round(share * 100)}% of known good clients`;
}

/** The status as lines for people. */
export function screen(s: DaemonStatus): string[] {
  const row = (name: string, text: string) => `${name.padEnd(11)}${text}`;
  const state = (ok: boolean, text: string) => mark(ok ? 'good' : 'bad', text);
  const until = s.modeUntil ? ` until ${s.modeUntil}` : '';
  const lines = [
    row('redis', `${state(s.redis.up, s.redis.up ? 'up' : 'down')}  ${s.redis.cli}`),
    row('mode', `${s.mode}${until} (${s.modeFrom === 'file' ? 'from the file' : `set for this ${s.modeFrom}`})`),
    row(
      'daemon',
      `${s.version}, process ${s.pid} on ${s.host} for ${formatDuration((Date.now() - s.startedAt) / 1000)}, policy ${s.config.version}`,
    ),
    row(
      'blocklist',
      `${number(s.blocklist.entries)} banned, ${number(s.blocklist.allowed)} allowed, ${number(s.blocklist.refused)} refused` +
        (s.blocklist.held ? mark('bad', `, ${number(s.blocklist.held)} held after a mass loss`) : '') +
        (s.blocklist.offline ? `, ${number(s.blocklist.offline)} waiting for Redis` : '') +
        (s.blocklist.givenUp ? `, ${number(s.blocklist.givenUp)} refused by Redis for good (see the log)` : ''),
    ),
    row(
      'kernel',
      `${s.kernel.backend}, rules ${s.kernel.rules}, ${number(s.kernel.entries)} elements, ` +
        `${state(s.kernel.drift === 0 && s.kernel.complete, s.kernel.complete ? `difference ${number(s.kernel.drift)}` : 'not compared yet')}, ` +
        `${number(s.kernel.droppedPackets)} packets dropped`,
    ),
    row(
      'queue',
      s.queue.bound
        ? `${state(true, 'bound')}, ${number(s.queue.packets)} packets judged, ${number(s.queue.dropped)} lost, ${number(s.queue.unfiltered)} unfiltered` +
            `, connections ${s.queue.connections}` +
            (s.queue.limited ? `, ${number(s.queue.limited)} dropped by kernel limits` : '')
        : state(false, `not bound${s.queue.problem ? `: ${printable(s.queue.problem)}` : ''}`),
    ),
  ];
  if (s.eve.length === 0) lines.push(row('alerts', mark('warn', 'no eve file exists yet')));
  for (const eve of s.eve) {
    const lag = eve.opened
      ? `lag ${eve.lagSeconds.toFixed(1)} s`
      : state(false, `not open${eve.problem ? `: ${printable(eve.problem)}` : ''}`);
    lines.push(
      row('alerts', `${printable(eve.source)}: ${number(eve.lines)} lines, ${number(eve.alerts)} alerts, ${lag}`),
    );
  }
  lines.push(row('rules', rulesLine(s)));
  const decisions = Object.entries(s.decisions).map(([kind, count]) => `${number(count)} ${kind.replaceAll('_', ' ')}`);
  if (decisions.length > 0) lines.push(row('decisions', decisions.join(', ')));
  lines.push(row('limits', `${number(s.limits.newBansLastMinute)} new bans in the last minute${knownGood(s)}`));
  lines.push(row('protected', protectedLine(s)), row('history', historyLine(s)));
  for (const { name, since } of s.alarms) lines.push(`${mark('bad', 'alarm'.padEnd(11))}${name} since ${since}`);
  for (const problem of s.problems) lines.push(`${mark('warn', 'problem'.padEnd(11))}${printable(problem)}`);
  return lines;
}

function protectedLine({ protections: { protectedNetworks, sshPeers } }: DaemonStatus): string {
  return `${number(protectedNetworks)} networks and addresses, ${number(sshPeers)} of them peers of SSH sessions`;
}

function historyLine({ history }: DaemonStatus): string {
  if (history === null) return 'off';
  const { bytes, rows, lost } = history;
  const gone = lost.alerts + lost.contacts;
  return `${number(bytes)} bytes, ${number(rows)} rows written${gone === 0 ? '' : `, ${mark('bad', `${number(gone)} lost`)}`}`;
}

function rulesLine({ rules: { path, rules, readAt }, quarantine }: DaemonStatus): string {
  const name = printable(path);
  if (rules === null) return `no rules known, for there is no usable ${name}`;
  const held = quarantine === null ? 'no quarantine' : `${number(quarantine.rules)} in quarantine`;
  return `${number(rules)} of ${name}, read ${readAt ?? ''}, ${held}`;
}
