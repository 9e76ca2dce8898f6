import { describe, expect, it } from 'vitest';
import { connectionTracking } from '../../../src/cli/commands/doctor.js';

const GOOD = { entries: 1200, most: 262_144, events: 2, liberal: false };
const warned = (over: Partial<typeof GOOD>) => connectionTracking({ ...GOOD, ...over });

describe('what doctor says of connection tracking', () => {
  it('is that all is well while there is room and its events are on', () => {
    expect(warned({})).toEqual([
      { state: 'ok', check: 'conntrack', detail: '1200 of 262144 connections, events on', fix: '' },
    ]);
    expect(warned({ entries: 209_715 })).toMatchObject([{ state: 'ok' }]);
  });

  it.each([
    [{ entries: 209_716 }, '209716 of 262144', 'sysctl -w net.netfilter.nf_conntrack_max=524288'],
    [{ events: 0 }, 'events are off', 'sysctl -w net.netfilter.nf_conntrack_events=2'],
    [{ liberal: true }, 'any ACK', 'sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=0'],
  ])('warns of %j and says what repairs it', (over, detail, fix) => {
    expect(warned(over)).toEqual([{ state: 'warn', check: 'conntrack', detail: expect.stringContaining(detail), fix }]);
  });

  it('names all that is wrong, and a kernel without it', () => {
    expect(warned({ entries: 262_144, events: 0, liberal: true }).map(({ state }) => state)).toEqual(
      Array(3).fill('warn'),
    );
    expect(connectionTracking(null)).toMatchObject([{ state: 'warn', fix: 'modprobe nf_conntrack' }]);
  });
});
