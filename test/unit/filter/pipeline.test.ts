import { existsSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import type { FilterConfig } from '../../../src/config/config.js';
import type { Detection } from '../../../src/filter/detection.js';
import { VERDICT } from '../../../src/filter/detector.js';
import { Pipeline } from '../../../src/filter/pipeline.js';
import { TCP_FLAG } from '../../../src/net/packet.js';
import { NO_FILTER } from '../../support/filter.js';
import { icmp, tcp } from '../../support/packets.js';
import { readPcap } from '../../support/pcap.js';

const FILTER: FilterConfig = {
  ...NO_FILTER,
  syn: { perSecond: 200, during: 3, ban: 600 },
  icmp: { perSecond: 50, during: 3, ban: 600, dropLargerThan: 1024 },
  scan: { most: 30, within: 60, ban: 600 },
};
const START = 1_700_000_000_000;
const SERVER = '192.168.50.10';
const { SYN, ACK, RST, FIN, PSH } = TCP_FLAG;

let pipeline: Pipeline;
let found: Detection[];
let now: number;

beforeEach(() => {
  pipeline = new Pipeline({ config: FILTER, seed: 7 });
  found = [];
  now = 0;
});

/** Lets time pass and gives the verdict for one packet. */
function send(bytes: Uint8Array, afterMs = 0, wireLength = bytes.length): number {
  now += afterMs;
  pipeline.tick(now, START + now);
  const verdict = pipeline.judge(bytes, 0, bytes.length, wireLength);
  found.push(...pipeline.take());
  return verdict;
}

const brief = () => found.map(({ detector, source }) => `${detector} ${source}`);
const SERVER6 = '2001:db8:50::10';
const syn = (source: string, port = 80, target = source.includes(':') ? SERVER6 : SERVER) =>
  tcp({ source, target, port });
const low = (i: number) => `2001:db8:66::${i.toString(16)}`;

describe('syn_rate', () => {
  it('reports at the first packet over N x D in D, once, and drops what is over', () => {
    for (let i = 0; i < 600; i++) expect(send(syn('203.0.113.66'), 4)).toBe(VERDICT.ACCEPT);
    expect(found).toEqual([]);
    for (let i = 0; i < 2000; i++) expect(send(syn('203.0.113.66'), 1)).toBe(VERDICT.DROP);
    expect(found).toEqual([
      {
        detector: 'syn_rate',
        source: '203.0.113.66/32',
        target: SERVER,
        count: 601,
        window: 3,
        at: START + 2401,
        ban: 600,
        proof: null,
        knownGood: null,
      },
    ]);
  });

  it('never reports a source at the limit, however long', () => {
    for (let i = 0; i < 12_000; i++) expect(send(syn('203.0.113.66'), 5)).toBe(VERDICT.ACCEPT);
    expect(found).toEqual([]);
  });

  it('lets the source pass again within a window after the rate fell, and reports it again after the ban', () => {
    for (let i = 0; i < 1000; i++) send(syn('203.0.113.66'), 1);
    expect(send(syn('203.0.113.66'), 3000)).toBe(VERDICT.ACCEPT);
    for (let i = 0; i < 1000; i++) send(syn('203.0.113.66'), 1);
    expect(found.length).toBe(1);
    for (let i = 0; i < 1000; i++) send(syn('203.0.113.66'), i === 0 ? 600_000 : 1);
    expect(found.length).toBe(2);
  });

  it('does not count answers to a forged SYN, nor anything else with ACK or without SYN', () => {
    for (let i = 0; i < 2000; i++) {
      for (const flags of [SYN | ACK, RST, RST | ACK, ACK]) {
        send(tcp({ source: '203.0.113.66', target: SERVER, port: 40_000, flags }));
      }
    }
    expect(found).toEqual([]);
  });

  it('counts sources apart', () => {
    for (let i = 0; i < 60_000; i++) send(syn(`203.0.113.${i % 100}`), i % 2);
    expect(found).toEqual([]);
  });
});

describe('IPv6 sources', () => {
  it('are reported as the address when one of the /64 did it, even among busy neighbours', () => {
    for (let i = 0; i < 3000; i++) {
      send(syn(low(0x66)), 1);
      if (i % 8 === 0) expect(send(syn(low(0x1000 + (i % 5))))).toBe(VERDICT.ACCEPT);
    }
    expect(brief()).toEqual(['syn_rate 2001:db8:66::66/128']);
  });

  it('are reported as the /64 when its addresses share the work', () => {
    for (let i = 0; i < 3000; i++) send(syn(low(1 + (i % 1000))), 1);
    expect(brief()).toEqual(['syn_rate 2001:db8:66::/64']);
    expect(send(syn(low(0xffff)))).toBe(VERDICT.DROP);
    expect(send(syn('2001:db8:67::1'))).toBe(VERDICT.ACCEPT);
  });

  it('that rotate during a port scan are reported as the /64', () => {
    for (let i = 1; i <= 100; i++) send(syn(low(i), i), 10);
    expect(brief()).toEqual(['port_scan 2001:db8:66::/64']);
  });
});

describe('icmp_rate', () => {
  it('reports a flood of echo requests, over IPv4 and IPv6', () => {
    for (let i = 0; i < 150; i++) expect(send(icmp('203.0.113.66', SERVER, 8), 10)).toBe(VERDICT.ACCEPT);
    expect(send(icmp('203.0.113.66', SERVER, 8), 10)).toBe(VERDICT.DROP);
    for (let i = 0; i < 151; i++) send(icmp(low(0x66), SERVER6, 128), 10);
    expect(brief()).toEqual(['icmp_rate 203.0.113.66/32', 'icmp_rate 2001:db8:66::66/128']);
  });

  it('never touches errors and neighbour discovery, at any rate and size', () => {
    for (let i = 0; i < 400; i++) {
      for (const type of [3, 11, 12]) {
        expect(send(icmp('203.0.113.66', SERVER, type, 1400))).toBe(VERDICT.ACCEPT);
      }
      for (const type of [1, 2, 3, 4, 130, 133, 134, 135, 136, 137, 143]) {
        expect(send(icmp(low(1), low(2), type, 1400))).toBe(VERDICT.ACCEPT);
      }
    }
    expect(found).toEqual([]);
  });

  it('drops one message for its size and reports nobody', () => {
    expect(send(icmp('203.0.113.66', SERVER, 8, 1004))).toBe(VERDICT.ACCEPT);
    expect(send(icmp('203.0.113.66', SERVER, 8, 1005))).toBe(VERDICT.DROP);
    // Of a large packet 128 bytes are copied; the length is in the header.
    expect(send(icmp('203.0.113.66', SERVER, 8, 3000).subarray(0, 128), 0, 3020)).toBe(VERDICT.DROP);
    expect(send(icmp('203.0.113.66', SERVER, 0, 1400))).toBe(VERDICT.DROP);
    for (let i = 0; i < 100; i++) send(icmp('203.0.113.66', SERVER, 8, 1400), 100);
    expect(found).toEqual([]);
  });

  it('does not hold the answers to pings from here against whoever answers', () => {
    for (let i = 0; i < 2000; i++) expect(send(icmp('203.0.113.66', SERVER, 0), 1)).toBe(VERDICT.ACCEPT);
    expect(found).toEqual([]);
  });
});

describe('port_scan', () => {
  it('reports the source that touches more ports than the limit within the window', () => {
    for (let port = 1; port <= 30; port++) expect(send(syn('203.0.113.66', port), 1000)).toBe(VERDICT.ACCEPT);
    expect(send(syn('203.0.113.66', 31), 1000)).toBe(VERDICT.DROP);
    expect(found).toMatchObject([{ detector: 'port_scan', source: '203.0.113.66/32', count: 31, window: 60 }]);
  });

  it('spares ports spread over more than the window', () => {
    for (let port = 1; port <= 200; port++) expect(send(syn('203.0.113.66', port), 2000)).toBe(VERDICT.ACCEPT);
    expect(found).toEqual([]);
  });

  it('spares a browser with 30 connections at once, and one that repeats its SYNs', () => {
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 30; i++)
        send(tcp({ source: '198.51.100.7', target: SERVER, port: 443, sourcePort: 50_000 + i }));
      now += 1000;
    }
    expect(found).toEqual([]);
  });

  it('spares an office behind one address, and a person who visits many servers', () => {
    for (let i = 0; i < 3000; i++) {
      const target = `192.168.${i % 250}.${1 + (i % 200)}`;
      expect(send(syn('198.51.100.7', i % 3 ? 443 : 80, target), 20)).toBe(VERDICT.ACCEPT);
    }
    expect(found).toEqual([]);
  });

  it('spares answers: SYN with ACK, RST, and the stray ACKs of forgotten conversations', () => {
    for (let port = 1; port < 2000; port++) {
      for (const flags of [SYN | ACK, RST, RST | ACK, FIN | ACK, PSH | ACK]) {
        send(tcp({ source: '203.0.113.66', target: SERVER, port, flags }));
      }
      send(tcp({ source: '203.0.113.66', target: SERVER, port: 30_000 + port, sourcePort: 443, flags: ACK }));
    }
    expect(found).toEqual([]);
  });
});

