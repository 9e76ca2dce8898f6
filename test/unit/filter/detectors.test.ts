/** Each detector by itself, and what it must leave alone. */
import { describe, expect, it } from 'vitest';
import type { FilterConfig } from '../../../src/config/config.js';
import { parseConfig } from '../../../src/config/load.js';
import type { Detection, Flood } from '../../../src/filter/detection.js';
import { type Endpoints, VERDICT } from '../../../src/filter/detector.js';
import { Pipeline, type PipelineOptions } from '../../../src/filter/pipeline.js';
import { type AddressWords, parseWords } from '../../../src/net/address.js';
import { TCP_FLAG } from '../../../src/net/packet.js';
import { prefix } from '../../../src/net/prefix.js';
import { NO_FILTER } from '../../support/filter.js';
import { be16, icmp, ip, tcp } from '../../support/packets.js';

const { SYN, ACK, RST, FIN, PSH, URG } = TCP_FLAG;
const NOON = Date.UTC(2026, 10, 28, 12);
const SERVER = '192.168.50.10';
const SCANNER = '203.0.113.66';
const CUSTOMER = '198.51.100.7';

/** A pipeline with a clock, and a connection tracking that this test plays. */
class Bench {
  readonly found: Detection[] = [];
  readonly floods: Flood[] = [];
  readonly pipeline: Pipeline;
  readonly good = new Set<string>();
  known = false;
  now = 0;
  #wall = NOON;

  constructor(config: Partial<FilterConfig>, options: Partial<PipelineOptions> = {}) {
    const bench = this;
    this.pipeline = new Pipeline({
      config: { ...NO_FILTER, ...config },
      seed: 7,
      home: [prefix('192.168.0.0/16')],
      connections: {
        get known() {
          return bench.known;
        },
        isKnownGood: (of) => bench.good.has(`${of.source0}`),
      },
      ...options,
    });
  }

  at(wall: number): this {
    this.#wall = wall - this.now;
    return this;
  }

