import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import type { ListedEntry } from '../../blocklist/manual.js';
import type { Config } from '../../config/config.js';
import { ControlError, controlRequest } from '../../daemon/control.js';
import type { RecentDecision, Step } from '../../daemon/recent-decisions.js';
import type { Prefix } from '../../net/prefix.js';
import { prefixArgument } from '../address.js';
import { bansOf, type OpenBlocklist, withBlocklist } from '../blocklist.js';
import { configOf, controlSocket } from '../context.js';
import { type KernelView, kernelView, refusalFor } from '../kernel-check.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, outputForm, print, printable, utc } from '../output.js';

/** The element of the address itself or of a network around it. */
interface Dropping {
  readonly address: string;
  readonly view: KernelView;
}

interface Answer {
  readonly address: string;
  readonly banned: boolean;
  /** The entries that ban it, itself or a network around it. */
  readonly entries: readonly ListedEntry[];
  /** What drops its packets now. */
  readonly dropping: Dropping | null;
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

async function explain(config: Config, prefix: Prefix, { acts }: OpenBlocklist): Promise<Answer> {
  const socket = controlSocket(config);
  const here = (await bansOf(config, acts, prefix)).filter(({ host }) => host === null || host === config.host);
  const texts = [...new Set([prefix.text, ...here.map(({ address }) => address)])];
  const asked = await kernelView(config, prefix.text).catch(unanswered);
  const exact = typeof asked === 'string' ? null : asked;
  let dropping: Dropping | null = null;
  // An allow of the address itself comes before the ban of a network around it.
  for (const address of exact === null || exact.allowed ? [] : texts) {
    const view = address === prefix.text ? exact : await kernelView(config, address);
    if (view?.inKernel) dropping ??= { address, view };
  }
  const recent = (await controlRequest(socket, `/why?address=${encodeURIComponent(prefix.text)}`).catch(
    () => [],
  )) as RecentDecision[];
  // The entry whose element drops the packets comes first.
  const entries = here.sort(
    (a, b) => Number(b.address === dropping?.address) - Number(a.address === dropping?.address),
  );
  const steps: Step[] = [];
  const entry = entries[0];
  if (entry) steps.push(...stepsOfEntry(entry));
  steps.push(...(recent.at(-1)?.steps ?? []).filter((step) => !steps.some((known) => known.check === step.check)));
  if (!steps.some((step) => step.check === 'protection')) {
    const refusal = await refusalFor(config, prefix, acts);
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
  steps.push(kernelStep(asked, dropping, prefix.text));
  return { address: prefix.text, banned: dropping !== null, entries, dropping, recent, steps };
}

/** Without a daemon nobody knows the kernel; any other failure is one. */
function unanswered(error: unknown): string {
  if (error instanceof ControlError) return error.message;
  throw error;
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
  if (record.effect !== undefined) {
    steps.push({ check: 'effect', result: record.effect, detail: 'the packets here carry the address of its proxy' });
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

function kernelStep(exact: KernelView | string, dropping: Dropping | null, asked: string): Step {
  if (typeof exact === 'string') return { check: 'kernel', result: 'unknown', detail: exact };
  if (dropping !== null) {
    const { address, view } = dropping;
    const left = view.timeout ? `timeout ${view.timeout} s` : 'no timeout';
    const part = address === asked ? '' : `as part of ${address}, `;
    return { check: 'kernel', result: 'in the set', detail: `${part}${left}, ${view.packets} packets dropped` };
  }
  return { check: 'kernel', result: 'not in the set', detail: whyNot(exact) };
}

function whyNot({ refusal, mode, rules }: KernelView): string {
  if (refusal !== null) return refusal;
  if (mode === 'off') return 'the mode is off: nothing is dropped';
  return rules === 'in place' ? 'not wanted' : `the rules are ${rules}: nothing is dropped`;
}

function ends(until: number): string {
  return until === FOREVER ? 'for good' : `until ${utc(until)} (${formatDuration((until - Date.now()) / 1000)} left)`;
}

function headline({ banned }: Answer, entry: ListedEntry | undefined, part: string): string {
  if (entry?.record.effect !== undefined)
    return `BANNED ${ends(entry.until)}${part}, WITHOUT EFFECT HERE (behind a proxy)`;
  if (banned)
    return entry ? `BANNED ${ends(entry.until)}${part}` : 'BANNED in the kernel, and no key asks for it any more';
  return entry ? 'NOT BLOCKED, although a key asks for it' : 'NOT BANNED';
}

function screen(answer: Answer): string[] {
  const [entry] = answer.entries;
  const by = answer.dropping?.address ?? answer.address;
  const part = by === answer.address ? '' : `, as part of ${by}`;
  const lines = [headline(answer, entry, part)];
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
      ? entry
        ? `undo: barricata unban ${by} --reason "..."`
        : 'undo: barricata unban --held (see barricata status)'
      : `to ban it: barricata ban ${answer.address} --for 1h --reason "..."`,
  );
  return lines;
}
