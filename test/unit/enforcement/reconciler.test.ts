import { afterEach, describe, expect, it } from 'vitest';
import { type EpochMs, FOREVER } from '../../../src/base/clock.js';
import { createLog } from '../../../src/base/log.js';
import type { Desired } from '../../../src/enforcement/desired.js';
import { FakeBackend } from '../../../src/enforcement/fake-backend.js';
import { Reconciler } from '../../../src/enforcement/reconciler.js';
import type { ListName } from '../../../src/enforcement/set-backend.js';
import { prefix } from '../../../src/net/prefix.js';
import type { Refusal } from '../../../src/protection/admits.js';
import { FakeClock } from '../../support/clock.js';
import { waitFor } from '../../support/netns.js';

const HOUR = 3_600_000;

class Wish implements Desired {
  complete = true;
  readonly lists = { ban: new Map<string, EpochMs>(), allow: new Map<string, EpochMs>() };
  get(list: ListName, text: string) {
    return this.lists[list].get(text);
  }
  entries(list: ListName) {
    return this.lists[list];
  }
}

let stop: (() => Promise<void>) | null = null;
afterEach(async () => {
  await stop?.();
  stop = null;
});

async function lab(options: { kernel?: string[]; complete?: boolean; wish?: Record<string, number> } = {}) {
  const clock = new FakeClock();
  const wish = new Wish();
  wish.complete = options.complete ?? true;
  for (const [text, ms] of Object.entries(options.wish ?? {})) wish.lists.ban.set(text, clock.now() + ms);
  const guarded = new Map<string, Refusal>();
  const gate = (p: { text: string }) => guarded.get(p.text) ?? null;
  const backend = new FakeBackend({ gate, clock, maxelem: 100_000 });
  await backend.open();
  const add = (options.kernel ?? []).map((text) => ({ prefix: prefix(text), until: clock.now() + HOUR }));
  await backend.apply('ban', add, []);
  const refusals: (readonly [string, string | null])[] = [];
  let rebuilt = 0;
  const reconciler = new Reconciler({
    backend,
    desired: wish,
    gate,
    clock,
    log: createLog('silent'),
    rebuild: async () => {
      rebuilt += 1;
      await backend.open();
    },
    onRefused: (text, refusal) => refusals.push([text, refusal?.cause ?? null]),
  });
  await reconciler.start();
  stop = () => reconciler.stop();
  const inKernel = async (list: ListName = 'ban') => {
    const texts: string[] = [];
    for await (const page of backend.dump(list)) texts.push(...page.map((element) => element.text));
    return texts.sort();
  };
  /** Lets time pass in steps, as the runner's timers need, until the kernel holds exactly this. */
  const becomes = (texts: readonly string[], list: ListName = 'ban') =>
    waitFor(
      `the kernel holds ${texts.join(' ')}`,
      async () => {
        await clock.advance(100);
        await new Promise((resolve) => setImmediate(resolve));
        return (await inKernel(list)).join() === [...texts].sort().join();
      },
      2000,
      1,
    );
  return { clock, wish, guarded, backend, reconciler, refusals, inKernel, becomes, rebuilt: () => rebuilt };
}

