import type { EpochMs } from '../base/clock.js';
import { formatDuration } from '../base/duration.js';
import type { RepeatOffenders } from '../config/config.js';
import { type Prefix, prefix } from '../net/prefix.js';
import type { Ban, Decision, Step } from './ban.js';
import type { DecisionContext } from './context.js';
import { offenderOf, type PastBan, type PastBans } from './past-bans.js';

/** So many different proven addresses of one IPv6 /64 within so long (ms) ban the /64. */
const ADDRESSES = 3;
const REMEMBERED = 86_400_000;

type Facts = Pick<DecisionContext, 'refuse' | 'isInfrastructure' | 'home' | 'repeatOffenders' | 'exceptionInside'>;

/**
 * Makes a proven ban wider or longer by what is known of the offender: the third
 * address of one IPv6 /64 bans the /64, and a further ban of the same offender
 * lasts longer. Everything else is given back as it is: a ban without proof, or
 * of an inside host, neither counts nor grows.
 *
 * A function of its arguments; notes the ban in `past`, so that the next
 * decisions know it. The same decision again changes nothing.
 */
export function withRepeats(decision: Decision, past: PastBans, facts: Facts): Decision {
  if (decision.kind !== 'ban' || !counts(decision.ban)) return decision;
  const { ban } = decision;
  const at = Date.parse(ban.record.first);
  const steps: Step[] = [];
  const host = prefix(ban.prefix);
  const offender = offenderOf(host);
  const known = past.of(offender.text);
  const target = offender.length < host.length ? widened({ host, offender, known, at }, facts, steps) : host;
  const { repeatOffenders } = facts;
  const earlier = repeatOffenders === null ? 0 : earlierBans(known, target.text, at, repeatOffenders);
  const until = repeatOffenders === null ? ban.until : lengthened(ban.until, earlier, at, repeatOffenders, steps);
  past.add(offender.text, { prefix: target.text, madeAt: at, until });
  const keepFor = Math.max(repeatOffenders?.forgetAfter ?? 0, host.family === 6 ? REMEMBERED / 1000 : 0);
  return {
    ...decision,
    ban: {
      ...ban,
      prefix: target.text,
      until,
      record: {
        ...ban.record,
        ...(earlier > 0 && { earlier_bans: earlier }),
        ...(target !== host && { widened_from: host.text }),
      },
      ...(keepFor > 0 && { offence: { offender: offender.text, keepFor } }),
    },
    steps: steps.length > 0 ? [...decision.steps, ...steps] : decision.steps,
  };
}

/** Inside, a /64 is a network of ours and not one attacker. */
function counts({ proven, record }: Ban): boolean {
  return proven && record.role === 'inbound';
}

interface Question {
  readonly host: Prefix;
  /** The host's /64. */
  readonly offender: Prefix;
  readonly known: readonly PastBan[];
  readonly at: EpochMs;
}

/** The /64 when it is time to ban that, and nothing in it is protected; else the host. */
function widened({ host, offender, known, at }: Question, facts: Facts, steps: Step[]): Prefix {
  const isBanned = known.some(({ prefix: text, until }) => text === offender.text && until > at);
  const addresses = new Set([host.text]);
  for (const { prefix: text, madeAt } of known) {
    if (text !== offender.text && madeAt < at && madeAt > at - REMEMBERED) addresses.add(text);
  }
  if (!isBanned && addresses.size < ADDRESSES) return host;
  const refusal = whyNot(offender, facts);
  if (refusal === null) {
    const why = isBanned ? 'the network is banned' : `${addresses.size} addresses of it attacked within 24h`;
    steps.push({ check: 'escalation', result: offender.text, detail: `${host.text}: ${why}` });
    return offender;
  }
  steps.push({ check: 'escalation', result: 'no', detail: `only ${host.text}: ${offender.text} ${refusal}` });
  return host;
}

/** Stricter than for one address: also what only unproven evidence spares is spared here. */
function whyNot(network: Prefix, facts: Facts): string | null {
  const refusal = facts.refuse(network);
  if (refusal !== null) return refusal.detail;
  if (facts.home.covering(network) !== null || facts.home.inside(network) !== null) return 'touches home';
  if (facts.isInfrastructure(network)) return 'touches public infrastructure';
  const exception = facts.exceptionInside(network);
  return exception === null ? null : `holds what ${exception} excepts`;
}

/** Bans made before, without the one that lasts and is only extended. */
function earlierBans(known: readonly PastBan[], text: string, at: EpochMs, { forgetAfter }: RepeatOffenders): number {
  let count = 0;
  for (const ban of known) {
    const isExtended = ban.prefix === text && ban.until > at;
    if (!isExtended && ban.madeAt < at && ban.madeAt > at - forgetAfter * 1000) count += 1;
  }
  return count;
}

function lengthened(until: EpochMs, earlier: number, at: EpochMs, rules: RepeatOffenders, steps: Step[]): EpochMs {
  const factor = rules.multiply[Math.min(earlier, rules.multiply.length - 1)] ?? 1;
  if (factor === 1 || until === Number.POSITIVE_INFINITY) return until;
  // A line that bans for longer than `never_over` by itself is obeyed.
  const lasts = Math.max(until - at, Math.min((until - at) * factor, rules.neverOver * 1000));
  const times = earlier === 0 ? 'first ban' : `${earlier} earlier within ${formatDuration(rules.forgetAfter)}`;
  const detail = `${times}: ${factor} times as long, at most ${formatDuration(rules.neverOver)}`;
  steps.push({ check: 'repeat offender', result: formatDuration(lasts / 1000), detail });
  return at + lasts;
}

/**
 * `withRepeats`, and then the limits: a ban becomes longer or wider by those
 * before it, and a would-be ban where a limit stops it. What was not made is no
 * offence, so `past` forgets it again.
 */
export function admitted(
  decision: Decision,
  past: PastBans,
  facts: Facts,
  limits: { admit(decision: Decision): Decision },
): Decision {
  const [offender] = offendersIn([decision]);
  if (offender === undefined) return limits.admit(decision);
  const before = past.of(offender);
  const result = limits.admit(withRepeats(decision, past, facts));
  if (result.kind !== 'ban') past.set(offender, before);
  return result;
}

/** The offenders whose past bans a decision has to know, for `withRepeats`. */
export function offendersIn(decisions: readonly Decision[]): Set<string> {
  const offenders = new Set<string>();
  for (const decision of decisions) {
    if (decision.kind === 'ban' && counts(decision.ban)) offenders.add(offenderOf(prefix(decision.ban.prefix)).text);
  }
  return offenders;
}
