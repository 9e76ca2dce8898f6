import { describe, expect, it } from 'vitest';
import type { Log } from '../../../src/base/log.js';
import type { RedisConnection } from '../../../src/blocklist/connection.js';
import { Keys } from '../../../src/blocklist/keys.js';
import { Refusals } from '../../../src/blocklist/refusals.js';

describe('refusals', () => {
  it('explain ten thousand keys once, count the others, and stay quiet at the next walks', () => {
    let sent = 0;
    const lines: unknown[] = [];
    const call = async () => {
      sent += 1;
    };
    const connection = { call } as unknown as RedisConnection;
    const say = (fields: unknown) => lines.push(fields);
    const refusals = new Refusals(connection, new Keys(), { warn: say, error: say } as unknown as Log);
    for (let walk = 0; walk < 3; walk++) {
      refusals.beginWalk();
      for (let i = 0; i < 12_000; i++) refusals.refuse(`bfoo${i}`, 'not_an_address', 'no');
      refusals.endWalk();
    }
    expect(refusals.size).toBe(10_000);
    expect(sent).toBe(10_000);
    expect(lines.length).toBe(52);
    expect(lines.at(-1)).toEqual({ keys: 2000 });
  });
});
