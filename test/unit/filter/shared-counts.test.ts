/** What several workers make of one source whose packets each sees a part of. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FilterConfig } from '../../../src/config/config.js';
import type { Detection } from '../../../src/filter/detection.js';
import { type Endpoints, VERDICT } from '../../../src/filter/detector.js';
import { Pipeline } from '../../../src/filter/pipeline.js';
import { newSharedCounts, SharedCounts } from '../../../src/filter/shared-counts.js';
import { type AddressWords, parseWords } from '../../../src/net/address.js';
import { NO_FILTER } from '../../support/filter.js';
import { be16, icmp, ip, tcp } from '../../support/packets.js';

const NOON = Date.UTC(2026, 10, 28, 12);
const SERVER = '192.168.50.10';
const SCANNER = '203.0.113.66';
const RATE = { perSecond: 200, during: 3, ban: 600 };
const PORTS = { most: 30, within: 60, ban: 600 };

/** Pipelines as workers that share a table, a clock, and connection tracking that this test plays. */
class Workers {
  readonly found: (Detection & { readonly worker: number })[] = [];
  readonly pipelines: Pipeline[];
  known = false;
  now = 0;

  constructor(config: Partial<FilterConfig>, workers = 2, memory = newSharedCounts(workers, 77)) {
    const bench = this;
    this.pipelines = Array.from({ length: workers }, (_, index) => {
      const connections = {
        get known() {
          return bench.known;
        },
        isKnownGood: () => false,
        expectRefusals: () => undefined,
      };
      const shared = new SharedCounts(memory, index);
      return new Pipeline({ config: { ...NO_FILTER, ...config }, seed: 7 + index, connections, shared });
    });
  }

  send(worker: number, bytes: Uint8Array, afterMs = 0): number {
    this.now += afterMs;
    const pipeline = this.pipelines[worker] as Pipeline;
    pipeline.tick(this.now, NOON + this.now);
    const verdict = pipeline.judge(bytes, 0, bytes.length, bytes.length);
    for (const one of pipeline.take()) this.found.push({ ...one, worker });
    return verdict;
  }

  complete(source: string, port: number, to: readonly number[] = [...this.pipelines.keys()]): void {
    this.known = true;
    const from = parseWords(source) as AddressWords;
    const target = parseWords(SERVER) as AddressWords;
    const connection = {
      family: from.family,
      source0: from.w0,
      source1: from.w1,
      source2: from.w2,
      source3: from.w3,
      target0: target.w0,
      target1: target.w1,
      target2: target.w2,
      target3: target.w3,
      sourcePort: 40_000,
      targetPort: port,
    } satisfies Endpoints & { sourcePort: number; targetPort: number };
    for (const worker of to) {
      const pipeline = this.pipelines[worker] as Pipeline;
      pipeline.completed(connection);
      // A scan that this proves is reported once more.
      for (const one of pipeline.take()) this.found.push({ ...one, worker });
    }
  }

  get names(): string[] {
    return this.found.map(({ detector, source, count }) => `${detector} ${source} ${count}`);
  }
}

const syn = (source: string, port = 80, target = SERVER) => tcp({ source, target, port });
const udp = (source: string) => ip(source, SERVER, 17, [...be16(40_000), ...be16(53), 0, 8, 0, 0]);
const ping = (source: string, target = SERVER) => icmp(source, target, source.includes(':') ? 128 : 8);

/** A generator of fixed numbers below `n`. */
function dealer(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % n;
  };
}

