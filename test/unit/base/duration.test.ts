import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FOREVER } from '../../../src/base/clock.js';
import { formatDuration, parseDuration } from '../../../src/base/duration.js';

describe('parseDuration', () => {
  it.each([
    ['90s', 90],
    ['10m', 600],
    ['4h', 14_400],
    ['7d', 604_800],
    ['2w', 1_209_600],
    ['1h30m', 5400],
    ['forever', FOREVER],
  ])('reads %s', (text, seconds) => {
    expect(parseDuration(text)).toBe(seconds);
  });

  it.each([
    '',
    '0s',
    '0m0s',
    '10',
    '10 m',
    '-5m',
    '1.5h',
    'm',
    '5M',
    '5min',
    ' 5m',
    '5m ',
    '1e3s',
    '9999999999s',
    'Forever',
    '٣m',
  ])('refuses %j', (text) => {
    expect(parseDuration(text)).toBeNull();
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '0s'],
    [0.4, '0s'],
    [59.6, '1m'],
    [-5, '0s'],
    [90, '1m30s'],
    [3600, '1h'],
    [7500, '2h5m'],
    [3605, '1h'],
    [604_800, '7d'],
    [90_061, '1d1h'],
    [FOREVER, 'forever'],
  ])('writes %d seconds as %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });

  it('writes what parseDuration reads back, losing less than the second unit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 ** 9 }), (seconds) => {
        const back = parseDuration(formatDuration(seconds)) as number;
        expect(back).toBeLessThanOrEqual(seconds);
        expect(seconds - back).toBeLessThan(seconds >= 86_400 ? 3600 : 60);
        expect(formatDuration(back)).toBe(formatDuration(seconds));
      }),
    );
  });
});
