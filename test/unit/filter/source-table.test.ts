import { describe, expect, it } from 'vitest';
import { SourceTable } from '../../../src/filter/source-table.js';

describe('a table of sources', () => {
  it('finds a source again and tells sources apart that differ in one word', () => {
    const table = new SourceTable(1024, 1000, 7);
    const keys = [
      [1, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 1, 0],
      [0, 0, 0, 1],
      [-1, 0, 0, 0],
    ] as const;
    const slots = keys.map(([a, b, c, d]) => table.slot(a, b, c, d, 0));
    expect(new Set(slots).size).toBe(keys.length);
    expect(table.fresh).toBe(true);
    keys.forEach(([a, b, c, d], i) => {
      expect(table.slot(a, b, c, d, 1)).toBe(slots[i]);
      expect(table.fresh).toBe(false);
    });
    expect(table.evictions).toBe(0);
  });

  it('holds an empty source, all zero, like any other', () => {
    const table = new SourceTable(16, 1000, 7);
    const slot = table.slot(0, 0, 0, 0, 0);
    expect(table.fresh).toBe(true);
    expect(table.slot(0, 0, 0, 0, 0)).toBe(slot);
    expect(table.fresh).toBe(false);
  });

  it('makes room by the longest idle and counts it only while it still mattered', () => {
    const table = new SourceTable(8, 1000, 7);
    for (let key = 0; key < 8; key++) table.slot(key, 0, 0, 0, key);
    const first = table.slot(0, 0, 0, 0, 500);
    table.slot(99, 0, 0, 0, 600);
    expect(table.evictions).toBe(1);
    expect(table.slot(0, 0, 0, 0, 601)).toBe(first);
    expect(table.fresh).toBe(false);
    table.slot(1, 0, 0, 0, 602);
    expect(table.fresh).toBe(true);
    expect(table.evictions).toBe(2);
    for (let key = 100; key < 108; key++) table.slot(key, 0, 0, 0, 9000);
    expect(table.evictions).toBe(2);
  });

  it('keeps a steady source through a flood of forged ones that are fewer than its slots a window', () => {
    const table = new SourceTable(65_536, 3000, 7);
    const own = table.slot(42, 0, 0, 0, 0);
    let lost = 0;
    for (let i = 0; i < 300_000; i++) {
      const now = Math.floor(i / 10);
      table.slot(Math.imul(i, 2654435761), 1, 0, 0, now);
      if (i % 100 === 0 && (table.slot(42, 0, 0, 0, now) !== own || table.fresh)) lost += 1;
    }
    expect(lost).toBe(0);
  });

  it('spreads sources by a seed that others do not know', () => {
    const places = (seed: number) => {
      const table = new SourceTable(65_536, 1000, seed);
      return Array.from({ length: 50 }, (_, i) => table.slot(i, 0, 0, 0, 0));
    };
    expect(places(1)).not.toEqual(places(2));
  });
});
