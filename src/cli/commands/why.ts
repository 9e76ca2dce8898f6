import { FOREVER } from '../../base/clock.js';
import { formatDuration } from '../../base/duration.js';
import { messageOf } from '../../base/errors.js';
import { BlocklistError } from '../../blocklist/errors.js';
import type { JournalEntry } from '../../blocklist/journal.js';
import type { ListedEntry } from '../../blocklist/manual.js';
import type { Config } from '../../config/config.js';
import type { Step } from '../../daemon/recent-decisions.js';
import type { Prefix } from '../../net/prefix.js';
import { prefixArgument } from '../address.js';
import { bansOf, withBlocklist } from '../blocklist.js';
import { configOf } from '../context.js';
import { actOf } from '../journal-line.js';
import { type KernelView, kernelNow, refusalFor } from '../kernel-check.js';
import type { GlobalOptions } from '../options.js';
import { EXIT, type ExitCode, outputForm, print, printable, utc } from '../output.js';
import { coverageLine, decisionStep, type Seen, type SeenAnswer, seenOf, tellingOf } from '../seen.js';

/** Journal lines that are shown, and how far back they are looked for. */
const JOURNAL_LINES = 5;
const JOURNAL_DEPTH = 20_000;
/** Other things that were decided, of which one line each is shown. */
const EARLIER = 8;

/** The element of the address itself or of a network around it. */
interface Dropping {
  readonly address: string;
  readonly view: KernelView;
}

/** What Redis says; empty when it does not answer. */
interface Stored {
  /** The entries that ban it here, itself or a network around it. */
  readonly entries: ListedEntry[];
  /** Newest first. */
  readonly journal: readonly JournalEntry[];
  readonly protection: Step | null;
  /** Why it could not be read. */
  readonly problem: string | null;
}

interface Answer {
  readonly address: string;
  /** `null`: nobody could look into the kernel. */
  readonly banned: boolean | null;
  readonly stored: Stored;
  /** What drops its packets now. */
  readonly dropping: Dropping | null;
  readonly found: SeenAnswer;
  readonly steps: readonly Step[];
  readonly unread: readonly string[];
}

/** Why an address is banned (exit 0), or which check stopped it (exit 1); 4 when nobody can look into the kernel. */
export async function run([address]: readonly string[], options: GlobalOptions): Promise<number> {
  const config = await configOf(options);
  const prefix = prefixArgument(address);
  const answer = await explain(config, prefix, options);
  if (!options.quiet) {
    if (outputForm(options.output) === 'json') print(JSON.stringify(asJson(answer)));
    else for (const line of screen(answer)) print(line);
  }
  return exitOf(answer);
}

function exitOf({ banned }: Answer): ExitCode {
  return banned === null ? EXIT.unreachable : banned ? EXIT.done : EXIT.no;
}

async function explain(config: Config, prefix: Prefix, options: GlobalOptions): Promise<Answer> {
  const stored = await storedOf(config, prefix, options);
  const texts = [...new Set([prefix.text, ...stored.entries.map(({ address }) => address)])];
  const asked = await kernelNow(config, prefix);
  const exact = typeof asked === 'string' ? null : asked;
  let dropping: Dropping | null = null;
  // An allow of the address itself comes before the ban of a network around it.
  for (const address of exact === null || exact.allowed ? [] : texts) {
    const view = address === prefix.text ? exact : await kernelNow(config, prefixArgument(address));
    if (view !== null && typeof view !== 'string' && view.inKernel) dropping ??= { address, view };
  }
  // The entry whose element drops the packets comes first.
  const place = ({ address }: ListedEntry) => Number(address !== dropping?.address);
  stored.entries.sort((a, b) => place(a) - place(b));
  const found = await seenOf(config, prefix);
  const telling = tellingOf(found.seen, dropping !== null || stored.entries.length > 0);
  const steps = [...stepsOf(stored, telling, prefix.text), kernelStep(asked, dropping, prefix.text)];
  const unread = [...(stored.problem === null ? [] : [`Redis: ${stored.problem}`]), ...found.unread];
  const banned = exact === null ? null : dropping !== null;
  return { address: prefix.text, banned, stored, dropping, found, steps, unread };
}

async function storedOf(config: Config, prefix: Prefix, options: GlobalOptions): Promise<Stored> {
  try {
    return await withBlocklist(config, options, async ({ acts }) => {
      const entries = (await bansOf(config, acts, prefix)).filter(({ host }) => host === null || host === config.host);
      const texts = new Set([prefix.text, ...entries.map(({ address }) => address)]);
      const journal = await acts.journal.read(JOURNAL_LINES, ({ address }) => texts.has(address), JOURNAL_DEPTH);
      const refusal = await refusalFor(config, prefix, acts);
      const detail = refusal === null ? `nothing protects ${prefix.text}` : `${prefix.text} ${refusal.detail}`;
      const protection = { check: 'protection', result: refusal?.cause ?? 'none', detail };
      return { entries, journal, protection, problem: null };
    });
  } catch (error) {
    if (!(error instanceof BlocklistError)) throw error;
    return { entries: [], journal: [], protection: null, problem: messageOf(error) };
  }
}