describe('rates over several workers', () => {
  const limits = [
    ['syn_rate', { syn: RATE }, syn(SCANNER)],
    ['icmp_rate', { icmp: { ...RATE, dropLargerThan: 1024 } }, ping(SCANNER)],
    ['udp_rate', { udp: RATE }, udp(SCANNER)],
  ] as const;

  for (const [detector, config, packet] of limits) {
    it(`${detector}: packets dealt alternately and at random are over at the first above the limit`, () => {
      for (const workers of [2, 3, 4]) {
        const random = dealer(workers);
        for (const deal of [(i: number) => i % workers, () => random(workers)]) {
          const bench = new Workers(config, workers);
          let sent = 0;
          while (bench.found.length === 0 && sent < 1000) bench.send(deal(sent++), packet, 1);
          expect(bench.names).toEqual([`${detector} ${SCANNER}/32 601`]);
          expect(sent).toBe(601);
        }
      }
    });
  }

  it('are reported by one worker, and dropped by all', () => {
    const bench = new Workers({ syn: RATE });
    for (let i = 0; i < 2000; i++) {
      const verdict = bench.send(i % 2, syn(SCANNER), 1);
      expect(verdict).toBe(i < 600 ? VERDICT.ACCEPT : VERDICT.DROP);
    }
    expect(bench.found).toHaveLength(1);
  });

  it('are noticed at less than 1.25 times the limit, however unevenly dealt', () => {
    for (const share of [2, 3, 5, 10, 20]) {
      const bench = new Workers({ syn: RATE });
      let sent = 0;
      while (bench.found.length === 0 && sent < 1000) bench.send(sent++ % share === 0 ? 1 : 0, syn(SCANNER), 1);
      expect(sent).toBeLessThan(750);
      expect(bench.found[0]?.count).toBe(601);
    }
  });

  it('hold for an IPv6 address, and for a /64 whose addresses share the work', () => {
    const one = new Workers({ syn: RATE });
    for (let i = 0; i < 800; i++) {
      one.send(i % 2, syn('2001:db8:66::66', 80, '2001:db8::1'), 1);
      if (i % 8 === 0) one.send((i >> 3) % 2, syn(`2001:db8:66::${(i + 1).toString(16)}`, 80, '2001:db8::1'));
    }
    expect(one.found.map(({ source }) => source)).toEqual(['2001:db8:66::66/128']);
    const many = new Workers({ syn: RATE });
    for (let i = 0; i < 800; i++) many.send(i % 2, syn(`2001:db8:66::${(i % 300).toString(16)}`, 80, '2001:db8::1'), 1);
    expect(many.found.map(({ source }) => source)).toEqual(['2001:db8:66::/64']);
  });

  it('do not blame a /64 whose one attacker comes to one worker and whose other addresses to another', () => {
    const bench = new Workers({ syn: RATE });
    for (let i = 0; i < 550; i++) {
      bench.send(0, syn('2001:db8:66::66', 80, '2001:db8::1'), 1);
      if (i % 4 === 0) bench.send(1, syn(`2001:db8:66::${(i + 1).toString(16)}`, 80, '2001:db8::1'));
    }
    expect(bench.found).toEqual([]);
  });

  it('do not count what another saw more than a window ago', () => {
    const bench = new Workers({ syn: RATE });
    for (let i = 0; i < 590; i++) bench.send(0, syn(SCANNER), 0);
    for (let i = 0; i < 590; i++) bench.send(1, syn(SCANNER), i === 0 ? 3000 : 0);
    expect(bench.found).toEqual([]);
  });

  it('never exceed the true number in a window, whoever gets which packet', () => {
    const window = 800;
    const most = 16;
    const step = fc.record({ worker: fc.nat(2), gap: fc.oneof(fc.constant(0), fc.nat(120)), source: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 50, maxLength: 400 }), (steps) => {
        const bench = new Workers({ syn: { perSecond: most / 0.8, during: window / 1000, ban: 0.001 } }, 3);
        const times = new Map<string, number[]>();
        for (const { worker, gap, source: number } of steps) {
          const source = number < 2 ? `203.0.113.${number}` : `2001:db8:${number}::1`;
          const before = bench.found.length;
          bench.send(worker, syn(source, 80, number < 2 ? SERVER : '2001:db8::1'), gap);
          const all = times.get(source) ?? [];
          all.push(bench.now);
          times.set(source, all);
          const within = all.filter((at) => bench.now - at < window).length;
          for (const one of bench.found.slice(before)) {
            expect(within).toBeGreaterThan(most);
            expect(one.count).toBeLessThanOrEqual(within);
          }
        }
      }),
      { numRuns: 100 },
    );
  }, 60_000);
});