describe('the reconciler', () => {
  it('adds what is wanted, removes what is not, and keeps what was there', async () => {
    const { becomes, reconciler } = await lab({
      kernel: ['203.0.113.1', '203.0.113.2'],
      wish: { '203.0.113.1': HOUR, '203.0.113.3': HOUR },
    });
    await becomes(['203.0.113.1', '203.0.113.3']);
    await waitFor('complete', () => reconciler.status().complete);
    expect(reconciler.status()).toMatchObject({ entries: 2, drift: 0, failed: 0 });
  });

  it('removes nothing while the store was never read completely', async () => {
    const { becomes, wish, reconciler } = await lab({
      kernel: ['203.0.113.1'],
      wish: { '203.0.113.3': HOUR },
      complete: false,
    });
    await becomes(['203.0.113.1', '203.0.113.3']);
    expect(reconciler.status().complete).toBe(false);
    wish.complete = true;
    reconciler.changed('all');
    await becomes(['203.0.113.3']);
  });

  it('looks only where it is told to, and follows a longer end', async () => {
    const { becomes, wish, reconciler, clock, backend } = await lab({ wish: { '203.0.113.1': HOUR } });
    await becomes(['203.0.113.1']);
    wish.lists.ban.set('203.0.113.1', clock.now() + 5 * HOUR);
    reconciler.changed({ list: 'ban', texts: ['203.0.113.1'] });
    await waitFor('the new timeout', async () => {
      const element = await backend.find('ban', prefix('203.0.113.1'));
      return element !== null && element.timeout > 4 * 3600;
    });
  });

  it('puts a lost element back and counts it', async () => {
    const { becomes, backend, reconciler } = await lab({ wish: { '203.0.113.1': HOUR, '203.0.113.2': HOUR } });
    await becomes(['203.0.113.1', '203.0.113.2']);
    await backend.apply('ban', [], [prefix('203.0.113.1')]);
    await becomes(['203.0.113.1', '203.0.113.2']);
    expect(reconciler.heals.get('element_missing')).toBe(1);
    await waitFor('no difference', () => reconciler.status().drift === 0);
  });

  it('removes an element that somebody else added', async () => {
    const { becomes, backend, clock, reconciler } = await lab({ wish: { '203.0.113.1': HOUR } });
    await becomes(['203.0.113.1']);
    await waitFor('complete', () => reconciler.status().complete);
    await backend.apply('ban', [{ prefix: prefix('198.51.100.9'), until: clock.now() + HOUR }], []);
    await becomes(['203.0.113.1']);
    expect(reconciler.heals.get('element_foreign')).toBe(1);
  });

  it('sets a timeout right that somebody else changed', async () => {
    const { becomes, backend, clock, reconciler } = await lab({ wish: { '203.0.113.1': HOUR } });
    await becomes(['203.0.113.1']);
    await backend.apply('ban', [{ prefix: prefix('203.0.113.1'), until: clock.now() + 60_000 }], []);
    await waitFor('the timeout is right', async () => {
      await clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
      return ((await backend.find('ban', prefix('203.0.113.1')))?.timeout ?? 0) > 3000;
    });
    expect(reconciler.heals.get('timeout_wrong')).toBe(1);
  });

  it('makes the sets again when they are gone', async () => {
    const { becomes, backend, reconciler, rebuilt } = await lab({ wish: { '203.0.113.1': HOUR } });
    await becomes(['203.0.113.1']);
    await backend.destroy();
    await waitFor('rebuilt', async () => {
      reconciler.changed('all');
      reconciler.compare();
      await new Promise((resolve) => setImmediate(resolve));
      return rebuilt() > 0;
    });
    await becomes(['203.0.113.1']);
    expect(reconciler.heals.get('set_missing')).toBeGreaterThan(0);
  });

  it('keeps a protected prefix out, says so once, and lets it in when it is no longer protected', async () => {
    const { becomes, wish, guarded, reconciler, refusals, clock } = await lab();
    guarded.set('203.0.113.9', { cause: 'this_machine', detail: 'is own address' });
    wish.lists.ban.set('203.0.113.9', clock.now() + HOUR);
    wish.lists.ban.set('203.0.113.10', clock.now() + HOUR);
    reconciler.changed({ list: 'ban', texts: ['203.0.113.9', '203.0.113.10'] });
    await becomes(['203.0.113.10']);
    reconciler.changed('all');
    await becomes(['203.0.113.10']);
    expect(refusals).toEqual([['203.0.113.9', 'this_machine']]);
    expect(reconciler.refusal('203.0.113.9')?.detail).toBe('is own address');
    guarded.clear();
    reconciler.changed('all');
    await becomes(['203.0.113.10', '203.0.113.9']);
    expect(refusals.at(-1)).toEqual(['203.0.113.9', null]);
  });

  it('takes an element out that becomes protected', async () => {
    const { becomes, guarded, reconciler } = await lab({ wish: { '203.0.113.9': HOUR } });
    await becomes(['203.0.113.9']);
    guarded.set('203.0.113.9', { cause: 'listed', detail: 'is listed' });
    reconciler.judgeAll();
    await waitFor('out', async () => {
      reconciler.changed({ list: 'ban', texts: ['203.0.113.9'] });
      await new Promise((resolve) => setImmediate(resolve));
      return reconciler.refusal('203.0.113.9') !== undefined;
    });
    await becomes([]);
  });

  it('takes a protected element of an adopted set out, also while the store is not known', async () => {
    const { becomes, guarded, reconciler } = await lab({ kernel: ['203.0.113.1', '203.0.113.2'], complete: false });
    guarded.set('203.0.113.1', { cause: 'this_machine', detail: 'is own address' });
    reconciler.judgeAll();
    await becomes(['203.0.113.2']);
  });

  it('holds permanent elements and more than the kernel can time', async () => {
    const { becomes, backend, wish, reconciler } = await lab({ wish: { '203.0.113.1': 60 * 86_400_000 } });
    wish.lists.ban.set('203.0.113.2', FOREVER);
    reconciler.changed('all');
    await becomes(['203.0.113.1', '203.0.113.2']);
    expect((await backend.find('ban', prefix('203.0.113.2')))?.timeout).toBe(0);
    expect((await backend.find('ban', prefix('203.0.113.1')))?.timeout).toBeGreaterThan(2_000_000);
  });
});
