import { describe, expect, it } from 'vitest';
import { createLog } from '../../../src/base/log.js';
import { fullCollection, HeapRest } from '../../../src/daemon/heap.js';
import { FakeClock } from '../../support/clock.js';

const MIB = 1024 * 1024;

async function running(used: number, busy: number) {
  const clock = new FakeClock();
  const heap = { used: used * MIB, busy, collected: 0, left: 30 * MIB };
  const rest = new HeapRest({
    clock,
    log: createLog('silent'),
    used: () => heap.used,
    busy: () => heap.busy,
    collect: () => {
      heap.collected += 1;
      heap.used = heap.left;
    },
  });
  await rest.start();
  return { clock, heap, rest };
}

describe('the memory that a mass change leaves behind', () => {
  it('is given back in two collections, in quiet moments', async () => {
    const { clock, heap, rest } = await running(90, 0.5);
    await clock.advance(60_000);
    expect(heap.collected).toBe(0);
    heap.busy = 0.01;
    await clock.advance(15_000);
    expect(heap.collected).toBe(1);
    await clock.advance(300_000);
    expect(heap.collected).toBe(2);
    heap.used = 60 * MIB;
    await clock.advance(300_000);
    expect(heap.collected).toBe(4);
    await rest.stop();
  });

  it('is left alone while a collection would hold the event loop up for long', async () => {
    const { clock, heap, rest } = await running(200, 0);
    await clock.advance(60_000);
    expect(heap.collected).toBe(0);
    await rest.stop();
  });

  it('is not chased when it is all in use', async () => {
    const { clock, heap, rest } = await running(90, 0);
    heap.left = 90 * MIB;
    await clock.advance(600_000);
    expect(heap.collected).toBeLessThanOrEqual(2);
    await rest.stop();
  });

  it('is really collected by V8', async () => {
    const seen = new WeakRef(await Promise.resolve({ large: 'x'.repeat(1000) }));
    // A WeakRef keeps its target until the turn in which it was made is over (ECMA-262, WeakRef).
    await new Promise(setImmediate);
    fullCollection()();
    expect(seen.deref()).toBeUndefined();
  });
});
