/** What completed connections change: nothing of them counts, and a scan may be proven by them. */
import { describe, expect, it } from 'vitest';
import { VERDICT } from '../../../src/filter/detector.js';
import { type AddressWords, parseWords } from '../../../src/net/address.js';
import { TCP_FLAG } from '../../../src/net/packet.js';
import { Bench, CUSTOMER, PORTS, RATE, SCANNER, SERVER, syn } from '../../support/detector-bench.js';
import { icmp, tcp } from '../../support/packets.js';

const { ACK } = TCP_FLAG;

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
