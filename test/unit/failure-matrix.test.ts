import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
const rows = readFileSync(new URL('docs/failure-matrix.md', root), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| failure') && !line.startsWith('| ---'));

describe('the failure matrix', () => {
  it('has rows', () => {
    expect(rows.length).toBeGreaterThan(30);
  });

  it.each(rows)('names a test that exists: %s', (row) => {
    const cells = row.split(' | ');
    expect(cells).toHaveLength(3);
    const [, file, name] = /^`([^`]+)`: (.*) \|$/.exec(cells[2] as string) ?? [];
    expect(readFileSync(new URL(`test/${file}`, root), 'utf8')).toContain(`'${name}'`);
  });
});