/** From what was seen to the key: the decision's own checks, what became of it, and what Redis says now. */
function stepsOf(
  { entries, journal, protection, problem }: Stored,
  telling: Seen | undefined,
  address: string,
): Step[] {
  const [entry] = entries;
  const steps: Step[] = [];
  // A ban by hand is explained by itself; what was decided before it is not why it is there.
  const byHand = entry !== undefined && (entry.record.source === 'manual' || entry.record.source === 'import');
  if (telling !== undefined && !byHand) steps.push(...telling.steps, decisionStep(telling));
  const known = new Set(steps.map(({ check }) => check));
  if (entry !== undefined) steps.push(...stepsOfEntry(entry, known));
  if (protection !== null && !known.has('protection')) steps.push(protection);
  const [last] = journal;
  if (last !== undefined)
    steps.push({ check: 'journal', result: last.act, detail: `${utcOf(last.at)}  ${actOf(last)}` });
  if (problem !== null) steps.push({ check: 'redis', result: 'unknown', detail: problem });
  else if (entry === undefined) steps.push({ check: 'redis', result: 'not banned', detail: `no key bans ${address}` });
  else steps.push({ check: 'redis', result: 'banned', detail: `${entry.key}, ${ends(entry.until)}` });
  return steps;
}

/** How a stored ban came about, from its record; without the checks that are known better. */
function stepsOfEntry({ record }: ListedEntry, known: ReadonlySet<string>): Step[] {
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
  if (record.policy !== null && record.policy_version !== null) {
    const detail = `"${record.policy}" of policy version ${record.policy_version}`;
    steps.push({ check: 'policy', result: 'ban', detail });
  }
  const own = steps.filter(({ check }) => !known.has(check));
  const by = record.by === null ? '' : ` by ${record.by}`;
  const sid = record.sid === null ? '' : `sid ${record.sid} `;
  const times = record.count === 1 ? 'once' : `${record.count} times`;
  const detail = `${sid}${record.reason}${by}, seen ${times} since ${utc(record.first)}`;
  return [...own, { check: 'ban', result: record.source, detail }];
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

function headline({ banned, stored }: Answer, part: string): string {
  const [entry] = stored.entries;
  if (entry?.record.effect !== undefined)
    return `BANNED ${ends(entry.until)}${part}, WITHOUT EFFECT HERE (behind a proxy)`;
  if (banned === null)
    return entry
      ? `BANNED in Redis ${ends(entry.until)}; the kernel could not be asked`
      : 'NOT BANNED in Redis; the kernel could not be asked';
  if (banned) {
    if (entry) return `BANNED ${ends(entry.until)}${part}`;
    return `BANNED in the kernel${stored.problem === null ? ', and no key asks for it any more' : '; Redis could not be asked'}`;
  }
  return entry ? 'NOT BLOCKED, although a key asks for it' : 'NOT BANNED';
}

function screen(answer: Answer): string[] {
  const { address, stored, dropping, found, unread } = answer;
  const by = dropping?.address ?? address;
  const lines = [headline(answer, by === address ? '' : `, as part of ${by}`)];
  for (const { check, result, detail } of answer.steps)
    lines.push(`  ${check.padEnd(13)} ${printable(result).padEnd(11)} ${printable(detail)}`);
  const others = found.seen.filter(({ steps }) => !answer.steps.includes(steps[0] as Step)).slice(0, EARLIER);
  if (others.length > 0) lines.push('  also decided:');
  for (const { at, kind, about, count } of others)
    lines.push(
      `    ${utc(at)}  ${kind.replaceAll('_', ' ').padEnd(9)}  ${String(count).padStart(6)} x  ${printable(about)}`,
    );
  if (stored.journal.length > 1) lines.push('  done before:');
  for (const line of stored.journal.slice(1)) lines.push(`    ${utcOf(line.at)}  ${printable(actOf(line))}`);
  if (found.coverage !== null) lines.push(`  ${coverageLine(found.coverage)}`);
  for (const problem of unread) lines.push(`  not read: ${printable(problem)}`);
  lines.push(wayOut(answer, by));
  return lines;
}

function wayOut({ banned, stored, address }: Answer, by: string): string {
  if (stored.entries.length > 0) return `undo: barricata unban ${by} --reason "..."`;
  if (banned && stored.problem !== null) return `undo, as soon as Redis answers: barricata unban ${by} --reason "..."`;
  if (banned) return 'undo: barricata unban --held (see barricata status)';
  return `to ban it: barricata ban ${address} --for 1h --reason "..."`;
}

function asJson({ address, banned, steps, stored, found, unread }: Answer): object {
  return {
    address,
    banned: banned === true,
    steps,
    decisions: found.seen.map(({ at, steps: _, ...rest }) => ({ at: new Date(at).toISOString(), ...rest })),
    journal: stored.journal.map(({ at, act, by, from, why, ticket }) => ({ at, act, by, from, why, ticket })),
    history: found.coverage,
    unread,
  };
}

function utcOf(at: string): string {
  return Number.isNaN(Date.parse(at)) ? at : utc(at);
}
