import { describe, expect, it } from 'vitest';
import { surplus } from '../../../src/history/retention.js';
import {
  type BlockIndex,
  decodeFrames,
  encodeFrame,
  HOUR_MS,
  type Segment,
  segmentName,
} from '../../../src/history/segment.js';
import { TermFilter, termOf } from '../../../src/history/term-filter.js';

const index = (at: number): BlockIndex => ({
  from: at,
  to: at + 10,
  written: at + 11,
  rows: 3,
  lost: 0,
  at: at * 100,
  parts: [[10, 20]],
});
const filter = (...addresses: string[]) => TermFilter.of(new Set(addresses));
const frames = [1, 2, 3].map((at) => encodeFrame(index(at), filter(`203.0.113.${at}`)));
const whole = Buffer.concat(frames);

function read(bytes: Buffer): { readonly found: number[]; readonly damaged: number } {
  let damaged = 0;
  const found = [...decodeFrames(bytes, () => (damaged += 1))].map((frame) => frame.index.from);
  return { found, damaged };
}

describe('an index file', () => {
  it('gives back what was written', () => {
    const [first] = [...decodeFrames(whole, () => {})];
    expect(first?.index).toEqual(index(1));
    expect(first?.filter.mayHold(termOf('203.0.113.1'))).toBe(true);
    expect(read(whole)).toEqual({ found: [1, 2, 3], damaged: 0 });
  });

  it('loses no more than the frame that is damaged, whichever byte it is', () => {
    for (let at = 0; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ 0x40;
      const hit = at < (frames[0]?.length ?? 0) ? 1 : at < (frames[0]?.length ?? 0) + (frames[1]?.length ?? 0) ? 2 : 3;
      expect(read(bytes)).toEqual({ found: [1, 2, 3].filter((n) => n !== hit), damaged: 1 });
    }
  });

  it('loses no more than the last frame when it ends early, wherever, and goes on behind the stump', () => {
    for (let cut = 1; cut < (frames[2]?.length ?? 0); cut++) {
      const stump = whole.subarray(0, whole.length - cut);
      expect(read(stump)).toEqual({ found: [1, 2], damaged: 1 });
      expect(read(Buffer.concat([stump, encodeFrame(index(9), filter())]))).toEqual({ found: [1, 2, 9], damaged: 1 });
    }
  });
});

describe('a filter of terms', () => {
  it('never denies what it holds, and rarely claims what it does not', () => {
    const held = Array.from({ length: 1000 }, (_, i) => `203.0.${i >> 8}.${i & 255}`);
    const made = TermFilter.of(new Set(held));
    expect(held.every((address) => made.mayHold(termOf(address)))).toBe(true);
    const others = Array.from({ length: 20_000 }, (_, i) => `198.51.${i >> 8}.${i & 255}`);
    const wrong = others.filter((address) => made.mayHold(termOf(address))).length;
    expect(wrong / others.length).toBeLessThan(0.02);
  });
});

describe('retention', () => {
  const T = Date.UTC(2026, 10, 23, 12);
  const segment = (hoursAgo: number, kind: Segment['kind'], bytes: number): Segment => ({
    path: segmentName(T - hoursAgo * HOUR_MS, 0, kind),
    kind,
    hour: T - hoursAgo * HOUR_MS,
    part: 0,
    bytes,
  });
  const gone = (segments: readonly Segment[], keep: number, atMost: number) =>
    surplus(segments, { keep, atMost }, T).map(({ path }) => path);

  it('deletes what ended longer ago than is to be kept', () => {
    const segments = [segment(30, 'alerts', 1), segment(24, 'alerts', 1), segment(1, 'alerts', 1)];
    expect(gone(segments, 86_400, 1000)).toEqual(['20261122T06-000.alerts']);
    expect(gone(segments, Number.POSITIVE_INFINITY, 1000)).toEqual([]);
  });

  it('deletes the oldest until the rest fits, and never the newest of a kind', () => {
    const segments = [5, 4, 3, 2, 1].map((h) => segment(h, 'alerts', 100));
    expect(gone(segments, 86_400, 350)).toEqual(['20261123T07-000.alerts', '20261123T08-000.alerts']);
    expect(gone(segments, 86_400, 10)).toHaveLength(4);
    expect(gone([segment(100, 'alerts', 5)], 3600, 1)).toEqual([]);
  });

  it('lets contacts have half of the room, so that a scan does not push the alerts out', () => {
    const segments = [
      segment(5, 'alerts', 100),
      segment(4, 'contacts', 400),
      segment(3, 'contacts', 400),
      segment(2, 'alerts', 100),
    ];
    expect(gone(segments, 86_400, 1000)).toEqual(['20261123T08-000.contacts']);
  });
});
