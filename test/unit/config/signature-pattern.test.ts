import { describe, expect, it } from 'vitest';
import { signaturePattern } from '../../../src/config/signature-pattern.js';

describe('an expression over signatures', () => {
  it.each([
    'nikto',
    '^ET (WEB_SERVER|SCAN) .*',
    'CVE-\\d+-\\d+',
    '^ET \\w+ .*CVE-\\d+',
    '[(*+]+',
    'a{1,3}',
    '(?:inbound|outbound)',
    '\\(a+\\)',
    '(?<n>x)?',
    'colou?r',
  ])('is taken: %s', (source) => {
    expect(signaturePattern(source)).toBeInstanceOf(RegExp);
  });

  it.each([
    '(a+)+',
    '(a*)*b',
    '(a|aa)+$',
    '((a+)b)*',
    '(?:a+){2,}',
    '([a-z]+)*',
    '(a?){30}',
    '(\\w+\\s?)*',
    '(x)\\1',
    '\\k<n>(?<n>x)',
    'a*a*a*x',
    '^.*.*.*.*x',
    'a{1,1000}a{1,1000}a{1,1000}a{1,1000}',
    '(',
    '[',
    'x'.repeat(201),
    '',
  ])('is refused, since it may take for ever or is none: %s', (source) => {
    expect(signaturePattern(source)).toMatchObject({ wrong: expect.any(String), fix: expect.any(String) });
  });
});
