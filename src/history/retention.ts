import { unlinkSync } from 'node:fs';
import type { EpochMs, Seconds } from '../base/clock.js';
import { HOUR_MS, indexPath, listSegments, type Segment } from './segment.js';

/** Contacts may use at most this share, so that a port scan over a whole network cannot push the alerts out. */
const CONTACTS_SHARE = 0.5;

export interface HistoryBounds {
  readonly keep: Seconds;
  /** Bytes on disk, all segments together. */
  readonly atMost: number;
}

/**
 * Which segments have to go: those whose hour ended longer ago than `keep`,
 * then the oldest until the rest fits. Of each kind the newest stays. Pure.
 */
export function surplus(segments: readonly Segment[], { keep, atMost }: HistoryBounds, now: EpochMs): Segment[] {
  const newest = new Set(
    (['alerts', 'contacts'] as const).map((kind) => segments.findLast((segment) => segment.kind === kind)),
  );
  const gone = new Set(
    segments.filter((one) => !newest.has(one) && one.hour + HOUR_MS < now - Math.min(keep * 1000, now)),
  );
  const shrink = (of: readonly Segment[], to: number) => {
    let bytes = of.reduce((sum, one) => sum + (gone.has(one) ? 0 : one.bytes), 0);
    for (const one of of) {
      if (bytes <= to) break;
      if (gone.has(one) || newest.has(one)) continue;
      gone.add(one);
      bytes -= one.bytes;
    }
  };
  shrink(
    segments.filter(({ kind }) => kind === 'contacts'),
    atMost * CONTACTS_SHARE,
  );
  shrink(segments, atMost);
  return [...gone];
}

/**
 * Deletes what has to go.
 * @returns bytes that are left
 * @throws the error of the system
 */
export function retain(directory: string, bounds: HistoryBounds, now: EpochMs): number {
  const segments = listSegments(directory);
  const gone = new Set(surplus(segments, bounds, now));
  for (const { path } of gone) {
    // The index first: a body without a frame is not there.
    for (const file of [indexPath(path), path]) {
      try {
        unlinkSync(file);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }
  return segments.reduce((sum, one) => sum + (gone.has(one) ? 0 : one.bytes), 0);
}
