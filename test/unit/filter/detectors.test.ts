/** Each detector by itself, and what it must leave alone. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { VERDICT } from '../../../src/filter/detector.js';
import { TCP_FLAG } from '../../../src/net/packet.js';
import { Bench, CUSTOMER, NOON, PORTS, RATE, SCANNER, SERVER, syn, udp } from '../../support/detector-bench.js';
import { icmp, ip, tcp } from '../../support/packets.js';

const { SYN, ACK, RST, FIN, PSH, URG } = TCP_FLAG;

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
