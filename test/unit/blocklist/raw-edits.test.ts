import { expect, it } from 'vitest';
import type { Log } from '../../../src/base/log.js';
import type { RedisConnection } from '../../../src/blocklist/connection.js';
import { Keys } from '../../../src/blocklist/keys.js';
import { RawEdits } from '../../../src/blocklist/raw-edits.js';
import { FakeClock } from '../../support/clock.js';

it('edits by hand beyond what can wait are told of with their number', async () => {
  const errors: unknown[] = [];
  const clock = new FakeClock();
  const edits = new RawEdits({
    connection: { up: false } as RedisConnection,
    keys: new Keys(),
    clock,
    log: { error: (...args: unknown[]) => errors.push(args) } as unknown as Log,
  });
  await edits.start();
  edits.written(Array.from({ length: 200_007 }, (_, i) => [`b${i}`, true] as const));
  await clock.advance(100);
  expect(edits.waiting).toBe(200_000);
  expect(errors).toEqual([[{ edits: 7 }, expect.stringContaining('not journaled')]]);
  await edits.stop();
});
