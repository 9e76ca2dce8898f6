import { describe, expect, it } from 'vitest';
import { passedQueue } from '../../../src/daemon/status-of.js';

const QUEUE = { packets: 100, queueDropped: 3, userDropped: 2, queueLength: 5, unfiltered: 0 };

describe('what passed the queue without a verdict', () => {
  it('is what the rules handed over and nobody judged, lost or holds', () => {
    expect(passedQueue({ queued: 150 }, QUEUE)).toBe(40);
    expect(passedQueue({ queued: 110 }, QUEUE)).toBe(0);
  });

  it('is none when workers judged meanwhile what was counted later', () => {
    expect(passedQueue({ queued: 90 }, QUEUE)).toBe(0);
  });

  it('is at least what the workers know of', () => {
    expect(passedQueue({ queued: 112 }, { ...QUEUE, unfiltered: 7 })).toBe(7);
    expect(passedQueue({ queued: 0 }, { ...QUEUE, unfiltered: 7 })).toBe(7);
  });
});
