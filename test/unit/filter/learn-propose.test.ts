import { describe, expect, it } from 'vitest';
import type { FilterConfig } from '../../../src/config/config.js';
import { parseConfig } from '../../../src/config/load.js';
import { readable } from '../../../src/filter/learn/figures.js';
import { Histogram } from '../../../src/filter/learn/histogram.js';
import { propose } from '../../../src/filter/learn/propose.js';
import type { Regular } from '../../../src/filter/learn/regulars.js';
import { MEASURES, type MeasureName, type ProfileReport, windowsOf } from '../../../src/filter/learn/report.js';
import { NO_SPREAD, type Spread } from '../../../src/filter/learn/spread.js';
import { DEFAULT_FILTER } from '../../support/filter.js';

const FROM = Date.UTC(2026, 10, 23, 12);
const HOUR = 3_600_000;

function spread(values: readonly number[], who = '203.0.113.5'): Spread {
  const histogram = new Histogram();
  for (const value of values) histogram.add(value);
  const { max } = histogram;
  return { ...histogram.export(), top: values.length > 0 ? [{ who, value: max, at: FROM + HOUR }] : [] };
}
const many = (count: number, largest: number) => spread([...new Array<number>(count - 1).fill(1), largest]);

function reportOf(seen: Partial<Record<MeasureName, Spread>>, changes: Partial<ProfileReport> = {}): ProfileReport {
  const windows = windowsOf(DEFAULT_FILTER);
  return {
    from: FROM,
    to: FROM + 24 * HOUR,
    answers: true,
    packets: 1000,
    leftOut: 0,
    connections: 900,
    sources: new Array<number>(1024).fill(1),
    measures: Object.fromEntries(
      MEASURES.map((name) => [
        name,
        { window: windows[name], cut: 0, clients: seen[name] ?? NO_SPREAD, strangers: NO_SPREAD },
      ]),
    ) as ProfileReport['measures'],
    sizes: NO_SPREAD,
    regulars: [],
    ...changes,
  };
}

/** What the proposal means, as the daemon would read it. */
const meaning = (report: ProfileReport, filter: FilterConfig = DEFAULT_FILTER, tight = false) =>
  parseConfig(propose(report, filter, tight).yaml, 'proposal').filter;

