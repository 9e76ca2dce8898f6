import { beforeEach, describe, expect, it } from 'vitest';
import { percentile } from '../../../src/filter/learn/histogram.js';
import { type ProfileOptions, TrafficProfile } from '../../../src/filter/learn/profile.js';
import { mergeReports, sourcesOf } from '../../../src/filter/learn/report.js';
import { OUTCOME, Packet, TCP_FLAG } from '../../../src/net/packet.js';
import { prefix } from '../../../src/net/prefix.js';
import { DEFAULT_FILTER } from '../../support/filter.js';
import { icmp, ip, tcp } from '../../support/packets.js';

const START = 1_700_000_000_000;
const SERVER = '192.0.2.10';
const { SYN, ACK, FIN } = TCP_FLAG;
const packet = new Packet();
let profile: TrafficProfile;
let now: number;

const make = (changes: Partial<ProfileOptions> = {}) =>
  new TrafficProfile({ filter: DEFAULT_FILTER, seed: 5, answers: true, home: [], origin: START, ...changes });

beforeEach(() => {
  profile = make();
  now = 1000;
});

function parse(bytes: Uint8Array): Packet {
  expect(packet.parse(bytes, 0, bytes.length)).toBe(OUTCOME.OK);
  return packet;
}
function note(bytes: Uint8Array): void {
  profile.note(parse(bytes), now);
}
const syn = (source: string, port = 80, target = SERVER, sourcePort = 40_000) =>
  note(tcp({ source, target, port, sourcePort, flags: SYN }));
/** A connection that is opened, answered and completed. */
function connection(source: string, port = 80, target = SERVER, sourcePort = 40_000): void {
  syn(source, port, target, sourcePort);
  profile.answered(
    parse(tcp({ source: target, target: source, port: sourcePort, sourcePort: port, flags: SYN | ACK })),
  );
  profile.followed(parse(tcp({ source, target, port, sourcePort, flags: ACK })));
}
const report = () => profile.report(now, true);

