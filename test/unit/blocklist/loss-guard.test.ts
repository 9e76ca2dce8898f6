import { describe, expect, it } from 'vitest';
import { type Loss, LossGuard } from '../../../src/blocklist/loss-guard.js';

const losses = (count: number, from = 0): Loss[] =>
  Array.from({ length: count }, (_, i) => ({ id: `b${from + i}`, text: `${from + i}`, until: 1e15 }));

describe('the loss guard', () => {
  it('holds only what is more than twenty and more than half', () => {
    expect(new LossGuard().judge(losses(20), { ban: 20, allow: 0 }, 0)).toHaveLength(0);
    expect(new LossGuard().judge(losses(21), { ban: 21, allow: 0 }, 0)).toHaveLength(21);
    expect(new LossGuard().judge(losses(50), { ban: 100, allow: 0 }, 0)).toHaveLength(0);
    expect(new LossGuard().judge(losses(51), { ban: 100, allow: 0 }, 0)).toHaveLength(51);
  });

  it('counts what goes within ten seconds together, and forgets what is older', () => {
    const guard = new LossGuard();
    expect(guard.judge(losses(15), { ban: 30, allow: 0 }, 0)).toHaveLength(0);
    expect(guard.judge(losses(6, 15), { ban: 15, allow: 0 }, 9_000)).toHaveLength(21);
    const slow = new LossGuard();
    expect(slow.judge(losses(15), { ban: 30, allow: 0 }, 0)).toHaveLength(0);
    expect(slow.judge(losses(6, 15), { ban: 15, allow: 0 }, 10_001)).toHaveLength(0);
  });

  it('counts bans and allows apart and together, and holds the few of one kind that go with the many of the other', () => {
    const allows = (count: number) => losses(count).map((loss) => ({ ...loss, id: `a${loss.text}` }));
    expect(new LossGuard().judge(allows(25), { ban: 1000, allow: 25 }, 0)).toHaveLength(25);
    expect(new LossGuard().judge([...losses(15), ...allows(15)], { ban: 15, allow: 15 }, 0)).toHaveLength(30);
    expect(new LossGuard().judge([...losses(10), ...allows(10)], { ban: 10, allow: 10 }, 0)).toHaveLength(0);
    expect(new LossGuard().judge([...losses(50), ...allows(1)], { ban: 50, allow: 9 }, 0)).toHaveLength(51);
    const oneByOne = new LossGuard();
    expect(oneByOne.judge(allows(2), { ban: 50, allow: 2 }, 0)).toHaveLength(0);
    expect(oneByOne.judge(losses(50), { ban: 50, allow: 0 }, 5_000)).toHaveLength(52);
  });

  it('holds the rest of a loss that goes on, but obeys the removal of keys written meanwhile', () => {
    const guard = new LossGuard();
    expect(guard.judge(losses(60), { ban: 100, allow: 0 }, 0)).toHaveLength(60);
    expect(guard.judge(losses(3, 60), { ban: 40, allow: 0 }, 5_000)).toHaveLength(3);
    guard.written('b1', 6_000);
    expect(guard.judge(losses(1, 1), { ban: 38, allow: 0 }, 7_000)).toHaveLength(0);
    expect(guard.judge(losses(1, 70), { ban: 37, allow: 0 }, 30_000)).toHaveLength(0);
  });

  it('forgets losses when their window is over, and a written key costs the same however many there are', () => {
    const guard = new LossGuard();
    guard.judge(losses(40_000), { ban: 200_000, allow: 0 }, 0);
    expect(guard.remembered).toBe(40_000);
    const looked = Map.prototype[Symbol.iterator];
    let walks = 0;
    Map.prototype[Symbol.iterator] = function (this: Map<unknown, unknown>) {
      walks += 1;
      return looked.call(this);
    } as typeof looked;
    try {
      for (let i = 0; i < 1000; i++) guard.written(`b${i}`, 5_000);
    } finally {
      Map.prototype[Symbol.iterator] = looked;
    }
    expect(walks).toBe(0);
    expect(guard.remembered).toBe(39_000);
    guard.prune(60_000);
    expect(guard.remembered).toBe(0);
  });
});
