import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { RulesetLines, readRuleset } from '../../../src/suricata/ruleset.js';

const folder = mkdtempSync(join(tmpdir(), 'barricata-rules-'));
afterAll(() => rmSync(folder, { recursive: true }));

const line = (sid: number, more = '', rev = 1) =>
  `alert tcp any any -> any any (msg:"rule ${sid}"; ${more}sid:${sid}; rev:${rev};)`;

/** Reads the text in pieces of this many characters. */
function read(text: string, piece = text.length || 1) {
  const lines = new RulesetLines();
  for (let at = 0; at < text.length; at += piece) lines.push(text.slice(at, at + piece));
  return lines.end('test.rules');
}

describe('a rules file', () => {
  it('is read line by line, however it is cut into pieces', () => {
    const text = [
      '# a comment',
      '',
      line(1),
      `#${line(2)}`,
      ` ${line(3)}`,
      '; another comment',
      `${line(4)}\r`,
      'alert tcp any any -> any any (msg:"over lines"; \\',
      '    content:"x"; \\  ',
      '# not a comment in here \\',
      '; sid:5; rev:7;)',
      `\t${line(8)}`,
      line(6),
      '   \t',
      line(7, 'gid:3; '),
    ].join('\n');
    for (const piece of [1, 7, 64, text.length]) {
      const rules = read(text, piece);
      expect([...rules.rules()].map(({ gid, sid }) => `${gid}:${sid}`)).toEqual(['1:1', '1:4', '1:5', '1:6', '3:7']);
      expect(rules.size).toBe(5);
      expect(rules.rule(1, 5)).toMatchObject({ msg: 'over lines', rev: 7 });
      expect(rules.rule(1, 7)).toBeNull();
      expect(rules.rule(3, 7)?.sid).toBe(7);
      expect([...rules.faults]).toEqual([]);
      expect(rules.torn).toBe(false);
    }
  });

  it('keeps the higher revision of a sid, and the first of equal ones', () => {
    const rules = read([line(1, '', 2), line(1, 'noalert; ', 3), line(1, '', 3), line(1, '', 1)].join('\n'));
    expect(rules.rule(1, 1)).toMatchObject({ rev: 3, noalert: true });
    expect(rules.size).toBe(1);
    expect(rules.faults.get('duplicate')).toEqual({ count: 3, firstLine: 2 });
  });

  it('counts what is no rule, by cause, with the first line', () => {
    const text = [
      'garbage',
      line(1),
      '\0\0\0',
      'alert tcp any',
      `alert x (msg:"${'y'.repeat(1 << 20)}";)`,
      line(2),
      'more',
    ];
    const rules = read(text.join('\n'), 1000);
    expect([...rules.sids()]).toEqual([1, 2]);
    expect(Object.fromEntries(rules.faults)).toEqual({
      not_a_rule: { count: 3, firstLine: 1 },
      unfinished: { count: 1, firstLine: 4 },
      too_long: { count: 1, firstLine: 5 },
    });
  });

  it('takes what continues for too long for one overlong rule', () => {
    const rules = read(`${`${'x'.repeat(1000)} \\\n`.repeat(100)}\n${line(1)}\n`, 777);
    expect(rules.faults.get('too_long')?.firstLine).toBe(1);
    expect([...rules.sids()]).toEqual([1]);
  });

  it('that ends inside a rule is torn', () => {
    const whole = `${line(1)}\n${line(2)}`;
    const second = whole.indexOf('\n') + 1;
    for (let end = second + 'alert'.length; end < whole.length; end++) {
      expect(read(whole.slice(0, end)).torn, whole.slice(0, end)).toBe(true);
    }
    expect(read(whole.slice(0, second)).torn).toBe(false);
    expect(read(whole).torn).toBe(false);
    expect(read(`${line(1)}\nalert tcp any any -> any any \\\n`).torn).toBe(true);
    expect(read(`${line(1)}\nalert tcp any any ->\n${line(2)}\n`).torn).toBe(false);
  });

  it('names its classtypes', () => {
    const rules = read([line(1, 'classtype:misc-attack; '), line(2, 'classtype: misc-attack; '), line(3)].join('\n'));
    expect([...rules.classtypes()]).toEqual(['misc-attack']);
  });

  it('is read from disk, bytes that are no UTF-8 included', async () => {
    const path = join(folder, 'bytes.rules');
    writeFileSync(
      path,
      Buffer.concat([Buffer.from('alert tcp any any -> any any (msg:"\xff\xfe\x80 x"; sid:9;)\n', 'latin1')]),
    );
    const rules = await readRuleset(path);
    expect(rules.path).toBe(path);
    expect(rules.rule(1, 9)?.msg).toMatch(/ x$/);
  });

  it('that is missing, a folder or not allowed is an error of its kind', async () => {
    mkdirSync(join(folder, 'sub'));
    await expect(readRuleset(join(folder, 'none'))).rejects.toMatchObject({ kind: 'missing' });
    await expect(readRuleset(join(folder, 'sub'))).rejects.toMatchObject({ kind: 'unreadable' });
  });
});