describe('a proposal', () => {
  it('of nothing is what is configured', () => {
    expect(meaning(reportOf({}))).toEqual(DEFAULT_FILTER);
  });

  it('means twice the largest, where that is more than is shipped', () => {
    const seen = {
      syn: many(500, 900),
      icmp: many(500, 300),
      flood: many(500, 9000),
      scan: many(500, 22),
      slow_scan: many(500, 47),
      sweep: many(500, 33),
      ping_sweep: many(500, 12),
    };
    const filter = meaning(reportOf(seen, { sizes: many(500, 1400) }));
    expect(filter.syn?.perSecond).toBe(600);
    expect(filter.icmp).toMatchObject({ perSecond: 200, during: 3, ban: 600, dropLargerThan: 3000 });
    expect(filter.flood).toMatchObject({ perSecond: 6000, during: 3, sources: 100, then: 'limit' });
    expect(filter.scan?.most).toBe(50);
    expect(filter.slowScan?.most).toBe(100);
    expect(filter.sweep?.most).toBe(80);
    expect(filter.pingSweep?.most).toBe(25);
    expect(filter.udp).toBeNull();
  });

  it('is never tighter than what is shipped, unless it is asked to be', () => {
    const seen = { syn: many(500, 12), scan: many(500, 4), stealth: many(500, 1) };
    expect(meaning(reportOf(seen)).syn?.perSecond).toBe(200);
    expect(meaning(reportOf(seen)).scan?.most).toBe(30);
    const tight = meaning(reportOf(seen), DEFAULT_FILTER, true);
    expect(tight.syn?.perSecond).toBe(10);
    expect(tight.scan?.most).toBe(8);
    expect(tight.stealth?.most).toBe(3);
    // Of what was not seen nothing is concluded.
    expect(tight.sweep?.most).toBe(20);
  });

  it('leaves a threshold that was set lower by hand where it is, while that is enough', () => {
    const filter = parseConfig('filter: { scan: { more_than: 10 ports, within: 60s, then: ban 1h } }', 'x').filter;
    expect(meaning(reportOf({ scan: many(500, 3) }), filter).scan).toMatchObject({ most: 10, ban: 3600 });
    expect(meaning(reportOf({ scan: many(500, 8) }), filter).scan).toMatchObject({ most: 20, ban: 3600 });
  });

  it('is never so loose that it limits nothing, and says whom to look at', () => {
    const { yaml, figures } = propose(reportOf({ scan: many(500, 3000) }), DEFAULT_FILTER);
    expect(parseConfig(yaml, 'x').filter.scan?.most).toBe(300);
    expect(figures.find(({ key }) => key === 'scan')).toMatchObject({ doubtful: true, max: 3000 });
    expect(yaml).toMatch(/# {3}largest: 203\.0\.113\.5 3000 \(2026-11-23 13:00\)\n.*LOOK/);
  });

  it('concludes nothing from a few visits or some minutes', () => {
    expect(meaning(reportOf({ syn: many(5, 12) }), DEFAULT_FILTER, true).syn?.perSecond).toBe(200);
    const short = reportOf({ syn: many(500, 12) }, { to: FROM + 60_000 });
    expect(meaning(short, DEFAULT_FILTER, true).syn?.perSecond).toBe(200);
  });

  it('carries the evidence beside each figure', () => {
    const { yaml } = propose(reportOf({ syn: many(1000, 900) }), DEFAULT_FILTER);
    expect(yaml).toContain('# syn: 600/s (now 200/s): 2 x the largest.');
    expect(yaml).toContain('#   1000 visits: p50 0.3, p95 0.3, p99 0.3, p99.9 0.3, max 300/s');
    expect(yaml).toContain('seen in 1d: 2026-11-23T12:00:00Z to 2026-11-24T12:00:00Z. Nothing of it is in force.');
  });

  it('keeps hours, bans, times, rules and what is off', () => {
    const text = [
      'time_zone: UTC',
      'filter:',
      '  syn:',
      '    - { more_than: 30/m per source, during: 10s, then: ban 2h, between: "22:00-06:00" }',
      '    - { more_than: 100/s per source, during: 10s, then: ban 5m }',
      '  icmp:',
      '    - { more_than: 5/s, during: 3s, then: ban 1m, between: "01:30-02:00", drop_larger_than: 2000 }',
      '  sweep: off',
      '  flood: off',
      '  land: false',
      '  stealth: { more_than: 9 ports, within: 90s, then: ban 1d }',
      '  rules:',
      '    - { proto: udp, dport: [1900, 5000-5010], from: 198.51.100.0/24, then: ban 10m, note: "a: b" }',
      '    - { proto: tcp, flags: [syn, fin], then: reject }',
    ].join('\n');
    const { filter } = parseConfig(text, 'x');
    expect(meaning(reportOf({}), filter)).toEqual(filter);
  });

  it('proposes to except who comes by the clock and never fails, and partners, by command and by entry', () => {
    const regular = (who: string, changes: Partial<Regular> = {}): Regular => ({
      who,
      first: FROM,
      last: FROM + 24 * HOUR,
      occasions: 1440,
      every: 60_000,
      spread: 900,
      attempts: 1440,
      completed: 1440,
      failed: 0,
      pings: 0,
      services: 1,
      ...changes,
    });
    const regulars = [
      regular('203.0.113.10'),
      regular('203.0.113.11', { attempts: 0, completed: 0, pings: 1440 }),
      regular('203.0.113.12', { spread: 50_000, services: 6 }),
      regular('203.0.113.13', { spread: 50_000 }),
      regular('203.0.113.14', { failed: 1, completed: 1439 }),
      regular('203.0.113.15', { last: FROM + HOUR }),
      regular('203.0.113.16', { occasions: 6 }),
    ];
    const { exceptions, yaml } = propose(reportOf({}, { regulars }), DEFAULT_FILTER);
    expect(exceptions.map(({ address, kind }) => [address, kind])).toEqual([
      ['203.0.113.10', 'monitor'],
      ['203.0.113.11', 'monitor'],
      ['203.0.113.12', 'partner'],
    ]);
    expect(yaml).toContain(
      '#   barricata allow 203.0.113.11 --for 90d --reason "monitor: every 1m, 1440 times, 1440 pings"',
    );
    const entry = /never_ban: {2}- (\{ address: "203\.0\.113\.12".*\})/.exec(yaml)?.[1];
    expect(parseConfig(`never_ban: [${entry}]`, 'x').neverBan.listed).toMatchObject([
      { prefix: { text: '203.0.113.12' }, reason: 'partner: 1440 connections to about 6 services, each completed' },
    ]);
    // They are comments: the proposal itself excepts nobody.
    expect(parseConfig(yaml, 'x').neverBan.listed).toEqual([]);
    // Without word of completed connections only pings say something.
    const blind = propose(reportOf({}, { regulars, answers: false }), DEFAULT_FILTER);
    expect(blind.exceptions.map(({ address }) => address)).toEqual(['203.0.113.11']);
  });
});

describe('a readable number', () => {
  it.each([
    [0.2, 1],
    [7, 7],
    [10.1, 12],
    [61, 80],
    [200, 200],
    [201, 250],
    [8300, 10_000],
  ])('%d is %d', (value, wanted) => expect(readable(value)).toBe(wanted));
});
