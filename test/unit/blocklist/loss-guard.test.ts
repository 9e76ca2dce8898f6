import { describe, expect, it } from 'vitest';
import { type Loss, LossGuard } from '../../../src/blocklist/loss-guard.js';

const losses = (count: number, from = 0): Loss[] =>
  Array.from({ length: count }, (_, i) => ({ id: `b${from + i}`, text: `${from + i}`, until: 1e15 }));

describe('the loss guard', () => {
  it('holds only what is more than twenty and more than half', () => {
    expect(new LossGuard().judge('ban', losses(20), 20, 0)).toHaveLength(0);
    expect(new LossGuard().judge('ban', losses(21), 21, 0)).toHaveLength(21);
    expect(new LossGuard().judge('ban', losses(50), 100, 0)).toHaveLength(0);
    expect(new LossGuard().judge('ban', losses(51), 100, 0)).toHaveLength(51);
  });

  it('counts what goes within ten seconds together, and forgets what is older', () => {
    const guard = new LossGuard();
    expect(guard.judge('ban', losses(15), 30, 0)).toHaveLength(0);
    expect(guard.judge('ban', losses(6, 15), 15, 9_000)).toHaveLength(21);
    const slow = new LossGuard();
    expect(slow.judge('ban', losses(15), 30, 0)).toHaveLength(0);
    expect(slow.judge('ban', losses(6, 15), 15, 10_001)).toHaveLength(0);
  });

  it('judges bans and allows apart', () => {
    const guard = new LossGuard();
    expect(guard.judge('ban', losses(15), 15, 0)).toHaveLength(0);
    expect(guard.judge('allow', losses(15), 15, 0)).toHaveLength(0);
  });

  it('holds the rest of a loss that goes on, but obeys the removal of keys written meanwhile', () => {
    const guard = new LossGuard();
    expect(guard.judge('ban', losses(60), 100, 0)).toHaveLength(60);
    expect(guard.judge('ban', losses(3, 60), 40, 5_000)).toHaveLength(3);
    guard.written('b1', 6_000);
    expect(guard.judge('ban', losses(1, 1), 38, 7_000)).toHaveLength(0);
    expect(guard.judge('ban', losses(1, 70), 37, 30_000)).toHaveLength(0);
  });
});
