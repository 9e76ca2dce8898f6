import type { EpochMs } from '../base/clock.js';
import { formatDuration } from '../base/duration.js';
import type { Config, PolicyLine } from '../config/config.js';
import type { Ruleset } from '../suricata/ruleset.js';
import { engineEvent } from './engine-event.js';
import { implies, meetsNothing } from './implies.js';
import { lintPacketRules } from './lint-packet-rules.js';
import { lintRules, selectsRules } from './lint-rules.js';
import { plain } from './match.js';

/** Stable names, one a kind of warning. */
export type WarningCode =
  | 'unreachable'
  | 'matches_nothing'
  | 'unproven_ban'
  | 'never_bans'
  | 'default_deny'
  | 'longer_than_never_over'
  | 'ended'
  | 'unknown_sid'
  | 'empty_sid_range'
  | 'unknown_category'
  | 'wrong_side'
  | 'never_alerts';

/** Something that is allowed and probably not meant. */
export interface Warning {
  readonly code: WarningCode;
  /** 1-based; 0 where the file has no line for it. */
  readonly line: number;
  /** Name of the policy line, or the key. */
  readonly subject: string;
  readonly message: string;
  readonly fix: string;
  /** Of `wrong_side`: the sids of the rules, by why they are doubted. */
  readonly sids?: Readonly<Partial<Record<RuleDoubt, readonly number[]>>>;
}

/** Why a rule may name the wrong end of a connection, or name it by chance. */
export type RuleDoubt = 'own_network_as_source' | 'any_to_any' | 'no_direction' | 'counts_by_destination';

export interface LintFacts {
  readonly now: EpochMs;
  /** `null` when there is no rules file: what needs it is not looked for. */
  readonly ruleset: Ruleset | null;
  /** Categories by classtype, from Suricata's classification.config; `null` when that is not there. */
  readonly categories: ReadonlyMap<string, string> | null;
}

/** Descriptions of `not-suspicious` and `misc-activity`: classes whose rules tell of nothing bad. */
const HARMLESS: readonly string[] = ['not suspicious traffic', 'misc activity'];
const ENGINE = 'generic protocol command decode';

/** What in a correct configuration looks like a mistake, in the order of the file. */
export function lint(config: Config, facts: LintFacts): Warning[] {
  const warnings = [
    ...endedEntries(config, facts.now),
    ...config.policy.flatMap((line, index) => [
      ...reach(line, config.policy.slice(0, index), config),
      ...(line.then.kind === 'ban' ? bans(line, line.then.duration, config) : []),
    ]),
    ...lintPacketRules(config),
    ...lintRules(config.policy, facts),
  ];
  if (config.otherwise.kind === 'ban') {
    warnings.push({
      code: 'default_deny',
      line: 0,
      subject: 'otherwise',
      message: 'whatever no line speaks of is banned: also what rules of class not-suspicious and misc-activity tell',
      fix: 'write otherwise: note, and a line for what is to be banned',
    });
  }
  return warnings.sort((a, b) => a.line - b.line);
}

function endedEntries({ neverBan }: Config, now: EpochMs): Warning[] {
  return neverBan.listed.flatMap(({ prefix, line, until }) =>
    until === null || until > now
      ? []
      : [
          {
            code: 'ended' as const,
            line,
            subject: 'never_ban',
            message: `${prefix.text} was protected until ${new Date(until).toISOString()} and is no more`,
            fix: 'remove the entry, or give it a later until',
          },
        ],
  );
}

function reach(line: PolicyLine, earlier: readonly PolicyLine[], { home }: Config): Warning[] {
  const of = { line: line.line, subject: line.name };
  if (meetsNothing(line.when)) {
    const message = 'no sid is in both sid and sid_range, so that the line matches nothing';
    return [{ code: 'matches_nothing', ...of, message, fix: 'remove one of the two' }];
  }
  const before = earlier.find(({ when }) => !meetsNothing(when) && implies(line.when, when, home));
  if (before === undefined) return [];
  const same = implies(before.when, line.when, home);
  const message = same
    ? `has the same conditions as line ${before.line} "${before.name}", which decides first`
    : `is never reached: line ${before.line} "${before.name}" matches all that it could match`;
  const fix = same ? 'remove one of the two' : `put it before "${before.name}", or remove it`;
  return [{ code: 'unreachable', ...of, message, fix }];
}

function bans(line: PolicyLine, duration: number, { limits, repeatOffenders }: Config): Warning[] {
  const { when } = line;
  const warnings: Warning[] = [];
  const warn = (code: WarningCode, message: string, fix: string) =>
    warnings.push({ code, line: line.line, subject: line.name, message, fix });
  if (when.proven !== true) {
    warn(
      'unproven_ban',
      `bans without proven: true: where the source is not shown to be real, a ban is cut to ${formatDuration(limits.unprovenNeverOver)} on this host`,
      'add proven: true',
    );
  }
  const longest = repeatOffenders?.neverOver;
  if (longest !== undefined && duration > longest) {
    const fix = `shorten it, or lengthen repeat_offenders.never_over`;
    warn(
      'longer_than_never_over',
      `bans for ${formatDuration(duration)}, longer than repeat_offenders.never_over ${formatDuration(longest)}`,
      fix,
    );
  }
  for (const category of when.category ?? []) {
    if (plain(category) === ENGINE) {
      warn('never_bans', `"${category}" is Suricata's own decoding, which never bans`, `remove "${category}"`);
    } else if (HARMLESS.includes(plain(category))) {
      warn('default_deny', `"${category}" tells of nothing bad, and its rules would ban`, `remove "${category}"`);
    }
  }
  for (const sid of when.sid ?? []) {
    const engine = engineEvent({ sid, category: '', signature: '' });
    if (engine !== null) warn('never_bans', `${engine}, which never ban`, `remove ${sid}`);
  }
  if (!selectsRules(when)) {
    warn(
      'default_deny',
      'names no sid, category, signature or metadata, so that rules of class not-suspicious and misc-activity ban too',
      'name the categories that are attacks',
    );
  }
  return warnings;
}
