import type { FilterConfig } from '../../config/config.js';
import { percentile } from './histogram.js';
import type { MeasureName, ProfileReport } from './report.js';
import type { Spread } from './spread.js';

/**
 * From what was seen to one figure for each threshold. The rule: the highest
 * that any source did in normal traffic (or the 99.9th percentile, which is never
 * more) times HEADROOM, rounded up to a readable number, within bounds; never
 * below the shipped default, or what is configured where that is less, unless asked
 * for tight ones; and the present figure
 * where too little was seen to say anything.
 */
export const HEADROOM = 2;
/** With fewer visits nothing is said; a tight figure wants more of them, and more time. */
const LEAST_VISITS = 20;
const TIGHT_VISITS = 100;
const LEAST_SECONDS = 600;

interface Bounds {
  /** Lowest that tight may go to, the shipped default, and the highest that is proposed whatever was seen. */
  readonly floor: number;
  readonly shipped: number;
  readonly ceiling: number;
}

/** Rates a second, or numbers of ports or hosts. */
export const BOUNDS: Readonly<Record<MeasureName, Bounds>> = {
  syn: { floor: 10, shipped: 200, ceiling: 2000 },
  flood: { floor: 200, shipped: 2000, ceiling: 50_000 },
  icmp: { floor: 5, shipped: 50, ceiling: 500 },
  udp: { floor: 100, shipped: 2000, ceiling: 20_000 },
  scan: { floor: 5, shipped: 30, ceiling: 300 },
  slow_scan: { floor: 10, shipped: 60, ceiling: 600 },
  sweep: { floor: 5, shipped: 20, ceiling: 200 },
  ping_sweep: { floor: 5, shipped: 20, ceiling: 200 },
  stealth: { floor: 3, shipped: 5, ceiling: 20 },
};
const SIZE_BOUNDS: Bounds = { floor: 576, shipped: 1024, ceiling: 65_535 };

const RATES: readonly MeasureName[] = ['syn', 'flood', 'icmp', 'udp'];

export interface Figure {
  readonly key: MeasureName | 'drop_larger_than';
  readonly unit: '/s' | 'ports' | 'hosts' | 'bytes';
  /** As configured; `null` = the detector is off. */
  readonly present: number | null;
  readonly proposed: number;
  /** Why it is so. */
  readonly why: string;
  /** Whether a person should look at the largest before taking it. */
  readonly doubtful: boolean;
  readonly visits: number;
  /** In the unit of the figure. */
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly largest: readonly { readonly who: string; readonly value: number; readonly at: string }[];
  /** Visits of sources that never completed a connection: left out. */
  readonly strangers: { readonly visits: number; readonly max: number; readonly who: string | null };
}

/** One figure for each key of the `filter` section that can be learned. */
export function figuresOf(report: ProfileReport, filter: FilterConfig, tight: boolean): Figure[] {
  const enough = report.to - report.from >= LEAST_SECONDS * 1000;
  const keys = Object.keys(BOUNDS) as MeasureName[];
  const figures = keys.map((key): Figure => {
    const { window, clients, strangers } = report.measures[key];
    const scale = RATES.includes(key) ? 1 / window : 1;
    const present = presentOf(filter, key);
    const unit = scale !== 1 || RATES.includes(key) ? '/s' : key.endsWith('sweep') ? 'hosts' : 'ports';
    return {
      key,
      unit,
      present,
      ...choose(clients, scale, present, BOUNDS[key], tight, enough),
      ...evidence(clients, scale),
      strangers: {
        visits: strangers.total,
        max: tidy(strangers.max * scale),
        who: strangers.top[0]?.who ?? null,
      },
    };
  });
  const present = filter.icmp?.dropLargerThan ?? null;
  figures.push({
    key: 'drop_larger_than',
    unit: 'bytes',
    present,
    ...choose(report.sizes, 1, present, SIZE_BOUNDS, tight, enough),
    ...evidence(report.sizes, 1),
    strangers: { visits: 0, max: 0, who: null },
  });
  return figures;
}

function presentOf(filter: FilterConfig, key: MeasureName): number | null {
  const limit = {
    syn: filter.syn?.perSecond,
    flood: filter.flood?.perSecond,
    icmp: filter.icmp?.perSecond,
    udp: filter.udp?.perSecond,
    scan: filter.scan?.most,
    slow_scan: filter.slowScan?.most,
    sweep: filter.sweep?.most,
    ping_sweep: filter.pingSweep?.most,
    stealth: filter.stealth?.most,
  }[key];
  return limit ?? null;
}

function choose(
  spread: Spread,
  scale: number,
  present: number | null,
  bounds: Bounds,
  tight: boolean,
  enough: boolean,
): Pick<Figure, 'proposed' | 'why' | 'doubtful'> {
  const kept = Number.isFinite(present) && present !== null ? present : bounds.shipped;
  const needed = tight ? TIGHT_VISITS : LEAST_VISITS;
  if (spread.total < needed || !enough) {
    // What little was seen may still be more than is allowed now.
    const seen = spread.max * scale;
    if (seen * HEADROOM <= kept)
      return { proposed: kept, why: 'too little was seen to say anything: as it is', doubtful: false };
  }
  const wanted = readable(Math.max(percentile(spread, 0.999), spread.max) * scale * HEADROOM);
  const isTight = tight && spread.total >= needed && enough;
  // Who has set less than the shipped default keeps it.
  const lowest = isTight ? bounds.floor : Math.min(bounds.shipped, kept);
  if (wanted > bounds.ceiling)
    return {
      proposed: bounds.ceiling,
      why: `${HEADROOM} x the largest would be ${wanted}, which is no limit any more: held at ${bounds.ceiling}`,
      doubtful: true,
    };
  if (wanted < lowest) {
    const why = tight
      ? 'the lowest that is proposed'
      : `${HEADROOM} x the largest is less: not below the shipped default`;
    return { proposed: lowest, why, doubtful: false };
  }
  return { proposed: wanted, why: `${HEADROOM} x the largest`, doubtful: wanted > bounds.shipped * HEADROOM };
}

function evidence(
  spread: Spread,
  scale: number,
): Pick<Figure, 'visits' | 'p50' | 'p95' | 'p99' | 'p999' | 'max' | 'largest'> {
  const at = (share: number) => tidy(percentile(spread, share) * scale);
  return {
    visits: spread.total,
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    p999: at(0.999),
    max: tidy(spread.max * scale),
    largest: spread.top
      .slice(0, 3)
      .map(({ who, value, at: when }) => ({ who, value: tidy(value * scale), at: new Date(when).toISOString() })),
  };
}

/** Two figures are enough for people. */
function tidy(value: number): number {
  return value >= 10 ? Math.round(value) : Math.round(value * 10) / 10;
}

const STEPS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];

/** Rounded up to a number that can be read at a glance. */
export function readable(value: number): number {
  if (value <= 10) return Math.max(1, Math.ceil(value));
  const power = 10 ** Math.floor(Math.log10(value));
  const step = STEPS.find((candidate) => candidate * power >= value - 1e-9) ?? 10;
  return Math.round(step * power);
}
