import { describe, expect, it } from 'vitest';
import { readable } from '../../../src/base/log.js';

describe('a log line for a terminal', () => {
  it('begins with time and level, quotes as they are, control characters escaped', () => {
    const line = JSON.stringify({
      level: 40,
      time: '2026-11-23T17:02:03.123Z',
      address: '203.0.113.9',
      msg: 'look at "this"\u001b[2J\n\u202egnp',
    });
    expect(readable(line)).toBe('17:02:03 warn: look at "this"\\u001b[2J\\u000a\\u202egnp address="203.0.113.9"');
  });

  it('leaves the level out where it is only information', () => {
    expect(readable(JSON.stringify({ level: 30, time: '2026-11-23T17:02:03.123Z', msg: 'stopped' }))).toBe(
      '17:02:03 stopped',
    );
  });
});