  send(bytes: Uint8Array, afterMs = 0): number {
    this.now += afterMs;
    this.pipeline.tick(this.now, this.#wall + this.now);
    const verdict = this.pipeline.judge(bytes, 0, bytes.length, bytes.length);
    this.found.push(...this.pipeline.take());
    this.floods.push(...this.pipeline.takeFloods());
    return verdict;
  }

  pass(ms: number): void {
    this.now += ms;
    this.pipeline.tick(this.now, this.#wall + this.now);
    this.floods.push(...this.pipeline.takeFloods());
  }

  connection(source: string, port: number, target = SERVER, sourcePort = 40_000) {
    const from = parseWords(source) as AddressWords;
    const to = parseWords(target) as AddressWords;
    return {
      family: from.family,
      source0: from.w0,
      source1: from.w1,
      source2: from.w2,
      source3: from.w3,
      target0: to.w0,
      target1: to.w1,
      target2: to.w2,
      target3: to.w3,
      sourcePort,
      targetPort: port,
    } satisfies Endpoints & { sourcePort: number; targetPort: number };
  }

  complete(source: string, port: number, target = SERVER): void {
    this.known = true;
    this.pipeline.completed(this.connection(source, port, target));
  }

  /** A connection from its first packet to its completion. */
  connect(source: string, port: number, afterMs = 0, target = SERVER): number {
    const verdict = this.send(tcp({ source, target, port }), afterMs);
    this.complete(source, port, target);
    return verdict;
  }

  get names(): string[] {
    return this.found.map(({ detector, source }) => `${detector} ${source}`);
  }
}

const syn = (source: string, port = 80, target = SERVER) => tcp({ source, target, port });
const udp = (source: string, port: number, sourcePort = 40_000) =>
  ip(source, SERVER, 17, [...be16(sourcePort), ...be16(port), 0, 8, 0, 0]);
const RATE = { perSecond: 200, during: 3, ban: 600 };
const PORTS = { most: 30, within: 60, ban: 600 };

describe('connections that are completed', () => {
  it('do not count, however many and fast', () => {
    const bench = new Bench({ syn: RATE, scan: PORTS, flood: { perSecond: 50, during: 3, sources: 2, then: 'limit' } });
    for (let i = 0; i < 20_000; i++) expect(bench.connect(CUSTOMER, 80, i % 10 ? 0 : 1)).toBe(VERDICT.ACCEPT);
    expect([...bench.found, ...bench.floods]).toEqual([]);
  });

  it('to a hundred open ports within a minute are no scan', () => {
    const bench = new Bench({ scan: PORTS, slowScan: { most: 60, within: 3600, ban: 600 } });
    for (let port = 40_000; port < 40_100; port++) expect(bench.connect(CUSTOMER, port, 500)).toBe(VERDICT.ACCEPT);
    expect(bench.found).toEqual([]);
  });

  it('over IPv6 count neither for the address nor for its /64', () => {
    const bench = new Bench({ syn: RATE, scan: PORTS });
    for (let i = 0; i < 5000; i++)
      bench.connect(`2001:db8:66::${(i % 50) + 1}`, 1000 + (i % 300), 1, '2001:db8:50::10');
    expect(bench.found).toEqual([]);
  });

  it('that could not be told of keep nobody from being served for a while', () => {
    const bench = new Bench({ syn: RATE });
    for (let i = 0; i < 600; i++) bench.send(syn(CUSTOMER), 1);
    bench.pipeline.lostConnections();
    for (let i = 0; i < 2000; i++) expect(bench.send(syn(CUSTOMER), 1)).toBe(VERDICT.ACCEPT);
    expect(bench.found).toEqual([]);
    for (let i = 0; i < 2000; i++) bench.send(syn(CUSTOMER), 1);
    expect(bench.names).toEqual([`syn_rate ${CUSTOMER}/32`]);
  });
});

describe('proof', () => {
  const scan = (bench: Bench, source: string) => {
    for (let port = 1; port <= 40; port++) bench.send(syn(source, port), 10);
  };

  it('is a connection that the source completed while it scanned, first or later', () => {
    for (const open of [1, 17]) {
      const bench = new Bench({ scan: PORTS });
      for (let port = 1; port <= 40; port++) {
        bench.send(syn(SCANNER, port), 10);
        if (port === open) bench.complete(SCANNER, port);
      }
      expect(bench.found).toMatchObject([{ detector: 'port_scan', proof: 'conntrack', knownGood: false }]);
    }
  });

  it('comes late, once, where the scan was faster than any connection can be completed', () => {
    const bench = new Bench({ scan: PORTS });
    bench.known = true;
    scan(bench, SCANNER);
    expect(bench.found).toMatchObject([{ proof: null }]);
    bench.pass(1);
    bench.complete('203.0.113.67', 17);
    expect(bench.pipeline.take()).toEqual([]);
    bench.complete(SCANNER, 17);
    bench.complete(SCANNER, 18);
    expect(bench.pipeline.take()).toMatchObject([
      { detector: 'port_scan', source: `${SCANNER}/32`, proof: 'conntrack' },
    ]);
  });

  it('is none where somebody may have guessed the number that completes a connection', () => {
    const bench = new Bench({ scan: PORTS });
    bench.send(syn(CUSTOMER, 80));
    for (let i = 0; i < 20; i++) bench.send(tcp({ source: CUSTOMER, target: SERVER, port: 80, flags: ACK }));
    bench.complete(CUSTOMER, 80);
    scan(bench, CUSTOMER);
    expect(bench.found).toMatchObject([{ detector: 'port_scan', proof: null }]);
  });

  it('is no connection to a port that the scan did not touch', () => {
    const bench = new Bench({ scan: PORTS });
    bench.known = true;
    scan(bench, SCANNER);
    bench.pass(1);
    bench.complete(SCANNER, 8080);
    expect(bench.pipeline.take()).toEqual([]);
  });

  it('does not come later than a second after', () => {
    const bench = new Bench({ scan: PORTS });
    bench.known = true;
    scan(bench, SCANNER);
    bench.pass(1500);
    bench.complete(SCANNER, 17);
    expect(bench.pipeline.take()).toEqual([]);
  });

  it('is none that the source completed before, in whose name somebody may scan', () => {
    const bench = new Bench({ scan: PORTS });
    bench.connect(CUSTOMER, 443);
    bench.pass(50);
    scan(bench, CUSTOMER);
    expect(bench.found).toMatchObject([{ proof: null }]);
  });

  it('is none of a client that goes on connecting while somebody scans in its name', () => {
    const bench = new Bench({ scan: PORTS });
    bench.connect(CUSTOMER, 80);
    bench.pass(50);
    for (let port = 1; port <= 100; port++) {
      bench.send(syn(CUSTOMER, port), 10);
      if (port % 3 === 0) bench.connect(CUSTOMER, 80);
    }
    bench.complete(CUSTOMER, 80);
    expect([...bench.found, ...bench.pipeline.take()]).toMatchObject([{ proof: null }]);
  });

  it('is none for a client that was known before, even when it connects meanwhile', () => {
    const bench = new Bench({ scan: PORTS });
    bench.good.add(`${(parseWords(CUSTOMER) as AddressWords).w0}`);
    for (let port = 1; port <= 40; port++) {
      bench.send(syn(CUSTOMER, port), 10);
      if (port === 20) bench.connect(CUSTOMER, 443);
    }
    expect(bench.found).toMatchObject([{ proof: null, knownGood: true }]);
  });

  it('is none of floods, nor while nothing tells', () => {
    const bench = new Bench({ scan: PORTS, syn: RATE });
    scan(bench, SCANNER);
    for (let i = 0; i < 1000; i++) bench.send(syn('203.0.113.67'), 1);
    expect(bench.found).toMatchObject([
      { proof: null, knownGood: null },
      { detector: 'syn_rate', proof: null },
    ]);
  });
});

describe('a scan forged in the name of somebody who may not be banned', () => {
  it('has it dropped for a second, and not for as long as the scan counts', () => {
    const bench = new Bench({ scan: PORTS, pingSweep: { most: 20, within: 60, ban: 600 } });
    for (let port = 1; port <= 100; port++) bench.send(syn('192.0.2.1', port));
    expect(bench.send(syn('192.0.2.1', 22), 900)).toBe(VERDICT.DROP);
    expect(bench.send(syn('192.0.2.1', 22), 200)).toBe(VERDICT.ACCEPT);
    for (let i = 1; i <= 30; i++) bench.send(icmp('192.0.2.1', `192.168.50.${i}`, 8));
    expect(bench.send(icmp('192.0.2.1', SERVER, 8))).toBe(VERDICT.DROP);
    expect(bench.send(icmp('192.0.2.1', SERVER, 8), 1100)).toBe(VERDICT.ACCEPT);
    expect(bench.found).toHaveLength(2);
  });
});

describe('slow_scan', () => {
  const slow = { most: 60, within: 3600, ban: 600 };

  it('reports ports spread over an hour, and drops nothing', () => {
    const bench = new Bench({ scan: PORTS, slowScan: slow });
    for (let port = 1; port <= 61; port++) expect(bench.send(syn(SCANNER, port), 15_000)).toBe(VERDICT.ACCEPT);
    expect(bench.found).toMatchObject([{ detector: 'slow_scan', count: 61, window: 3600 }]);
  });

  it('is not made forgotten by a flood of forged sources', () => {
    const bench = new Bench({ scan: PORTS, slowScan: slow });
    for (let port = 1; port <= 61; port++) {
      bench.send(syn(SCANNER, port), 3000);
      for (let i = 0; i < 2000; i++) {
        const source = Math.imul(port * 2000 + i, 2654435761) >>> 0;
        // Each comes twice, so that each gets a record.
        for (let twice = 0; twice < 2; twice++)
          bench.send(syn(`${(source >>> 24) % 200}.${(source >>> 16) & 255}.${(source >>> 8) & 255}.${source & 255}`));
      }
    }
    expect(bench.names).toEqual([`slow_scan ${SCANNER}/32`]);
  });

  it('works where the fast one is off', () => {
    const bench = new Bench({ slowScan: slow });
    for (let port = 1; port <= 61; port++) bench.send(syn(SCANNER, port), 1);
    expect(bench.names).toEqual([`slow_scan ${SCANNER}/32`]);
  });
});

describe('host_sweep', () => {
  const sweep = { most: 20, within: 60, ban: 600 };
  const host = (i: number) => `192.168.50.${i}`;

  it('reports hosts on which nothing opened, once connections are known', () => {
    const bench = new Bench({ sweep });
    for (let i = 1; i <= 40; i++) bench.send(syn(SCANNER, 22, host(i)), 10);
    expect(bench.found).toEqual([]);
    bench.known = true;
    for (let i = 41; i <= 80; i++) bench.send(syn(SCANNER, 22, host(i)), 10);
    expect(bench.names).toEqual([`host_sweep ${SCANNER}/32`]);
  });

  it('spares hosts that answered, and who is inside', () => {
    const bench = new Bench({ sweep, scan: PORTS });
    bench.known = true;
    for (let i = 1; i <= 200; i++) bench.connect(CUSTOMER, 443, 10, host(i));
    for (let i = 1; i <= 200; i++) bench.send(tcp({ source: '192.168.1.5', target: `203.0.113.${i}`, port: i }), 10);
    expect(bench.found).toEqual([]);
  });
});

describe('stealth_scan', () => {
  const stealth = { most: 5, within: 60, ban: 600 };

  it.each([
    ['NULL', 0],
    ['FIN', FIN],
    ['Xmas', FIN | PSH | URG],
    ['SYN with FIN', SYN | FIN],
    ['SYN with FIN and ACK', SYN | FIN | ACK],
    ['SYN with RST', SYN | RST],
  ])('drops each packet of a %s scan and reports its source', (_, flags) => {
    const bench = new Bench({ stealth });
    for (let port = 1; port <= 10; port++) {
      expect(bench.send(tcp({ source: SCANNER, target: SERVER, port, flags }), 10)).toBe(VERDICT.DROP);
    }
    expect(bench.found).toMatchObject([{ detector: 'stealth_scan', source: `${SCANNER}/32`, count: 6 }]);
  });

  it('leaves all other flags alone', () => {
    const bench = new Bench({ stealth });
    for (let port = 1; port <= 100; port++) {
      for (const flags of [SYN, SYN | ACK, ACK, RST, RST | ACK, FIN | ACK, FIN | PSH | ACK]) {
        expect(bench.send(tcp({ source: SCANNER, target: SERVER, port, flags }))).toBe(VERDICT.ACCEPT);
      }
    }
    expect(bench.found).toEqual([]);
  });
});

describe('ack_scan', () => {
  const ackScan = { most: 10, within: 60, ban: 600 };
  const ack = (port: number, flags: number = ACK) => tcp({ source: SCANNER, target: SERVER, port, flags });

  it('counts only ports that answered by RST', () => {
    const bench = new Bench({ ackScan });
    bench.pipeline.settle(0);
    for (let port = 1; port <= 100; port++) bench.send(ack(port), 10);
    expect(bench.found).toEqual([]);
    for (let port = 1; port <= 11; port++) {
      bench.send(ack(port), 10);
      bench.pipeline.refused(bench.connection(SCANNER, port));
    }
    bench.pass(1);
    expect(bench.pipeline.take()).toMatchObject([{ detector: 'ack_scan', source: `${SCANNER}/32`, count: 11 }]);
  });

  it('takes no refused attempt to connect for it, nor what comes before connection tracking knows', () => {
    const bench = new Bench({ ackScan });
    for (let port = 1; port <= 50; port++) {
      bench.send(syn(SCANNER, port), 10);
      bench.pipeline.refused(bench.connection(SCANNER, port));
    }
    bench.pipeline.settle(bench.now + 120_000);
    for (let port = 1; port <= 50; port++) {
      bench.send(ack(port), 10);
      bench.pipeline.refused(bench.connection(SCANNER, port));
    }
    expect(bench.pipeline.take()).toEqual([]);
  });

  it('counts FIN with ACK to the ports of services by itself', () => {
    const bench = new Bench({ ackScan });
    bench.pipeline.settle(0);
    for (let port = 30_000; port < 30_100; port++) bench.send(ack(port, FIN | ACK), 10);
    expect(bench.found).toEqual([]);
    for (let port = 1; port <= 11; port++) bench.send(ack(port, FIN | ACK), 10);
    expect(bench.names).toEqual([`ack_scan ${SCANNER}/32`]);
  });
});

describe('ping_sweep', () => {
  it('reports who pings many hosts, over IPv4 and IPv6, not who pings few often', () => {
    const bench = new Bench({ pingSweep: { most: 20, within: 60, ban: 600 } });
    for (let i = 0; i < 500; i++) bench.send(icmp(CUSTOMER, `192.168.50.${i % 20}`, 8), 10);
    for (let i = 1; i <= 21; i++) bench.send(icmp(SCANNER, `192.168.50.${i}`, [8, 13, 17][i % 3] as number), 10);
    for (let i = 1; i <= 21; i++) bench.send(icmp('2001:db8:66::66', `2001:db8:50::${i}`, 128), 10);
    expect(bench.names).toEqual([`ping_sweep ${SCANNER}/32`, 'ping_sweep 2001:db8:66::66/128']);
  });
});

describe('udp', () => {
  it('counts first packets, and ports below those of clients', () => {
    const bench = new Bench({ udp: { perSecond: 100, during: 2, ban: 60 }, scan: PORTS });
    for (let i = 0; i < 300; i++) bench.send(udp(SCANNER, 53), 1);
    for (let i = 0; i < 100; i++) bench.send(udp('8.8.8.8', 33_000 + i, 53), 100);
    for (let port = 1; port <= 31; port++) bench.send(udp('203.0.113.67', port), 100);
    expect(bench.names).toEqual([`udp_rate ${SCANNER}/32`, 'port_scan 203.0.113.67/32']);
  });
});

describe('a protocol scan', () => {
  it('is a port scan', () => {
    const bench = new Bench({ scan: PORTS });
    for (let protocol = 100; protocol < 140; protocol++) bench.send(ip(SCANNER, SERVER, protocol, [0, 0, 0, 0]), 10);
    expect(bench.names).toEqual([`port_scan ${SCANNER}/32`]);
  });
});

describe('a SYN flood', () => {
  const flood = { perSecond: 1000, during: 3, sources: 100, then: 'limit' } as const;
  const random = (bench: Bench, packets: number, perMs: number) => {
    for (let i = 0; i < packets; i++) {
      const source = Math.imul(i + 1, 2654435761) >>> 0;
      const text = `${1 + ((source >>> 24) % 200)}.${(source >>> 16) & 255}.${(source >>> 8) & 255}.${source & 255}`;
      bench.send(syn(text), i % perMs === 0 ? 1 : 0);
    }
  };

  it('of many sources is a state of the service, bans nobody, and ends', () => {
    const bench = new Bench({ flood, syn: RATE, scan: PORTS });
    random(bench, 20_000, 5);
    expect(bench.found).toEqual([]);
    expect(bench.floods).toMatchObject([{ target: SERVER, port: 80, state: 'on' }]);
    expect(bench.floods[0]?.sources).toBeGreaterThan(1000);
    expect([...bench.pipeline.flooded]).toMatchObject([{ port: 80 }]);
    for (let i = 0; i < 8; i++) bench.pass(1000);
    expect(bench.floods).toHaveLength(1);
    for (let i = 0; i < 10; i++) bench.pass(1000);
    expect(bench.floods).toMatchObject([{ state: 'on' }, { state: 'off' }]);
    expect([...bench.pipeline.flooded]).toEqual([]);
  });

  it('lasts while the kernel holds it at the limit', () => {
    const bench = new Bench({ flood });
    random(bench, 20_000, 5);
    random(bench, 30_000, 1);
    expect(bench.floods).toHaveLength(1);
  });

  it('of few sources is left to syn_rate', () => {
    const bench = new Bench({ flood, syn: RATE });
    for (let i = 0; i < 20_000; i++) bench.send(syn(`203.0.113.${i % 5}`), i % 5 ? 0 : 1);
    expect(bench.floods).toEqual([]);
    expect(bench.found).toHaveLength(5);
  });

  it('is seen at the same rate when two queues share it', () => {
    const bench = new Bench({ flood }, { share: 0.5 });
    random(bench, 5000, 1);
    expect(bench.floods).toMatchObject([{ state: 'on' }]);
  });
});

describe('land', () => {
  it('is dropped and bans nobody', () => {
    const bench = new Bench({ land: true, syn: RATE, scan: PORTS });
    for (let i = 0; i < 2000; i++) expect(bench.send(syn(SERVER, i))).toBe(VERDICT.DROP);
    expect(bench.send(tcp({ source: '2001:db8::1', target: '2001:db8::1', port: 1 }))).toBe(VERDICT.DROP);
    expect(bench.found).toEqual([]);
    expect(bench.pipeline.land).toBe(2001);
  });
});

describe('packet rules', () => {
  const rules = (text: string) => parseConfig(`filter: { rules: [${text}] }`, 'x').filter.rules;

  it('decide before the detectors, the first that matches', () => {
    const bench = new Bench({
      syn: RATE,
      rules: rules(
        '{ proto: tcp, flags: syn, dport: 443, then: accept }, { proto: tcp, flags: syn, sport: 12345, then: drop }, { proto: tcp, dport: 25, then: reject }, { proto: tcp, dport: 23, then: ban 5m }',
      ),
    });
    for (let i = 0; i < 2000; i++) expect(bench.send(syn(SCANNER, 443), 1)).toBe(VERDICT.ACCEPT);
    expect(bench.send(tcp({ source: SCANNER, target: SERVER, port: 80, sourcePort: 12345 }))).toBe(VERDICT.DROP);
    expect(bench.send(syn(SCANNER, 25))).toBe(VERDICT.REJECT);
    expect(bench.found).toEqual([]);
    for (let i = 0; i < 5; i++) expect(bench.send(syn(SCANNER, 23))).toBe(VERDICT.DROP);
    expect(bench.found).toMatchObject([
      { detector: 'packet_rule', source: `${SCANNER}/32`, ban: 300, rule: '{ proto: tcp, dport: 23, then: ban 5m }' },
    ]);
    bench.send(syn(SCANNER, 23), 301_000);
    expect(bench.found).toHaveLength(2);
    expect(bench.pipeline.ruleHits).toEqual(Float64Array.of(2000, 1, 1, 6));
  });
});

describe('hours', () => {
  it('change a threshold by the time of day, in the time zone of the configuration', () => {
    const { filter } = parseConfig(
      `time_zone: Europe/Paris
filter:
  scan:
    - { more_than: 5 ports per source, within: 60s, then: ban 1h, between: 22:00-06:00 }
    - { more_than: 30 ports per source, within: 60s, then: ban 10m }`,
      'x',
    );
    const scan = (wall: number) => {
      const bench = new Bench({ scan: filter.scan, timeZone: filter.timeZone }).at(wall);
      for (let port = 1; port <= 20; port++) bench.send(syn(SCANNER, port), 1);
      return bench.found.map(({ count, ban }) => [count, ban]);
    };
    // Paris is an hour ahead in November.
    expect(scan(Date.UTC(2026, 10, 28, 20, 59))).toEqual([]);
    expect(scan(Date.UTC(2026, 10, 28, 21, 1))).toEqual([[6, 3600]]);
    expect(scan(Date.UTC(2026, 10, 28, 4, 59))).toEqual([[6, 3600]]);
    expect(scan(Date.UTC(2026, 10, 28, 5, 1))).toEqual([]);
  });

  it('switch a detector off outside of them when no other threshold is written', () => {
    const { filter } = parseConfig(
      'filter: { scan: { more_than: 5 ports per source, within: 60s, then: ban 1h, between: 22:00-06:00 } }',
      'x',
    );
    for (const [wall, detections] of [
      [NOON, 0],
      [Date.UTC(2026, 10, 28, 23), 1],
    ] as const) {
      const bench = new Bench({ scan: filter.scan }).at(wall);
      for (let port = 1; port <= 200; port++) bench.send(syn(SCANNER, port), 1);
      expect(bench.found).toHaveLength(detections);
    }
  });
});
