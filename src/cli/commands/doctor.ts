import { access, constants, readFile, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { messageOf } from '../../base/errors.js';
import type { Config } from '../../config/config.js';
import { ConfigError } from '../../config/errors.js';
import { loadConfig } from '../../config/load.js';
import type { DaemonStatus } from '../../daemon/status.js';
import { describeSuricata, probeSuricata } from '../../daemon/suricata-probe.js';
import { SYNPROXY_FIX, synproxyProblem, sysctl } from '../../enforcement/synproxy.js';
import { type ConntrackStatus, conntrackStatus } from '../../netlink/conntrack-status.js';
import { libc } from '../../netlink/libc.js';
import { daemonStatus } from '../context.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, mark, outputForm, print, printable, printRows } from '../output.js';
import { instead } from '../running.js';

interface Finding {
  readonly state: 'ok' | 'warn' | 'fail';
  readonly check: string;
  readonly detail: string;
  /** The command or the line that repairs it; '' when nothing is wrong. */
  readonly fix: string;
}

/** Share of the table above which it is about to be full. */
const CONNTRACK_FULL = 0.8;

const ok = (check: string, detail: string): Finding => ({ state: 'ok', check, detail, fix: '' });
const warn = (check: string, detail: string, fix: string): Finding => ({ state: 'warn', check, detail, fix });
const fail = (check: string, detail: string, fix: string): Finding => ({ state: 'fail', check, detail, fix });

/** Checks everything a running Barricata rests on. Exit 1 when something fails, so that cron can use it. */
export async function run(_args: readonly string[], options: GlobalOptions): Promise<number> {
  const findings: Finding[] = [];
  let config: Config | null = null;
  try {
    config = loadConfig(options.config);
    findings.push(ok('configuration', `${config.file}, policy ${config.policyVersion}`));
    for (const key of config.inactive) {
      findings.push(
        warn(
          'configuration',
          `${key} is accepted, but this version does not act on it`,
          `remove ${key}, or wait for a later version`,
        ),
      );
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) {
      findings.push(
        fail('configuration', `${options.config}:${problem.line} ${problem.path}: ${problem.message}`, problem.fix),
      );
    }
    // The rest is judged by what the daemon runs with.
    config = await instead(options.config, error);
  }
  findings.push(...(await machine(config)));
  if (config) {
    findings.push(...(await suricata(config)));
    const status = await daemonStatus(config).catch(() => null);
    if (status) findings.push(...running(status));
    else findings.push(fail('daemon', 'Barricata does not run', 'barricata start'));
  }
  report(findings, options);
  return findings.some((f) => f.state === 'fail') ? EXIT.no : EXIT.done;
}

function report(findings: readonly Finding[], options: GlobalOptions): void {
  if (options.quiet) return;
  const form = outputForm(options.output);
  if (form !== 'table') {
    printRows(
      form,
      findings,
      [
        { title: 'STATE', value: (f) => f.state },
        { title: 'CHECK', value: (f) => f.check },
        { title: 'DETAIL', value: (f) => f.detail },
        { title: 'FIX', value: (f) => f.fix },
      ],
      (f) => f,
    );
    return;
  }
  const colour = { ok: 'good', warn: 'warn', fail: 'bad' } as const;
  for (const f of findings) {
    print(`${mark(colour[f.state], f.state.padEnd(5))} ${f.check.padEnd(15)} ${printable(f.detail)}`);
    if (f.fix) print(`${' '.repeat(22)}-> ${printable(f.fix)}`);
  }
}

async function machine(config: Config | null): Promise<Finding[]> {
  const findings: Finding[] = [];
  findings.push(
    process.getuid?.() === 0
      ? ok('permission', 'runs as root')
      : warn('permission', 'not root: the kernel cannot be looked at from here', 'sudo barricata doctor'),
  );
  try {
    libc();
    findings.push(ok('netlink', 'the foreign function interface works'));
  } catch (error) {
    findings.push(
      fail(
        'netlink',
        `${messageOf(error)}; sets go through the ipset command and the packet filter stays off`,
        'npm ci --ignore-scripts',
      ),
    );
  }
  const tools: [string, string][] = [
    ['iptables', 'iptables'],
    ['ip6tables', 'iptables'],
    ['ipset', 'ipset'],
  ];
  if (config?.redis.embedded) tools.push(['redis-server', 'redis-server']);
  for (const [tool, name] of tools) {
    const path = await whereIs(tool);
    findings.push(
      path ? ok('tools', `${tool} is ${path}`) : fail('tools', `${tool} is missing`, `apt-get install ${name}`),
    );
  }
  const queue = await readFile('/proc/net/netfilter/nfnetlink_queue').catch(() => null);
  findings.push(
    queue
      ? ok('kernel', 'NFQUEUE is there')
      : fail('kernel', 'the kernel has no NFQUEUE, so the packet filter stays off', 'modprobe nfnetlink_queue'),
  );
  if (config === null || config.filter.flood !== null) {
    const cookies = sysctl('net.ipv4.tcp_syncookies');
    const fix = 'sysctl -w net.ipv4.tcp_syncookies=1';
    findings.push(
      cookies === null
        ? warn(
            'kernel',
            'this kernel has no SYN cookies, so that a SYN flood fills the backlog',
            'install a full kernel',
          )
        : cookies === '0'
          ? warn('kernel', 'SYN cookies are off, so that a SYN flood fills the backlog', fix)
          : ok('kernel', 'SYN cookies are on'),
    );
  }
  if (config?.filter.flood?.then === 'synproxy') {
    const problem = synproxyProblem();
    findings.push(
      problem === null
        ? ok('kernel', 'SYNPROXY has the sysctls that it needs')
        : warn('kernel', `${problem}; until then flooded services are held at a rate`, SYNPROXY_FIX),
    );
  }
  findings.push(...connectionTracking(conntrackStatus()));
  return findings;
}

/** Without it nothing is wrong, but nothing of the packet filter is proven either. */
export function connectionTracking(status: ConntrackStatus | null): Finding[] {
  const check = 'conntrack';
  if (status === null)
    return [warn(check, 'the kernel tracks no connections: no detection is ever proven', 'modprobe nf_conntrack')];
  const { entries, most, events, liberal } = status;
  const findings: Finding[] = [];
  if (entries > most * CONNTRACK_FULL)
    findings.push(
      warn(
        check,
        `${entries} of ${most} connections: when it is full, new connections are dropped`,
        `sysctl -w net.netfilter.nf_conntrack_max=${most * 2}`,
      ),
    );
  if (events === 0)
    findings.push(
      warn(check, 'its events are off: no detection is ever proven', 'sysctl -w net.netfilter.nf_conntrack_events=2'),
    );
  if (liberal)
    findings.push(
      warn(
        check,
        'it takes any ACK for the end of a handshake, so nothing it says is proof',
        'sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=0',
      ),
    );
  return findings.length > 0 ? findings : [ok(check, `${entries} of ${most} connections, events on`)];
}

async function suricata(config: Config): Promise<Finding[]> {
  const probe = await probeSuricata(config.suricata.rules);
  const text = describeSuricata(probe);
  const findings: Finding[] = [];
  if (probe.running) findings.push(ok('suricata', text));
  else
    findings.push(
      warn('suricata', 'Suricata does not run on this machine', 'apt-get install suricata && systemctl start suricata'),
    );
  if (probe.running && probe.rules === 0)
    findings.push(warn('suricata', `no rule is switched on in ${config.suricata.rules}`, 'suricata-update'));
  return findings;
}

/** What the running daemon says of itself. */
function running(s: DaemonStatus): Finding[] {
  const findings: Finding[] = [ok('daemon', `process ${s.pid}, mode ${s.mode}`)];
  findings.push(
    s.redis.up
      ? ok('redis', s.redis.cli)
      : fail(
          'redis',
          s.redis.problem ?? 'Redis is down',
          s.redis.embedded ? 'barricata stop && barricata start' : 'systemctl start redis-server',
        ),
  );
  if (s.blocklist.held > 0) {
    findings.push(
      fail(
        'blocklist',
        `${s.blocklist.held} entries went at once and are held`,
        'barricata unban --held (accept), or: barricata ban --held (write them back)',
      ),
    );
  }
  findings.push(
    s.kernel.rules === 'in place'
      ? ok('rules', 'in place, and first')
      : fail('rules', `${s.kernel.rules}`, 'barricata stop && barricata start'),
  );
  findings.push(
    s.kernel.complete && s.kernel.drift === 0
      ? ok('kernel sets', `${s.kernel.entries} elements, as wanted`)
      : fail(
          'kernel sets',
          s.kernel.complete ? `${s.kernel.drift} elements differ from what is wanted` : 'not compared yet',
          'barricata status',
        ),
  );
  for (const failure of s.kernel.failures) findings.push(fail('kernel sets', failure, 'barricata status'));
  findings.push(
    s.queue.bound
      ? ok('queue', `bound, ${s.queue.packets} packets judged`)
      : fail('queue', s.queue.problem ?? 'not bound', 'barricata stop && barricata start'),
  );
  if (s.queue.dropped > 0)
    findings.push(
      warn('queue', `${s.queue.dropped} packets were lost`, 'use more queues: queue: { numbers: [100, 101] }'),
    );
  if (s.queue.unfiltered > 0)
    findings.push(
      warn(
        'queue',
        `${s.queue.unfiltered} packets passed without a verdict`,
        'use more queues: queue: { numbers: [100, 101] }',
      ),
    );
  if (s.eve.length === 0)
    findings.push(
      warn('alerts', 'no eve file exists yet', 'check suricata.eve in the configuration, and eve-log in suricata.yaml'),
    );
  for (const eve of s.eve) {
    findings.push(
      eve.opened
        ? ok('alerts', `${eve.source}: ${eve.alerts} alerts`)
        : fail(
            'alerts',
            `${eve.source}: ${eve.problem ?? 'not open'}`,
            eve.source.startsWith('/')
              ? `chmod and chown so that this process may read ${eve.source}`
              : 'see docs/eve-sources.md',
          ),
    );
    const bad = Object.entries(eve.unusable).filter(([, count]) => count > 0);
    if (bad.length > 0)
      findings.push(
        warn(
          'alerts',
          `${eve.source}: unusable lines: ${bad.map(([cause, count]) => `${count} ${cause}`).join(', ')}`,
          eve.unusable['shipper_timestamp']
            ? "read Suricata's own eve.json: a shipped copy with only @timestamp does not say when things happened"
            : 'see the log for samples',
        ),
      );
  }
  findings.push(...rulesFile(s.rules));
  for (const problem of s.protections.problems) findings.push(warn('protections', problem, 'run as root'));
  if (s.limits.reached) findings.push(fail('limits', s.limits.reached, 'barricata mode enforce --reason "looked at"'));
  for (const problem of s.config.problems)
    findings.push(fail('configuration', problem, 'correct the file; the one before stays in force'));
  return findings;
}

/** What no rule can be read from is named with its first line; a duplicate is nothing to repair. */
function rulesFile({ path, rules, problem, faults }: DaemonStatus['rules']): Finding[] {
  if (problem !== null) return [warn('rules file', `${path}: ${problem}`, 'suricata-update')];
  if (rules === null)
    return [
      warn(
        'rules file',
        `there is no ${path}: nothing is known of the rules`,
        'set suricata.rules in the configuration',
      ),
    ];
  const findings = [ok('rules file', `${path}: ${rules} rules`)];
  for (const [cause, { count, firstLine }] of Object.entries(faults)) {
    if (cause === 'duplicate') continue;
    findings.push(
      warn(
        'rules file',
        `${path}: ${count} lines left out (${cause.replaceAll('_', ' ')}), the first is line ${firstLine}`,
        `suricata -T -S ${path}`,
      ),
    );
  }
  return findings;
}

async function whereIs(tool: string): Promise<string | null> {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']) {
    const path = join(folder, tool);
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable && (await stat(path)).isFile()) return path;
  }
  return null;
}