describe('the pipeline', () => {
  it('accepts and counts what it cannot read', () => {
    expect(send(new Uint8Array(0))).toBe(VERDICT.ACCEPT);
    expect(send(syn('203.0.113.66').subarray(0, 30), 0, 40)).toBe(VERDICT.ACCEPT);
    const five = syn('203.0.113.66');
    five[0] = 0x55;
    expect(send(five)).toBe(VERDICT.ACCEPT);
    const fragment = syn('203.0.113.66');
    fragment[7] = 9;
    expect(send(fragment)).toBe(VERDICT.ACCEPT);
    expect(pipeline).toMatchObject({ truncated: 2, malformed: 1, fragments: 1 });
  });

  it('does nothing that is not configured', () => {
    pipeline = new Pipeline({ config: NO_FILTER, seed: 7 });
    for (let i = 0; i < 3000; i++) expect(send(syn('203.0.113.66', i))).toBe(VERDICT.ACCEPT);
    expect(found).toEqual([]);
  });

  it('keeps to its memory and reports nobody for a flood from forged sources', () => {
    for (let i = 0; i < 200_000; i++) {
      const source = Math.imul(i + 1, 2654435761) >>> 0;
      send(syn(`${source >>> 24}.${(source >>> 16) & 255}.${(source >>> 8) & 255}.${source & 255}`), i % 100 ? 0 : 1);
    }
    expect(found).toEqual([]);
    expect(pipeline.evictions).toBeGreaterThan(0);
  });
});

