import type { EpochMs, Seconds } from '../../base/clock.js';
import type { FilterConfig } from '../../config/config.js';
import { estimate, mergeDifferent } from './different.js';
import { mergeRegulars, type Regular } from './regulars.js';
import { mergeSpreads, type Spread } from './spread.js';

/** What is measured, by the key of the `filter` section that it is for. */
export const MEASURES = ['syn', 'flood', 'icmp', 'udp', 'scan', 'slow_scan', 'sweep', 'ping_sweep', 'stealth'] as const;
export type MeasureName = (typeof MEASURES)[number];

export interface Measure {
  /** The highest counts of visits are counts in any time of this length. */
  readonly window: Seconds;
  /** Visits that were counted shorter than they were, for want of room. */
  readonly cut: number;
  /** Visits of sources that completed connections; of all where nothing tells. */
  readonly clients: Spread;
  /** Visits of sources that never completed any. */
  readonly strangers: Spread;
}

/** What a profile knows, as plain numbers: it can be posted, stored and merged. */
export interface ProfileReport {
  readonly from: EpochMs;
  readonly to: EpochMs;
  /** Whether it was told which connections were completed. */
  readonly answers: boolean;
  /** First packets that were looked at. */
  readonly packets: number;
  /** First packets of own networks. */
  readonly leftOut: number;
  /** Connections that were completed. */
  readonly connections: number;
  /** Registers of the estimate of different sources; see `sourcesOf`. */
  readonly sources: readonly number[];
  readonly measures: Readonly<Record<MeasureName, Measure>>;
  /** Bytes of single ICMP messages. */
  readonly sizes: Spread;
  readonly regulars: readonly Regular[];
}

/** Seconds that each figure is counted over: as configured, else as shipped. */
export function windowsOf(filter: FilterConfig): Readonly<Record<MeasureName, Seconds>> {
  return {
    syn: filter.syn?.during ?? 3,
    flood: filter.flood?.during ?? 3,
    icmp: filter.icmp?.during ?? 3,
    udp: filter.udp?.during ?? 3,
    scan: filter.scan?.within ?? 60,
    slow_scan: filter.slowScan?.within ?? 3600,
    sweep: filter.sweep?.within ?? 60,
    ping_sweep: filter.pingSweep?.within ?? 60,
    stealth: filter.stealth?.within ?? 60,
  };
}

/** Different sources, about. */
export function sourcesOf(report: ProfileReport): number {
  return report.packets === 0 ? 0 : estimate(report.sources);
}

/** What several workers, or several times, saw together. @param reports at least one */
export function mergeReports(reports: readonly ProfileReport[]): ProfileReport {
  const sum = (of: (report: ProfileReport) => number) => reports.reduce((total, report) => total + of(report), 0);
  const measure = (name: MeasureName): Measure => {
    const parts = reports.map(({ measures }) => measures[name]);
    return {
      window: Math.max(...parts.map(({ window }) => window)),
      cut: parts.reduce((total, { cut }) => total + cut, 0),
      clients: mergeSpreads(parts.map(({ clients }) => clients)),
      strangers: mergeSpreads(parts.map(({ strangers }) => strangers)),
    };
  };
  return {
    from: Math.min(...reports.map(({ from }) => from)),
    to: Math.max(...reports.map(({ to }) => to)),
    answers: reports.every(({ answers }) => answers),
    packets: sum(({ packets }) => packets),
    leftOut: sum(({ leftOut }) => leftOut),
    connections: sum(({ connections }) => connections),
    sources: mergeDifferent(reports.map(({ sources }) => sources)),
    measures: Object.fromEntries(MEASURES.map((name) => [name, measure(name)])) as ProfileReport['measures'],
    sizes: mergeSpreads(reports.map(({ sizes }) => sizes)),
    regulars: mergeRegulars(reports.map(({ regulars }) => regulars)),
  };
}
