import { Writable } from 'node:stream';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { Counters } from '../../../src/base/counters.js';
import { RateLimitedLog } from '../../../src/base/log.js';
import { FakeClock } from '../../support/clock.js';

describe('Counters', () => {
  it('count by label, in a stable order', () => {
    const counters = new Counters<'b' | 'a'>();
    counters.add('b');
    counters.add('a', 4);
    counters.add('b');
    expect(counters.get('b')).toBe(2);
    expect(counters.total()).toBe(6);
    expect(JSON.stringify(counters)).toBe('{"a":4,"b":2}');
    expect(new Counters().get('never')).toBe(0);
  });
});

describe('RateLimitedLog', () => {
  it('lets a complaint through once a minute and says how many were held back', async () => {
    const lines: Record<string, unknown>[] = [];
    const sink = new Writable({
      write(chunk, _, done) {
        lines.push(JSON.parse(String(chunk)));
        done();
      },
    });
    const clock = new FakeClock();
    const log = new RateLimitedLog(pino(sink), clock);
    for (let i = 0; i < 5; i++) log.warn('queue', { number: 100 }, 'overflow');
    log.warn('other', {}, 'another');
    expect(lines.map((line) => line['msg'])).toEqual(['overflow', 'another']);
    await clock.advance(60_000);
    log.warn('queue', { number: 100 }, 'overflow');
    expect(lines.at(-1)).toMatchObject({ msg: 'overflow', number: 100, repeated: 4 });
  });
});