const captures = new URL('../../../../shared/corpus/live/pcap/', import.meta.url);
describe.skipIf(!existsSync(captures))('the pipeline over captures', () => {
  /** Replays what would be queued: TCP without ACK and ICMP, and ACK alone, towards the victim. */
  const replay = (name: string): string[] => {
    const packets = readPcap(new URL(name, captures));
    const from = packets[0]?.at ?? 0;
    for (const { at, bytes, wireLength } of packets) {
      const v6 = (bytes[0] as number) >> 4 === 6;
      const protocol = bytes[v6 ? 6 : 9];
      const flags = bytes[(v6 ? 40 : 20) + 13] as number;
      if (protocol === 6 && (flags & ACK) !== 0) continue;
      now = at - from;
      send(bytes.subarray(0, 128), 0, wireLength);
    }
    return [...new Set(brief())].sort();
  };

  it.each([
    // nmap at full speed is over both limits; each detector says so once.
    ['nmap-sS-top1000.pcap', ['port_scan 203.0.113.66/32', 'syn_rate 203.0.113.66/32']],
    ['nmap-sT.pcap', ['port_scan 203.0.113.66/32']],
    ['nmap-v6-sS.pcap', ['port_scan 2001:db8:66::66/128']],
    ['syn-flood-1src.pcap', ['syn_rate 203.0.113.66/32']],
    ['icmp-flood.pcap', ['icmp_rate 203.0.113.66/32']],
    ['vlan100-icmp-flood.pcap', ['icmp_rate 203.0.113.66/32']],
    ['icmp-ping-normal.pcap', []],
    ['legit-browse.pcap', []],
    ['http-attacks.pcap', []],
    ['syn-flood-randsrc.pcap', []],
    ['land-attack.pcap', []],
    ['nmap-sU.pcap', []],
  ])('%s', (name, expected) => {
    expect(replay(name)).toEqual(expected);
    expect(found.length).toBe(expected.length);
  });
});
