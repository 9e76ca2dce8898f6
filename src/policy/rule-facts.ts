import { metadataOf, type Rule } from '../suricata/rule-text.js';
import type { Ruleset } from '../suricata/ruleset.js';
import type { RuleFacts } from './context.js';

/**
 * Whom one side of a rule's header means: `home` by `$HOME_NET` or one of the
 * server groups, `external` by `$EXTERNAL_NET` or `!$HOME_NET`, `other` by
 * networks written out or a mixture.
 */
export type RuleSide = 'home' | 'external' | 'any' | 'other';

/** Made once for each rule that an alert names. */
const known = new WeakMap<Rule, RuleFacts>();

/** What decisions need to know of a rule; `null` when the rules have none with these numbers. */
export function ruleFacts(ruleset: Pick<Ruleset, 'rule'>, sid: number, gid: number): RuleFacts | null {
  const rule = ruleset.rule(gid, sid);
  if (rule === null) return null;
  let facts = known.get(rule);
  if (facts === undefined) {
    facts = factsOf(rule);
    known.set(rule, facts);
  }
  return facts;
}

function factsOf(rule: Rule): RuleFacts {
  const { header, flow, threshold } = rule;
  return {
    rev: rule.rev,
    flow: flow?.direction ?? null,
    established: flow?.established ?? false,
    notEstablished: flow?.notEstablished ?? false,
    stateless: flow?.stateless ?? false,
    track: threshold?.track ?? null,
    threshold: threshold?.type ?? null,
    target: rule.target,
    classtype: rule.classtype,
    protocol: header.protocol,
    source: sideOf(header.source),
    destination: sideOf(header.destination),
    bothWays: header.arrow !== '->',
    metadata: metadataOf(rule),
    noalert: rule.noalert,
  };
}

/** Groups of own servers that suricata.yaml sets to `$HOME_NET`; `$AIM_SERVERS` is `$EXTERNAL_NET` there. */
const OWN_GROUP = /^\$(?:HOME_NET|(?:HTTP|SMTP|SQL|DNS|TELNET|DC)_SERVERS|(?:DNP3|MODBUS|ENIP)_(?:CLIENT|SERVER))$/;
const OUTER_GROUP = /^(?:\$EXTERNAL_NET|!\$HOME_NET|\$AIM_SERVERS)$/;

/** Reads one side of a header, such as `[$HOME_NET,$HTTP_SERVERS]`; what only takes networks away is left out. */
export function sideOf(text: string): RuleSide {
  const inner = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  // Lists within lists, and lists taken away, are not taken apart.
  if (/[[\]]/.test(inner)) return 'other';
  const words = inner.split(',').map((word) => word.trim());
  const named = words.filter((word) => !word.startsWith('!') || word === '!$HOME_NET');
  if (named.length === 0) return 'other';
  if (named.every((word) => OWN_GROUP.test(word))) return 'home';
  if (named.every((word) => OUTER_GROUP.test(word))) return 'external';
  return named.length === 1 && named[0] === 'any' ? 'any' : 'other';
}
