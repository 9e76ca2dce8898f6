import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { metadataOf } from '../../src/suricata/rule-text.js';
import { RulesetLines } from '../../src/suricata/ruleset.js';

/** Text that looks like rules often enough to reach every branch. */
const pieces = fc.constantFrom(
  ...[
    'alert ',
    'tcp any any -> any any ',
    '(',
    ')',
    ';',
    ':',
    '\\',
    '"',
    '\n',
    '\r\n',
    '#',
    ' ',
    ',',
    '[',
    ']',
    '<>',
    '!',
  ],
  ...[
    'sid:',
    'rev:',
    'gid:',
    'msg:"x"',
    'flow:',
    'to_server',
    'threshold:',
    'track by_dst',
    'metadata:',
    'target:src_ip',
    'noalert',
  ],
  ...['1', '4294967295', '99999999999', '-1', '\0', '\u00ff', '$HOME_NET', 'alert tcp any any -> any any (sid:1;)\n'],
);
const text = fc.oneof(
  fc.array(pieces, { maxLength: 80 }).map((parts) => parts.join('')),
  fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
);

function read(of: string, size: number) {
  const lines = new RulesetLines();
  for (let at = 0; at < of.length; at += size) lines.push(of.slice(at, at + size));
  return lines.end('x');
}

describe('reading rules', () => {
  it('never throws, and gives only rules with usable numbers', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 50 }), (of, size) => {
        const rules = read(of, size);
        for (const rule of rules.rules()) {
          expect(rule.sid).toBeGreaterThan(0);
          expect(Number.isInteger(rule.rev) && Number.isInteger(rule.gid)).toBe(true);
          expect(rules.rule(rule.gid, rule.sid)).toBe(rule);
          metadataOf(rule);
        }
        const lines = of.split('\n').length;
        for (const { count, firstLine } of rules.faults.values()) {
          expect(firstLine).toBeLessThanOrEqual(lines);
          expect(count).toBeLessThanOrEqual(lines);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('does not depend on how the file is cut into pieces', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 50 }), (of, size) => {
        const [one, other] = [read(of, of.length || 1), read(of, size)];
        expect([...other.rules()]).toEqual([...one.rules()]);
        expect([...other.faults]).toEqual([...one.faults]);
        expect(other.torn).toBe(one.torn);
      }),
      { numRuns: 3000 },
    );
  });
});
