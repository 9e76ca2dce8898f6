import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import type { ListedEntry } from '../../blocklist/manual.js';
import type { Config } from '../../config/config.js';
import { controlRequest } from '../../daemon/control.js';
import { refusalOf } from '../../daemon/gate.js';
import type { RecentDecision, Step } from '../../daemon/recent-decisions.js';
import { contains, type Prefix, prefix as prefixFrom } from '../../net/prefix.js';
import { prefixArgument } from '../address.js';
import { type OpenBlocklist, withBlocklist } from '../blocklist.js';
import { configOf, controlSocket } from '../context.js';
import { type KernelView, kernelView } from '../kernel-check.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, outputForm, print, printable, utc } from '../output.js';

interface Answer {
  readonly address: string;
  readonly banned: boolean;
  /** The entries that ban it, itself or a network around it. */
  readonly entries: readonly ListedEntry[];
  readonly kernel: KernelView | null;
  readonly recent: readonly RecentDecision[];
  readonly steps: readonly Step[];
}

/** Why an address is banned (exit 0), or which check stopped it (exit 1). */
export async function run([address]: readonly string[], options: GlobalOptions): Promise<number> {
  const config = await configOf(options);
  const prefix = prefixArgument(address);
  const answer = await withBlocklist(config, options, (blocklist) => explain(config, prefix, blocklist));
  if (!options.quiet) {
    if (outputForm(options.output) === 'json')
      print(JSON.stringify({ address: answer.address, banned: answer.banned, steps: answer.steps }));
    else for (const line of screen(answer)) print(line);
  }
  return answer.banned ? EXIT.done : EXIT.no;
}

async function explain(config: Config, prefix: Prefix, blocklist: OpenBlocklist): Promise<Answer> {
  const { acts } = blocklist;
  const socket = controlSocket(config);
  const entries: ListedEntry[] = [];
  for await (const page of acts.list('ban')) {
    for (const entry of page) {
      if ((entry.host === null || entry.host === config.host) && contains(prefixFrom(entry.address), prefix))
        entries.push(entry);
    }
  }
  entries.sort((a, b) => b.until - a.until);
  const kernel = await kernelView(config, prefix.text).catch(() => null);
  const recent = (await controlRequest(socket, `/why?address=${encodeURIComponent(prefix.text)}`).catch(
    () => [],
  )) as RecentDecision[];
  const steps: Step[] = [];
  const entry = entries[0];
  if (entry) steps.push(...stepsOfEntry(entry));
  steps.push(...(recent.at(-1)?.steps ?? []).filter((step) => !steps.some((known) => known.check === step.check)));
  const refusal = await refusalOf(config, prefix, acts);
  if (!steps.some((step) => step.check === 'protection')) {
    steps.push({
      check: 'protection',
      result: refusal?.cause ?? 'none',
      detail: refusal === null ? `nothing protects ${prefix.text}` : `${prefix.text} ${refusal.detail}`,
    });
  }
  steps.push(
    entry
      ? { check: 'redis', result: 'banned', detail: `${entry.key}, ${ends(entry.until)}` }
      : { check: 'redis', result: 'not banned', detail: `no key bans ${prefix.text}` },
  );
  steps.push(kernelStep(kernel));
  const banned = entry !== undefined && kernel?.inKernel === true;
  return { address: prefix.text, banned, entries, kernel, recent, steps };
}

/** How a stored ban came about, from its record. */
function stepsOfEntry({ record }: ListedEntry): Step[] {
  const steps: Step[] = [];
  if (record.resolved_by !== null) {
    const target = record.target === null ? '' : ` against ${record.target}`;
    steps.push({
      check: 'attribution',
      result: record.role ?? 'unknown',
      detail: `attacker${target}, found by ${record.resolved_by}`,
    });
  }
  if (record.source === 'suricata' || record.source === 'filter') {
    steps.push({
      check: 'evidence',
      result: record.proof ?? 'unproven',
      detail:
        record.proof === null
          ? 'the source may be forged: this host only, and short'
          : `two-way exchange shown by ${record.proof}`,
    });
  }
  const by = record.by === null ? '' : ` by ${record.by}`;
  const sid = record.sid === null ? '' : ` sid ${record.sid}`;
  steps.push({
    check: 'decision',
    result: record.source,
    detail:
      `${record.policy === null ? '' : `policy "${record.policy}"`}${sid} ${record.reason}${by}, seen ${record.count === 1 ? 'once' : `${record.count} times`} since ${utc(record.first)}`.trim(),
  });
  return steps;
}

function kernelStep(kernel: KernelView | null): Step {
  if (kernel === null) return { check: 'kernel', result: 'unknown', detail: 'the daemon does not run' };
  if (kernel.inKernel) {
    const left = kernel.timeout ? `timeout ${kernel.timeout} s` : 'no timeout';
    return { check: 'kernel', result: 'in the set', detail: `${left}, ${kernel.packets} packets dropped` };
  }
  const why = kernel.refusal ?? (kernel.mode === 'off' ? 'the mode is off: nothing is dropped' : 'not wanted');
  return { check: 'kernel', result: 'not in the set', detail: why };
}

function ends(until: number): string {
  return until === FOREVER ? 'for good' : `until ${utc(until)} (${formatDuration((until - Date.now()) / 1000)} left)`;
}

function screen(answer: Answer): string[] {
  const [entry] = answer.entries;
  const lines = [
    answer.banned && entry
      ? `BANNED ${ends(entry.until)}${entry.address === answer.address ? '' : `, as part of ${entry.address}`}`
      : entry
        ? 'NOT BLOCKED, although a key asks for it'
        : 'NOT BANNED',
  ];
  for (const { check, result, detail } of answer.steps)
    lines.push(`  ${check.padEnd(13)} ${printable(result).padEnd(11)} ${printable(detail)}`);
  const others = answer.recent.slice(0, -1);
  if (others.length > 0) {
    lines.push('  earlier:');
    for (const { at, kind, about } of others)
      lines.push(`    ${utc(at)}  ${kind.replaceAll('_', ' ').padEnd(9)}  ${printable(about)}`);
  }
  lines.push(
    answer.banned
      ? `undo: barricata unban ${answer.address} --reason "..."`
      : `to ban it: barricata ban ${answer.address} --for 1h --reason "..."`,
  );
  return lines;
}
