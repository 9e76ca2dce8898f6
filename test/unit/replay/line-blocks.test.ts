import { describe, expect, it } from 'vitest';
import { lineBlocks } from '../../../src/replay/line-blocks.js';
import { isSpread, recordsToLines } from '../../../src/replay/records-to-lines.js';

/** The text in pieces of one size, in memory that is used again, as a file is read. */
async function* pieces(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  const buffer = Buffer.alloc(size);
  for (let at = 0; at < bytes.length; at += size) {
    yield buffer.subarray(0, bytes.copy(buffer, 0, at, at + size));
  }
}

async function read(text: string, size: number, longest = 1000) {
  let passedOver = 0;
  const lines: string[] = [];
  const last: string[] = [];
  for await (const block of lineBlocks(pieces(text, size), longest, () => (passedOver += 1))) {
    const found = block.lines.toString().split('\n');
    expect(found.pop(), 'a block ends with a newline').toBe('');
    (block.last ? last : lines).push(...found);
  }
  return { lines: lines.filter((line) => line !== ''), last, passedOver };
}

const SIZES = [1, 2, 3, 5, 7, 16, 64, 4096];

describe('lines from pieces of a file', () => {
  it.each(SIZES)('are the same with pieces of %i bytes, the last one by itself', async (size) => {
    const text = 'one\ntwo is longer\n\nthree\r\nfour';
    expect(await read(text, size)).toEqual({
      lines: ['one', 'two is longer', 'three\r'],
      last: ['four'],
      passedOver: 0,
    });
  });

  it.each(SIZES)('know the last one also where newlines and blanks follow it, with %i bytes', async (size) => {
    expect((await read('one\ntwo\n\n \r\n', size)).last).toEqual(['two']);
  });

  it.each(SIZES)('leave out what is longer than the longest, with %i bytes', async (size) => {
    const text = `one\n${'x'.repeat(5000)}\ntwo\n${'y'.repeat(5000)}`;
    const { lines, last, passedOver } = await read(text, size, 100);
    expect([...lines, ...last].filter((line) => line.length <= 100)).toEqual(['one', 'two']);
    const tooLong = [...lines, ...last].filter((line) => line.length > 100).length;
    expect(passedOver + tooLong).toBe(2);
  });

  it('are none where the file is empty or blank', async () => {
    expect(await read('', 4)).toEqual({ lines: [], last: [], passedOver: 0 });
    expect(await read('\n \n', 1)).toEqual({ lines: [], last: [], passedOver: 0 });
  });
});

async function flattened(text: string, size: number): Promise<string> {
  const out: Buffer[] = [];
  for await (const piece of recordsToLines(pieces(text, size))) out.push(piece);
  return Buffer.concat(out).toString();
}

describe('records that are spread over lines', () => {
  const records = [{ a: 1, b: '[{"}\\', c: [1, [2, {}]] }, {}, { d: 'é,]' }];
  const texts = {
    'a compact array': JSON.stringify(records),
    'a printed array': JSON.stringify(records, null, 2),
    'printed records one after the other': records.map((record) => JSON.stringify(record, null, '\t')).join('\r\n'),
  };
  for (const [name, text] of Object.entries(texts)) {
    it.each(SIZES)(`in ${name} come one a line, with pieces of %i bytes`, async (size) => {
      const lines = (await flattened(text, size)).trim().split('\n');
      expect(lines.map((line) => JSON.parse(line))).toEqual(records);
    });
  }

  it('that are cut stay broken and do not take those after them along', async () => {
    const text = '[{"a": "cut\n{"b": 1}\n]';
    expect(await flattened(text, 4096)).toContain('{"a": "cut');
  });

  it('keep what is no record as a line of its own', async () => {
    expect((await flattened('[1, "x", {"a":1}, null]', 3)).trim().split('\n')).toEqual(['1', '"x"', '{"a":1}', 'null']);
  });

  it.each([
    ['[{"a":1}]', true],
    ['\ufeff [\n', true],
    ['{\n  "a": 1\n}', true],
    ['{"a": 1,\n "b": 2}', true],
    ['{"a":1}\n{"a":2}\n', false],
    ['{"a":1', false],
    ['{"a":1\n{"a":2}\n', false],
    ['', false],
    ['garbage\n[', false],
  ])('are told by the beginning %j: %s', (head, spread) => {
    expect(isSpread(head)).toBe(spread);
  });
});