describe('different values over several workers', () => {
  it('are counted once each: ports dealt alternately, at random, and one in both', () => {
    for (const workers of [2, 3]) {
      const random = dealer(workers);
      for (const deal of [(i: number) => i % workers, () => random(workers)]) {
        const bench = new Workers({ scan: PORTS }, workers);
        let port = 0;
        while (bench.found.length === 0 && port < 100) {
          port += 1;
          const worker = deal(port);
          bench.send(worker, syn(SCANNER, port), 20);
          bench.send((worker + 1) % workers, syn(SCANNER, port), 20);
        }
        expect(port).toBe(31);
        expect(bench.names).toEqual([`port_scan ${SCANNER}/32 31`]);
      }
    }
  });

  it('that each come to one worker only are seen with a loss of few', () => {
    const ports: number[] = [];
    for (let first = 1; first < 60_000; first += 600) {
      const bench = new Workers({ scan: PORTS });
      let n = 0;
      while (bench.found.length === 0 && n < 100) bench.send(n % 2, syn(SCANNER, first + n++), 20);
      expect(bench.found).toHaveLength(1);
      ports.push(n);
    }
    expect(Math.min(...ports)).toBe(31);
    expect(Math.max(...ports)).toBeLessThanOrEqual(36);
    expect(ports.reduce((sum, n) => sum + n) / ports.length).toBeLessThan(32.5);
  });

  it('are those of an hour as well', () => {
    const bench = new Workers({ scan: PORTS, slowScan: { most: 50, within: 3600, ban: 600 } });
    let port = 0;
    while (bench.found.length === 0 && port < 100) bench.send(port % 2, syn(SCANNER, ++port), 20_000);
    expect(bench.found.map(({ detector }) => detector)).toEqual(['slow_scan']);
    expect(bench.found[0]?.count).toBeGreaterThan(50);
    expect(bench.found[0]?.count).toBeLessThanOrEqual(port);
    expect(port).toBeLessThan(58);
    for (let i = 0; i < 20; i++) bench.send(i % 2, syn(SCANNER, ++port), 20_000);
    expect(bench.found).toHaveLength(1);
  });

  it('are hosts of sweeps as well', () => {
    const bench = new Workers({ sweep: PORTS, pingSweep: PORTS });
    bench.known = true;
    for (let i = 0; i < 40; i++) {
      bench.send(i % 2, syn(SCANNER, 22, `192.168.51.${i}`), 20);
      bench.send(i % 2, ping('203.0.113.67', `192.168.51.${i}`));
    }
    expect(bench.found.map(({ detector, source }) => `${detector} ${source}`).sort()).toEqual([
      `host_sweep ${SCANNER}/32`,
      'ping_sweep 203.0.113.67/32',
    ]);
  });

  it('are never counted too many, whoever gets which, with some taken back', () => {
    const within = 3;
    const most = 8;
    const step = fc.record({
      worker: fc.nat(2),
      gap: fc.oneof(fc.constant(0), fc.nat(700)),
      port: fc.nat(14),
      completes: fc.nat(5).map((n) => n === 0),
      is6: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 40, maxLength: 300 }), (steps) => {
        const bench = new Workers(
          { scan: { most, within, ban: 0.001 }, slowScan: { most: 10, within: 8, ban: 0.001 } },
          3,
        );
        const last = [new Map<number, number>(), new Map<number, number>()];
        for (const { worker, gap, port, completes, is6 } of steps) {
          const source = is6 ? '2001:db8:66::66' : SCANNER;
          const touched = last[is6 ? 1 : 0] as Map<number, number>;
          const before = bench.found.length;
          bench.send(worker, syn(source, port, is6 ? '2001:db8::1' : SERVER), gap);
          touched.set(port, bench.now);
          for (const one of bench.found.slice(before)) {
            const count = [...touched.values()].filter((at) => bench.now - at < one.window * 1000).length;
            expect(count).toBeGreaterThan(one.detector === 'port_scan' ? most : 10);
            expect(one.count).toBeLessThanOrEqual(count);
          }
          if (!completes) continue;
          bench.complete(source, port);
          touched.delete(port);
        }
      }),
      { numRuns: 100 },
    );
  }, 60_000);
});

