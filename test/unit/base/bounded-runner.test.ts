import { describe, expect, it } from 'vitest';
import { BoundedRunner } from '../../../src/base/bounded-runner.js';
import { FakeClock, settle } from '../../support/clock.js';

function setUp(options: { atLeast?: number; atMost?: number; task?: () => Promise<void> } = {}) {
  const clock = new FakeClock();
  const runs: number[] = [];
  const errors: unknown[] = [];
  const runner = new BoundedRunner({
    task: async () => {
      runs.push(clock.monotonic());
      await options.task?.();
    },
    clock,
    atLeast: options.atLeast ?? 100,
    atMost: () => options.atMost ?? 1000,
    onError: (error) => errors.push(error),
  });
  return { clock, runs, errors, runner };
}

describe('BoundedRunner', () => {
  it('does nothing before it is started', async () => {
    const { clock, runs, runner } = setUp();
    runner.wake();
    await clock.advance(5000);
    expect(runs).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('runs at once when started, and then at the upper bound', async () => {
    const { clock, runs, runner } = setUp();
    runner.start();
    await clock.advance(2500);
    expect(runs).toEqual([1000, 2000, 3000]);
    await runner.stop();
  });

  it('runs once for many wakes, after the lower bound', async () => {
    const { clock, runs, runner } = setUp();
    runner.start();
    await settle();
    for (let i = 0; i < 1000; i++) runner.wake();
    await clock.advance(99);
    expect(runs).toEqual([1000]);
    await clock.advance(1);
    expect(runs).toEqual([1000, 1100]);
    await clock.advance(500);
    expect(runs).toEqual([1000, 1100]);
    await runner.stop();
  });

  it('runs at once for a wake after a quiet time', async () => {
    const { clock, runs, runner } = setUp();
    runner.start();
    await clock.advance(500);
    runner.wake();
    await settle();
    expect(runs).toEqual([1000, 1500]);
    await runner.stop();
  });

  it('never runs twice at once, and runs again for a wake during a run', async () => {
    let release: () => void = () => {};
    let under = 0;
    let most = 0;
    const { clock, runs, runner } = setUp({
      task: async () => {
        under += 1;
        most = Math.max(most, under);
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        under -= 1;
      },
    });
    runner.start();
    await settle();
    runner.wake();
    runner.wake();
    await clock.advance(10_000);
    expect(runs).toEqual([1000]);
    release();
    await settle();
    await clock.advance(100);
    // The bound counts from the end of the run, so that a slow task cannot fill all time.
    expect(runs).toEqual([1000, 11_100]);
    expect(most).toBe(1);
    const stopped = runner.stop();
    release();
    await stopped;
  });

  it('reports a failure and goes on', async () => {
    const { clock, runs, errors, runner } = setUp({ task: () => Promise.reject(new Error('no')) });
    runner.start();
    await clock.advance(1000);
    expect(runs).toHaveLength(2);
    expect(errors).toHaveLength(2);
    await runner.stop();
  });

  it('goes on when the report of a failure fails', async () => {
    const clock = new FakeClock();
    let runs = 0;
    const runner = new BoundedRunner({
      task: async () => {
        runs += 1;
        throw new Error('no');
      },
      clock,
      atLeast: 100,
      atMost: () => 1000,
      onError: () => {
        throw new Error('the log is full');
      },
    });
    runner.start();
    await clock.advance(1000);
    expect(runs).toBe(2);
    await runner.stop();
  });

  it('waits for the run under way when stopped, and plans nothing more', async () => {
    let release: () => void = () => {};
    const { clock, runs, runner } = setUp({
      task: () =>
        new Promise<void>((resolve) => {
          release = resolve;
        }),
    });
    runner.start();
    await settle();
    let stopped = false;
    const stopping = runner.stop().then(() => {
      stopped = true;
    });
    await settle();
    expect(stopped).toBe(false);
    release();
    await stopping;
    runner.wake();
    await clock.advance(10_000);
    expect(runs).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  it('runs again when started after a stop, also when a wake was pending', async () => {
    const { clock, runs, runner } = setUp();
    runner.start();
    await settle();
    runner.wake();
    await runner.stop();
    await clock.advance(5000);
    expect(runs).toEqual([1000]);
    runner.start();
    await settle();
    expect(runs).toEqual([1000, 6000]);
    await runner.stop();
  });

  it('runs once when started again while the last run is still ending', async () => {
    let release: () => void = () => {};
    let under = 0;
    let most = 0;
    const { clock, runner } = setUp({
      task: async () => {
        under += 1;
        most = Math.max(most, under);
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        under -= 1;
      },
    });
    runner.start();
    await settle();
    const stopping = runner.stop();
    runner.start();
    await clock.advance(3000);
    expect(most).toBe(1);
    release();
    await stopping;
    const last = runner.stop();
    release();
    await last;
  });

  it('follows an upper bound that changes', async () => {
    const clock = new FakeClock();
    const runs: number[] = [];
    let period = 1000;
    const runner = new BoundedRunner({
      task: async () => {
        runs.push(clock.monotonic());
      },
      clock,
      atLeast: 10,
      atMost: () => period,
      onError: () => {},
    });
    runner.start();
    await clock.advance(1000);
    period = 200;
    await clock.advance(1400);
    expect(runs).toEqual([1000, 2000, 3000, 3200, 3400]);
    await runner.stop();
  });
});
