import { z } from 'zod';
import { isProblem, type Prefix, parsePrefix } from '../net/prefix.js';
import type { PolicyConditions, Side } from './config.js';
import { action, duration, listOf, onOff, range, say, shown, text, whole } from './scalars.js';
import { ALWAYS, section } from './section.js';
import { signaturePattern } from './signature-pattern.js';
import { keyFix } from './spelling.js';

/**
 * One line of the policy (CONTRACT "policy", first match decides). Conditions
 * are alternatives where a list is given, and all of them must hold.
 */

const SIDE_FIX = 'write outside, home, or networks such as 198.51.100.0/24';

const side = z
  .union([z.string(), z.array(z.string())], { error: (issue) => say(`${shown(issue.input)} names no side`, SIDE_FIX) })
  .meta({ description: 'outside, home, or one or more networks', examples: ['outside', 'home'] })
  .transform((value, context): Side => {
    if (value === 'outside' || value === 'home') return value;
    const networks: Prefix[] = [];
    for (const item of [value].flat()) {
      const prefix = parsePrefix(item);
      if (!isProblem(prefix)) networks.push(prefix);
      else if (prefix.problem === 'host_bits') {
        context.addIssue({ code: 'custom', message: say(`"${item}" has host bits set`, `write ${prefix.corrected}`) });
      } else context.addIssue({ code: 'custom', message: say(`${shown(item)} names no side`, SIDE_FIX) });
    }
    if (networks.length === 0 && Array.isArray(value)) {
      context.addIssue({ code: 'custom', message: say('is empty', SIDE_FIX) });
    }
    return { networks };
  });

const signature = z
  .string({
    error: (issue) => say(`${shown(issue.input)} is not a text`, 'write part of the signature, or /an expression/'),
  })
  .min(1, say('is empty', 'write part of the signature, or /an expression/'))
  .max(300, say('is longer than 300 characters', 'write the part that matters'))
  .meta({ description: 'part of the signature (case does not count), or a regular expression between slashes' })
  .transform((value, context): string | RegExp => {
    if (!(value.length > 1 && value.startsWith('/') && value.endsWith('/'))) return value;
    const pattern = signaturePattern(value.slice(1, -1));
    if (pattern instanceof RegExp) return pattern;
    context.addIssue({ code: 'custom', message: say(pattern.wrong, pattern.fix) });
    return z.NEVER;
  });

const SIDS = 0xffff_ffff;
const words = (what: string) => listOf(text(200, what), 1);
const metaValue = z.union([text(200, 'a value'), z.number().transform(String)], {
  error: (issue) => say(`${shown(issue.input)} is not a value`, 'write a text, or a list of texts'),
});
const metaValues = listOf(metaValue, 1);

const CONDITIONS = {
  sid: listOf(whole(1, SIDS, 'a signature id'), 1).optional(),
  sid_range: listOf(range('a range of signature ids', 1, SIDS, '2100000-2103999'), 1).optional(),
  category: words('a category').optional(),
  severity: range('a severity', 1, 255, '1-2').optional(),
  signature: listOf(signature, 1).optional(),
  from: side.optional(),
  to: side.optional(),
  proven: onOff.optional(),
  app_proto: words('an application protocol').optional(),
  proto: words('a protocol').optional(),
  dest_port: listOf(range('a port', 0, 65_535, '8000-8099'), 1).optional(),
  internal: z.union([onOff, z.literal('ban')]).optional(),
  distinct_sids: whole(2, 1000).optional(),
  within: duration(1, 86_400).optional(),
  note: text(500, 'a note').optional(),
};
const KNOWN = [...Object.keys(CONDITIONS), 'meta.KEY'];
const META = /^meta\.[\w.-]{1,64}$/;

/** Marks the schema of `when`, so that the JSON schema allows `meta.KEY` and nothing else beyond the known keys. */
export const WHEN_TITLE = 'when';

/** Judges the keys that the schema lets through: `meta.KEY`, and nothing else. */
function checkKeys(value: unknown, context: z.RefinementCtx): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, given] of Object.entries(value)) {
    if (Object.hasOwn(CONDITIONS, key)) continue;
    if (!META.test(key)) {
      context.addIssue({ code: 'custom', path: [key], message: say('unknown key', keyFix(key, KNOWN)) });
    } else if (!metaValues.safeParse(given).success) {
      const message = say(`${shown(given)} is not a value`, 'write a text, or a list of texts');
      context.addIssue({ code: 'custom', path: [key], message });
    }
  }
}

const when = z
  .object(CONDITIONS, {
    error: (issue) => say(`${shown(issue.input)} is not a mapping`, `write conditions: ${KNOWN.join(', ')}`),
  })
  .catchall(z.unknown())
  .meta({ title: WHEN_TITLE, description: 'every condition must hold; of a list, one' })
  .superRefine(checkKeys, ALWAYS)
  .transform((value, context): PolicyConditions => {
    const meta: Record<string, readonly string[]> = {};
    for (const key of Object.keys(value)) if (META.test(key)) meta[key.slice(5)] = metaValues.parse(value[key]);
    if ((value.distinct_sids === undefined) !== (value.within === undefined)) {
      const missing = value.within === undefined ? 'within' : 'distinct_sids';
      const fix = 'write both, such as distinct_sids: 3, within: 10m';
      context.addIssue({ code: 'custom', path: [], message: say(`${missing} is missing`, fix) });
    }
    const conditions = {
      ...(value.sid && { sid: value.sid }),
      ...(value.sid_range && { sidRange: value.sid_range }),
      ...(value.category && { category: value.category }),
      ...(value.severity && { severity: value.severity }),
      ...(value.signature && { signature: value.signature }),
      ...(value.from && { from: value.from }),
      ...(value.to && { to: value.to }),
      ...(value.proven !== undefined && { proven: value.proven }),
      ...(value.app_proto && { appProto: value.app_proto.map((name) => name.toLowerCase()) }),
      ...(value.proto && { proto: value.proto.map((name) => name.toUpperCase()) }),
      ...(value.dest_port && { destPort: value.dest_port }),
      ...(Object.keys(meta).length > 0 && { meta }),
      ...(value.internal !== undefined && { internal: value.internal }),
      ...(value.distinct_sids !== undefined &&
        value.within !== undefined && { distinctSids: { atLeast: value.distinct_sids, within: value.within } }),
    };
    if (Object.keys(conditions).length === 0 && value.distinct_sids === undefined && value.within === undefined) {
      const fix = `write at least one condition (${KNOWN.join(', ')}); what holds for the rest is "otherwise"`;
      context.addIssue({ code: 'custom', path: [], message: say('an empty "when" matches every alert', fix) });
    }
    return conditions;
  });

/** Each line has a name of its own, since bans and `why` name the line that decided. */
function checkNames(lines: unknown, context: z.RefinementCtx): void {
  if (!Array.isArray(lines)) return;
  const seen = new Set<unknown>();
  lines.forEach((line: { name?: unknown } | null, index) => {
    const name = line?.name;
    if (typeof name !== 'string') return;
    if (seen.has(name)) {
      const message = say(`another line is named ${shown(name)} too`, 'give each line a name of its own');
      context.addIssue({ code: 'custom', path: [index, 'name'], message });
    }
    seen.add(name);
  });
}

const line = section({ name: text(80, 'a name'), when, then: action });

/** The policy: first match decides. */
export const policyLines = z
  .array(line, { error: (issue) => say(`${shown(issue.input)} is not a list`, 'write lines that begin with - name:') })
  .superRefine(checkNames, ALWAYS);
