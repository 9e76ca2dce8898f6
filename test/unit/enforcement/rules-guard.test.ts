import { pino } from 'pino';
import { expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.js';
import { RulesGuard } from '../../../src/enforcement/rules-guard.js';
import { waitFor } from '../../support/netns.js';

it('puts other rules in place when they are wanted, without calling it a loss, and tries until it succeeds', async () => {
  let installed = 0;
  let fails = 0;
  let during = () => {};
  const guard = new RulesGuard({
    install: async () => {
      if (fails-- > 0) throw new Error('locked');
      installed += 1;
      during();
    },
    verify: async () => 'ok',
    token: () => 'same',
    readEvery: () => 1_000_000,
    clock: systemClock,
    log: pino({ level: 'silent' }),
  });
  await guard.start();
  expect(installed).toBe(1);
  fails = 1;
  guard.reconfigured();
  await waitFor('the failure', () => guard.state === 'failed', 5000);
  await waitFor('the next attempt', () => installed === 2, 5000);
  await waitFor('its end', () => guard.state === 'in place', 5000);
  // Wanted otherwise again while the rules are written.
  during = () => {
    during = () => {};
    guard.reconfigured();
  };
  guard.reconfigured();
  await waitFor('both', () => installed === 4, 5000);
  expect(guard.heals.toJSON()).toEqual({});
  await guard.stop();
});
