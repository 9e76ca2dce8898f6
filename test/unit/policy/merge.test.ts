import { describe, expect, it } from 'vitest';
import { decide } from '../../../src/policy/decide.js';
import { Batch } from '../../../src/policy/merge.js';
import { type AlertShape, alertFrom, BAN_ALL, contextFor, type Setting } from './support.js';

const T = Date.UTC(2026, 10, 23, 12);

function batchOf(shapes: readonly AlertShape[], setting: Partial<Setting> = {}) {
  const context = contextFor({ now: T + 1000, policy: [BAN_ALL], ...setting });
  const batch = new Batch();
  for (const shape of shapes) batch.add(decide(alertFrom(shape), context));
  return batch.take();
}

describe('Batch', () => {
  it('makes one ban of many alerts of one address and signature, with times and a count', () => {
    const { bans } = batchOf([
      { at: T, flowId: 1 },
      { at: T - 5000, flowId: 2 },
      { at: T + 500, flowId: 3 },
    ]);
    expect(bans).toHaveLength(1);
    expect(bans[0]).toMatchObject({
      prefix: '203.0.113.66',
      until: T + 500 + 86_400_000,
      record: { count: 3, first: '2026-11-23T11:59:55.000Z', last: '2026-11-23T12:00:00.500Z', flow_id: 3 },
    });
  });

  it('counts the alerts of one signature in one flow once', () => {
    const { bans } = batchOf(Array.from({ length: 36 }, () => ({ flowId: 7 })));
    expect(bans.map((ban) => ban.record.count)).toEqual([1]);
  });

  it('counts alerts without a flow one by one', () => {
    const { bans } = batchOf([{ flowId: null }, { flowId: null }]);
    expect(bans.map((ban) => ban.record.count)).toEqual([2]);
  });

  it('keeps signatures apart, so that suppressing one does not free the address of the others', () => {
    const { bans } = batchOf([{ sid: 2_000_001 }, { sid: 2_000_002 }]);
    expect(bans.map((ban) => ban.record.sid)).toEqual([2_000_001, 2_000_002]);
  });

  it('keeps proven and unproven apart, since they are different keys', () => {
    const { bans } = batchOf([{ proven: false }, {}]);
    expect(bans.map((ban) => [ban.record.scope, ban.proven])).toEqual([
      ['host', false],
      ['fleet', true],
    ]);
  });

  it('keeps the latest start of a flow, which is what ends a pardon', () => {
    const early = T - 100_000;
    expect(batchOf([{ flowStart: T - 1 }, { flowStart: early }, { flowStart: null }]).bans[0]?.flowStart).toBe(T - 1);
  });

  it('gathers would-be bans with their cause, and flags with a count', () => {
    const observed = batchOf([{ flowId: 1 }, { flowId: 2 }], { mode: 'observe' });
    expect(observed.bans).toEqual([]);
    expect(observed.wouldBans).toMatchObject([{ why: expect.stringContaining('observe'), record: { count: 2 } }]);
    const outbound = { src: '10.1.1.1', dest: '203.0.113.9' };
    expect(batchOf([outbound, outbound, { ...outbound, sid: 5 }]).flags).toMatchObject([
      { inside: '10.1.1.1', outside: '203.0.113.9', count: 2 },
      { sid: 5, count: 1 },
    ]);
  });

  it('is empty after it was taken, and says when it is full', () => {
    const batch = new Batch(2);
    const context = contextFor({ now: T, policy: [BAN_ALL] });
    expect(batch.full).toBe(false);
    for (const flowId of [1, 2]) batch.add(decide(alertFrom({ flowId }), context));
    expect(batch.full).toBe(true);
    expect(batch.take().bans).toHaveLength(1);
    expect(batch.full).toBe(false);
    expect(batch.take()).toEqual({ bans: [], wouldBans: [], flags: [] });
  });
});