describe('a profile of the traffic', () => {
  it('counts the attempts of a client that were not completed, and none that were', () => {
    for (let i = 0; i < 100; i++) connection('203.0.113.5', 80, SERVER, 1000 + i);
    for (let i = 0; i < 7; i++) syn('203.0.113.5', 81, SERVER, 5000 + i);
    const { connections, measures } = report();
    expect(connections).toBe(100);
    expect(measures.syn.clients).toMatchObject({ total: 1, max: 7 });
    expect(measures.scan.clients).toMatchObject({ total: 1, max: 1 });
    expect(measures.syn.strangers.total).toBe(0);
  });

  it('counts a connection as completed only when it was answered and followed', () => {
    syn('203.0.113.5');
    profile.followed(parse(tcp({ source: '203.0.113.5', target: SERVER, port: 80, flags: ACK })));
    expect(report().connections).toBe(0);
  });

  it('takes the word of conntrack for a completed connection', () => {
    syn('203.0.113.5');
    profile.completed(packet);
    expect(report()).toMatchObject({ connections: 1, measures: { syn: { clients: { total: 0 } } } });
  });

  it('keeps those who never completed anything apart: a scanner loosens no threshold', () => {
    connection('203.0.113.5');
    syn('203.0.113.5', 81);
    for (let port = 1; port <= 400; port++) syn('198.51.100.66', port);
    const { scan, syn: rate } = report().measures;
    expect(scan.clients.max).toBe(1);
    expect(scan.strangers.max).toBeGreaterThan(340);
    expect(scan.strangers.top[0]).toMatchObject({ who: '198.51.100.66', at: START + 1000 });
    expect(rate.strangers.max).toBe(400);
  });

  it('counts each attempt where nothing tells of completed connections', () => {
    profile = make({ answers: false });
    for (let i = 0; i < 20; i++) connection('203.0.113.5', 80, SERVER, 1000 + i);
    expect(report().measures.syn.clients).toMatchObject({ total: 1, max: 20 });
  });

  it('counts within the window, over visits: the highest of each', () => {
    for (let second = 0; second < 60; second++) {
      now = 1000 + second * 1000;
      for (let i = 0; i < 10; i++) syn('203.0.113.5', 80, SERVER, second * 100 + i);
    }
    now += 600_000;
    for (let i = 0; i < 4; i++) syn('203.0.113.5', 80, SERVER, 60_000 + i);
    connection('203.0.113.5', 80, SERVER, 1);
    const { clients } = report().measures.syn;
    expect(clients.total).toBe(2);
    // Three seconds, and the part that is under way.
    expect(clients.max).toBeGreaterThanOrEqual(30);
    expect(clients.max).toBeLessThanOrEqual(40);
    expect(percentile(clients, 0.5)).toBe(4);
  });

  it('tells small numbers of different ports and hosts exactly, also by retransmissions', () => {
    for (let i = 0; i < 5; i++) syn('203.0.113.5', 80 + (i % 2), `192.0.2.${10 + i}`, 2000);
    for (let i = 0; i < 5; i++) syn('203.0.113.5', 80 + (i % 2), `192.0.2.${10 + i}`, 2000);
    connection('203.0.113.5', 443);
    const { scan, slow_scan, sweep, syn: rate } = report().measures;
    expect([scan, slow_scan, sweep, rate].map(({ clients }) => clients.max)).toEqual([2, 2, 5, 10]);
  });

  it('counts per service what is not answered, from however many sources', () => {
    for (let i = 0; i < 50; i++) syn(`203.0.113.${i}`, 443);
    const { clients } = report().measures.flood;
    expect(clients).toMatchObject({ total: 1, max: 50 });
    expect(clients.top[0]?.who).toBe(`${SERVER}:443`);
  });

  it('counts echo requests, the hosts they ask, and sizes; errors and answers are nobody’s rate', () => {
    for (let i = 0; i < 6; i++) note(icmp('203.0.113.5', `192.0.2.${i}`, 8, 64));
    note(icmp('203.0.113.5', SERVER, 0, 1400));
    note(icmp('203.0.113.5', SERVER, 3, 1480));
    const { measures, sizes } = report();
    expect(measures.icmp.clients).toMatchObject({ total: 1, max: 6 });
    expect(measures.ping_sweep.clients.max).toBe(6);
    expect(sizes).toMatchObject({ total: 7, max: 1420 });
  });

  it('counts UDP, stealth packets, and IPv6 by its /64', () => {
    for (let i = 0; i < 9; i++) note(ip('203.0.113.5', SERVER, 17, [0, i, 0, 53, 0, 8, 0, 0]));
    for (let i = 0; i < 3; i++) note(tcp({ source: '203.0.113.5', target: SERVER, port: i, flags: FIN }));
    for (let i = 1; i < 5; i++) note(icmp(`2001:db8:1:2::${i}`, '2001:db8::1', 128));
    const { measures } = report();
    expect(measures.udp.clients.max).toBe(9);
    expect(measures.stealth.clients.max).toBe(3);
    expect(measures.icmp.clients.top).toMatchObject([{ who: '2001:db8:1:2::/64', value: 4 }]);
  });

  it('leaves own networks and neighbours out', () => {
    profile = make({ home: [prefix('203.0.113.0/24'), prefix('2001:db8:1::/48')] });
    syn('203.0.113.5');
    note(icmp('2001:db8:1:2::1', '2001:db8::1', 128));
    note(icmp('fe80::1', '2001:db8::1', 128));
    syn('198.51.100.5');
    expect(report()).toMatchObject({ packets: 1, leftOut: 3 });
  });

  it('knows who comes by the clock, through a flood of sources that come once', () => {
    for (let minute = 0; minute < 40; minute++) {
      now = 1000 + minute * 60_000;
      connection('203.0.113.5', 443, SERVER, 3000 + minute);
      note(icmp('203.0.113.6', SERVER, 8));
      for (let i = 0; i < 1000; i++) syn(`11.${minute}.${i >> 8}.${i & 255}`);
    }
    const { regulars } = report();
    expect(regulars.map(({ who }) => who).sort()).toEqual(['203.0.113.5', '203.0.113.6']);
    for (const regular of regulars) {
      expect(regular).toMatchObject({ occasions: 40, failed: 0, services: 1 });
      expect(regular.every).toBe(60_000);
      expect(regular.spread).toBe(0);
    }
    expect(regulars.find(({ who }) => who === '203.0.113.5')).toMatchObject({ attempts: 40, completed: 40 });
    expect(regulars.find(({ who }) => who === '203.0.113.6')).toMatchObject({ pings: 40 });
  });

  it('is of fixed size: a hundred thousand sources cut visits short, and are counted', () => {
    for (let i = 0; i < 100_000; i++) {
      if (i % 100 === 0) now += 1;
      note(icmp(`11.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, SERVER, 8));
    }
    const { measures } = report();
    expect(measures.icmp.clients.total).toBe(100_000);
    expect(measures.icmp.cut).toBeGreaterThan(50_000);
    expect(Math.abs(sourcesOf(report()) - 100_000)).toBeLessThan(10_000);
  });

  it('is posted and merged as plain numbers', () => {
    connection('203.0.113.5');
    syn('203.0.113.5', 81);
    const one = report();
    profile = make();
    connection('203.0.113.6');
    for (let i = 0; i < 3; i++) syn('203.0.113.6', 90 + i);
    const two = structuredClone(report());
    expect(JSON.parse(JSON.stringify(two))).toEqual(two);
    const both = mergeReports([one, two]);
    expect(both).toMatchObject({ packets: 6, connections: 2, from: START + 1000 });
    expect(both.measures.scan.clients).toMatchObject({ total: 2, max: 3 });
    expect(sourcesOf(both)).toBe(2);
  });
});
