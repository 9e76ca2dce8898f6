/**
 * A distribution of whole numbers in fixed memory: exact below 32, then 16 steps
 * for each doubling, so that a figure read back is at most 1/16 too large and
 * never too small. The largest value itself is kept exactly.
 */
const EXACT = 32;
const STEPS = 16;
const BUCKETS = EXACT + 26 * STEPS;
const LARGEST = 2 ** 31 - 1;

/** As it is sent and stored: counts of the steps that have any. */
export interface Distribution {
  readonly total: number;
  readonly max: number;
  readonly buckets: readonly (readonly [step: number, count: number])[];
}

export const NOTHING_COUNTED: Distribution = { total: 0, max: 0, buckets: [] };

export class Histogram {
  total = 0;
  max = 0;
  readonly #counts = new Float64Array(BUCKETS);

  add(value: number): void {
    const step = stepOf(value);
    this.#counts[step] = (this.#counts[step] as number) + 1;
    this.total += 1;
    if (value > this.max) this.max = value;
  }

  clear(): void {
    this.#counts.fill(0);
    this.total = this.max = 0;
  }

  export(): Distribution {
    const buckets: [number, number][] = [];
    this.#counts.forEach((count, step) => {
      if (count > 0) buckets.push([step, count]);
    });
    return { total: this.total, max: this.max, buckets };
  }
}

function stepOf(value: number): number {
  const whole = value >= LARGEST ? LARGEST : value | 0;
  if (whole < EXACT) return whole < 0 ? 0 : whole;
  const doubling = 31 - Math.clz32(whole);
  return EXACT + (doubling - 5) * STEPS + ((whole >>> (doubling - 4)) & (STEPS - 1));
}

/** The largest value that a step stands for. */
function upperEnd(step: number): number {
  if (step < EXACT) return step;
  const doubling = 5 + Math.floor((step - EXACT) / STEPS);
  return (STEPS + ((step - EXACT) % STEPS) + 1) * 2 ** (doubling - 4) - 1;
}

/** The value that this share (0..1) of all values does not exceed; 0 when there are none. */
export function percentile({ total, max, buckets }: Distribution, share: number): number {
  const wanted = Math.max(1, Math.ceil(share * total));
  let seen = 0;
  for (const [step, count] of buckets) {
    seen += count;
    if (seen >= wanted) return Math.min(max, upperEnd(step));
  }
  return max;
}

export function mergeDistributions(parts: readonly Distribution[]): Distribution {
  const counts = new Map<number, number>();
  for (const { buckets } of parts) {
    for (const [step, count] of buckets) counts.set(step, (counts.get(step) ?? 0) + count);
  }
  return {
    total: parts.reduce((sum, part) => sum + part.total, 0),
    max: parts.reduce((most, part) => Math.max(most, part.max), 0),
    buckets: [...counts].sort(([a], [b]) => a - b),
  };
}