describe('completed connections over several workers', () => {
  it('do not count, whichever workers their packets came to', () => {
    const random = dealer(5);
    const bench = new Workers({ syn: RATE, scan: PORTS }, 3);
    for (let i = 0; i < 5000; i++) {
      const port = 1 + (i % 500);
      expect(bench.send(random(3), syn(SCANNER, port), i % 5 === 0 ? 1 : 0)).toBe(VERDICT.ACCEPT);
      bench.complete(SCANNER, port);
    }
    expect(bench.found).toEqual([]);
  });

  it('leave no sum behind in a worker that gets nothing more', () => {
    const bench = new Workers({ syn: RATE, scan: PORTS });
    for (let i = 0; i < 500; i++) bench.send(0, syn(SCANNER, 1 + (i % 25)));
    for (let i = 0; i < 500; i++) bench.complete(SCANNER, 1 + (i % 25), [0]);
    for (let i = 0; i < 590; i++) bench.send(1, syn(SCANNER, 101 + (i % 25)), 1);
    expect(bench.found).toEqual([]);
    for (let i = 0; i < 20; i++) bench.send(1, syn(SCANNER, 101 + (i % 25)), 1);
    expect(bench.names).toEqual([`syn_rate ${SCANNER}/32 601`]);
  });

  it('that were lost hide what was counted', () => {
    const bench = new Workers({ syn: RATE });
    for (let i = 0; i < 500; i++) bench.send(0, syn(SCANNER));
    bench.pipelines[0]?.lostConnections();
    for (let i = 0; i < 500; i++) bench.send(1, syn(SCANNER));
    for (let i = 0; i < 50; i++) bench.send(0, syn(SCANNER));
    expect(bench.found).toEqual([]);
  });
});

describe('the memory that workers share', () => {
  it('never adds up two sources, however many there are', () => {
    const bench = new Workers({ syn: RATE, scan: PORTS });
    for (let round = 0; round < 200; round++) {
      for (let i = 0; i < 200; i++) {
        const worker = (round + i) % 2;
        bench.send(worker, syn(`203.0.${i}.${worker}`, 1 + (round % 20)));
      }
    }
    for (let i = 0; i < 40_000; i++) {
      for (let n = 0; n < 5; n++) bench.send(i % 2, syn(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 1 + n));
    }
    expect(bench.found).toEqual([]);
  });

  it('finds a source in it again when it is full of others', () => {
    const bench = new Workers({ syn: RATE });
    let sent = 0;
    while (bench.found.length === 0 && sent < 1000) {
      bench.send(sent++ % 2, syn(SCANNER));
      const other = `10.0.${(sent >> 3) & 255}.${sent & 7}`;
      for (let n = 0; n < 80; n++) bench.send(sent % 2, syn(other));
    }
    expect(bench.names).toEqual([`syn_rate ${SCANNER}/32 601`]);
  });

  it('keeps nothing of a worker that ended', () => {
    const memory = newSharedCounts(2, 77);
    const bench = new Workers({ syn: RATE }, 2, memory);
    for (let i = 0; i < 500; i++) bench.send(0, syn(SCANNER));
    new SharedCounts(memory, 0);
    for (let i = 0; i < 500; i++) bench.send(1, syn(SCANNER));
    expect(bench.found).toEqual([]);
  });
});
