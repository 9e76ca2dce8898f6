import type { PolicyConditions, PolicyLine } from '../config/config.js';
import { nearest } from '../config/spelling.js';
import { metadataOf, type Rule } from '../suricata/rule-text.js';
import type { Ruleset } from '../suricata/ruleset.js';
import { sidsOf } from './implies.js';
import type { LintFacts, RuleDoubt, Warning, WarningCode } from './lint.js';
import { metaMatches, plain, signatureHas } from './match.js';
import { sideOf } from './rule-facts.js';

/** So many sids are named where more are meant. */
const EXAMPLES = 3;

/** What of the policy does not fit the rules that Suricata runs. Nothing without a rules file. */
export function lintRules(policy: readonly PolicyLine[], { ruleset, categories }: LintFacts): Warning[] {
  if (ruleset === null) return [];
  const sids = [...ruleset.sids()].sort((a, b) => a - b);
  const known = new Set(sids);
  const described = new Set([...ruleset.classtypes()].flatMap((name) => categories?.get(name) ?? []));
  return policy.flatMap((line) => [
    ...absentSids(line, known, sids, ruleset.path),
    ...(categories === null ? [] : absentCategories(line, categories, described)),
    ...(line.then.kind === 'ban' ? matchedRules(line, ruleset, categories) : []),
  ]);
}

function warning(code: WarningCode, { line, name }: PolicyLine, message: string, fix: string): Warning {
  return { code, line, subject: name, message, fix };
}

function absentSids(line: PolicyLine, known: ReadonlySet<number>, sorted: readonly number[], path: string): Warning[] {
  const absent = (line.when.sid ?? []).filter((sid) => !known.has(sid));
  const empty = (line.when.sidRange ?? []).filter(([first, last]) => {
    const next = sorted[firstAtLeast(sorted, first)];
    return next === undefined || next > last;
  });
  return [
    ...absent.map((sid) =>
      warning('unknown_sid', line, `no rule in ${path} has sid ${sid}`, `remove ${sid}, or switch its rule on`),
    ),
    ...empty.map(([first, last]) =>
      warning('empty_sid_range', line, `no rule in ${path} has a sid from ${first} to ${last}`, 'correct the range'),
    ),
  ];
}

/** Where in a sorted list the numbers from `wanted` on begin. */
function firstAtLeast(sorted: readonly number[], wanted: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param categories of every class, @param described of those that rules use */
function absentCategories(
  line: PolicyLine,
  categories: ReadonlyMap<string, string>,
  described: ReadonlySet<string>,
): Warning[] {
  const used = new Set([...described].map(plain));
  const all = [...categories.values()];
  const real = new Set(all.map(plain));
  const absent = (line.when.category ?? []).filter((category) => !used.has(plain(category)));
  const unused = absent.filter((category) => real.has(plain(category)));
  return [
    ...absent
      .filter((category) => !real.has(plain(category)))
      .map((category) => {
        const near = nearest(category, all);
        const fix = near === null ? 'write a description of classification.config' : `did you mean "${near}"?`;
        return warning('unknown_category', line, `Suricata has no category "${category}"`, fix);
      }),
    ...(unused.length === 0
      ? []
      : [
          warning(
            'unknown_category',
            line,
            `no rule that is switched on has the category ${unused.map((category) => `"${category}"`).join(' or ')}`,
            'remove it, or switch such rules on',
          ),
        ]),
  ];
}

/** Which rules are doubted, and in which words. */
const DOUBTS: readonly (readonly [doubt: RuleDoubt, what: string, of: (rule: Rule) => boolean])[] = [
  ['own_network_as_source', 'name your own network as the source', ({ header }) => sideOf(header.source) === 'home'],
  [
    'any_to_any',
    'go from any to any without target',
    ({ header, target }) => sideOf(header.source) === 'any' && sideOf(header.destination) === 'any' && target === null,
  ],
  ['no_direction', 'do not say which way the packet goes', ({ flow }) => (flow?.direction ?? null) === null],
  [
    'counts_by_destination',
    'count by destination, so that the source is whoever came last',
    ({ threshold }) => threshold?.track === 'by_dst' && threshold.type !== 'limit' && threshold.type !== 'backoff',
  ],
];
const HARMLESS = ['not-suspicious', 'misc-activity'];

function matchedRules(line: PolicyLine, ruleset: Ruleset, categories: LintFacts['categories']): Warning[] {
  if (!selectsRules(line.when)) return [];
  const matched = [...ruleset.rules()].filter((rule) => mayMatch(line.when, rule, categories));
  const warnings: Warning[] = [];
  const silent = matched.filter((rule) => rule.noalert);
  if (line.when.sid !== undefined && silent.length > 0) {
    const message = `${counted(silent)} only set flow bits and never alert (noalert)`;
    warnings.push(warning('never_alerts', line, message, 'remove them'));
  }
  const loud = matched.filter((rule) => !rule.noalert);
  const classes = DOUBTS.map(([doubt, what, of]) => ({ doubt, what, rules: loud.filter(of) })).filter(
    ({ rules }) => rules.length > 0,
  );
  if (classes.length > 0) {
    const doubtful = new Set(classes.flatMap(({ rules }) => rules));
    const each = classes.map(({ what, rules }) => `${counted(rules)} ${what}`).join(', ');
    const message = `of the ${loud.length} rules that it bans by, ${doubtful.size} can point at the wrong side: ${each}`;
    const fix = 'put a line before it that notes these sids, or would ban first';
    const sids = Object.fromEntries(classes.map(({ doubt, rules }) => [doubt, rules.map(({ sid }) => sid)]));
    warnings.push({ ...warning('wrong_side', line, message, fix), sids });
  }
  const harmless = loud.filter(({ classtype }) => HARMLESS.includes(classtype ?? ''));
  // A category is warned of by its own name.
  if (harmless.length > 0 && line.when.category === undefined) {
    const message = `${counted(harmless)} are of class not-suspicious or misc-activity, which tell of nothing bad`;
    warnings.push(warning('default_deny', line, message, 'put a line before it that notes these sids'));
  }
  return warnings;
}

function counted(rules: readonly Rule[]): string {
  const sids = rules.slice(0, EXAMPLES).map(({ sid }) => sid);
  return `${rules.length} (${sids.join(', ')}${rules.length > EXAMPLES ? ', ...' : ''})`;
}

/** Whether the conditions say which rules they are about. */
export function selectsRules({ sid, sidRange, category, signature, meta }: PolicyConditions): boolean {
  return [sid, sidRange, category, signature, meta].some((condition) => condition !== undefined);
}

/** Whether an alert of the rule can match, by what a rule tells of its alerts. */
function mayMatch(when: PolicyConditions, rule: Rule, categories: LintFacts['categories']): boolean {
  if (!sidsOf(when).some(([first, last]) => rule.sid >= first && rule.sid <= last)) return false;
  if (when.category !== undefined) {
    const category = rule.classtype === null ? undefined : categories?.get(rule.classtype);
    if (category === undefined || !when.category.some((wanted) => plain(wanted) === plain(category))) return false;
  }
  if (when.signature !== undefined && !when.signature.some((wanted) => signatureHas(rule.msg, wanted))) return false;
  return when.meta === undefined || metaMatches(when.meta, metadataOf(rule));
}
