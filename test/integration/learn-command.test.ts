/** `barricata learn FILE...` as it is installed: captures of every form, flow events, what is cut or is neither; the corpus where it is. */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.js';
import type { Proposal } from '../../src/filter/learn/propose.js';
import { captureOf } from '../support/capture.js';
import { pcap, pcapng, type Written } from '../support/captures.js';
import { program } from '../support/daemon.js';
import { temporaryDirectory } from '../support/eve.js';
import { icmp, tcp } from '../support/packets.js';

const folder = temporaryDirectory();
const corpus = fileURLToPath(new URL('../../../shared/corpus/live/', import.meta.url));
const START = Date.UTC(2026, 10, 23, 12);
const SERVER = '192.168.50.10';
const [SYN, ACK] = [2, 16];

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function learn(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'learn', ...args], { encoding: 'utf8' });
  return { code: status, out: stdout, err: stderr };
}

function proposal(...args: readonly string[]): Proposal {
  const { code, out, err } = learn(...args, '-o', 'json');
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out);
}
const figure = (found: Proposal, key: string) => found.figures.find((one) => one.key === key);

/**
 * An hour: a monitor that connects and pings each half minute, a hundred clients of which each
 * also finds some ports closed (the worst of them 40), and a scanner of 500 ports.
 */
function hour(): Written[] {
  const packets: Written[] = [];
  const add = (at: number, bytes: Uint8Array) => packets.push({ at: START + at, bytes });
  const connection = (at: number, source: string, sourcePort: number, port = 443) => {
    add(at, tcp({ source, target: SERVER, port, sourcePort, flags: SYN }));
    add(at + 1, tcp({ source: SERVER, target: source, port: sourcePort, sourcePort: port, flags: SYN | ACK }));
    add(at + 2, tcp({ source, target: SERVER, port, sourcePort, flags: ACK }));
  };
  for (let i = 0; i < 120; i++) {
    connection(i * 30_000, '203.0.113.10', 2000 + i);
    add(i * 30_000 + 5, icmp('203.0.113.11', SERVER, 8, 64));
  }
  for (let client = 0; client < 100; client++) {
    const source = `198.51.100.${client}`;
    connection(client * 20_000 + 7, source, 5000);
    const closed = client === 50 ? 40 : client % 3;
    for (let port = 1; port <= closed; port++) {
      add(client * 20_000 + 100 + port, tcp({ source, target: SERVER, port, sourcePort: 6000, flags: SYN }));
    }
  }
  for (let port = 1; port <= 500; port++) {
    add(2_000_000 + port, tcp({ source: '203.0.113.66', target: SERVER, port, flags: SYN }));
  }
  return packets.sort((a, b) => a.at - b.at);
}

const packets = hour();
const plain = file('hour.pcap', pcap(packets));

describe('learning from captures', () => {
  const found = proposal(plain);

  it('proposes what clients need, whatever the scanner did', () => {
    expect(figure(found, 'scan')).toMatchObject({ present: 30, visits: 66 });
    expect(Math.abs((figure(found, 'scan')?.max ?? 0) - 40)).toBeLessThanOrEqual(2);
    expect([80, 100]).toContain(figure(found, 'scan')?.proposed);
    expect(figure(found, 'scan')?.largest[0]).toMatchObject({ who: '198.51.100.50' });
    expect(figure(found, 'scan')?.strangers.who).toBe('203.0.113.66');
    expect(figure(found, 'scan')?.strangers.max).toBeGreaterThan(400);
    expect(figure(found, 'syn')).toMatchObject({ proposed: 200 });
    const { filter } = parseConfig(found.yaml, 'proposal');
    expect(filter.scan?.most).toBe(figure(found, 'scan')?.proposed);
    expect(filter.syn?.perSecond).toBe(200);
  });

  it('proposes to except the monitors, and nobody else', () => {
    expect(found.exceptions.map(({ address, kind }) => [address, kind])).toEqual([
      ['203.0.113.10', 'monitor'],
      ['203.0.113.11', 'monitor'],
    ]);
    expect(found.exceptions[0]?.reason).toBe('monitor: every 30s, 120 times, 120 connections, each completed');
  });

  it.each([
    ['pcapng, big-endian', 'x.pcapng', () => pcapng(packets, { little: false })],
    ['gzip', 'x.pcap.gz', () => gzipSync(pcap(packets, { nano: true }))],
    ['VLAN', 'vlan.pcap', () => pcap(packets, { vlans: 1 })],
    ['raw IP, gzip pcapng', 'raw.gz', () => gzipSync(pcapng(packets, { link: 101 }))],
  ])('says the same of %s', (_what, name, write) => {
    const { figures, exceptions, packets: count } = proposal(file(name, write()));
    const bare = (list: Proposal['figures']) =>
      list.map(({ key, proposed, max, visits }) => [key, proposed, visits, max > 0]);
    expect({ figures: bare(figures), exceptions, packets: count }).toEqual({
      figures: bare(found.figures),
      exceptions: found.exceptions,
      packets: found.packets,
    });
  });

  it('takes several files together, and leaves home out', () => {
    const both = proposal(
      plain,
      file(
        'more.pcap',
        captureOf([{ at: START / 1000, client: '203.0.113.77', server: SERVER, clientPort: 4000, path: '/' }]),
      ),
    );
    expect(both.packets).toBe(found.packets + 1);
    expect(proposal(plain, '--home', '203.0.113.0/24').packets).toBe(100 + 40 + 33 + 32 * 2);
  });

  it('reads what there is of a file that was cut', () => {
    const whole = pcap(packets);
    const { packets: count } = proposal(file('cut.pcap', whole.subarray(0, whole.length >> 1)));
    expect(count).toBeGreaterThan(100);
    expect(count).toBeLessThan(found.packets);
  });

  it('writes the proposal to a file, as a part of a configuration', () => {
    const out = join(folder, 'proposal.yaml');
    const answer = learn(plain, '--out', out);
    expect(answer).toMatchObject({ code: 0, out: '' });
    expect(answer.err).toContain(`written to ${out}`);
    expect(spawnSync(process.execPath, [program, 'policy', 'check', out], { encoding: 'utf8' }).status).toBe(0);
  });

  it.each([
    [['/nonexistent.pcap'], 'no such file'],
    [[file('empty', '')], 'nothing to learn from'],
    [[file('text', 'hello\n')], 'nothing to learn from'],
    [[file('bad.pcap', Buffer.concat([pcap([]), Buffer.alloc(64, 0xff)]))], 'is damaged'],
    [[], 'name captures or eve files'],
    [[plain, '--for', '1h'], '--status and --stop are for the running daemon'],
    [[plain, '-o', 'tsv'], 'the forms of learn are yaml and json'],
    [['--for', 'forever'], 'learning has to end'],
    [[plain, '--out', '/nonexistent/x'], 'cannot be written'],
  ])('says what is wrong with %j', (args, message) => {
    const config = file('own.yaml', `run: ${folder}\nstate: ${folder}\n`);
    const { code, err } = learn(...args, '--config', config);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(message) });
  });
});

describe('learning from flow events', () => {
  const flow = (at: number, source: string, port: number, completed: boolean, more: Record<string, unknown> = {}) =>
    `${JSON.stringify({
      timestamp: new Date(START + at + 60_000).toISOString().replace('Z', '000+0000'),
      event_type: 'flow',
      src_ip: source,
      src_port: 4000 + (at % 1000),
      dest_ip: SERVER,
      dest_port: port,
      proto: 'TCP',
      flow: {
        pkts_toserver: 5,
        pkts_toclient: 4,
        bytes_toserver: 500,
        start: new Date(START + at).toISOString().replace('Z', '000+0000'),
        end: new Date(START + at + 500).toISOString().replace('Z', '000+0000'),
      },
      tcp: completed ? { tcp_flags_ts: '1b', tcp_flags_tc: '1b' } : { tcp_flags_ts: '02', tcp_flags_tc: '14' },
      ...more,
    })}\n`;
  const lines: string[] = [];
  for (let i = 0; i < 60; i++) {
    lines.push(flow(i * 60_000, `198.51.100.${i}`, 443, true));
    for (let port = 1; port <= (i === 30 ? 35 : 1); port++)
      lines.push(flow(i * 60_000 + port, `198.51.100.${i}`, port, false));
  }
  for (let port = 1; port <= 300; port++) lines.push(flow(1_800_000 + port, '203.0.113.66', port, false));
  lines.push(
    flow(100, '203.0.113.9', 0, false, {
      proto: 'ICMP',
      icmp_type: 8,
      flow: {
        pkts_toserver: 300,
        bytes_toserver: 300 * 98,
        start: '2026-11-23T12:00:00.000000+0000',
        end: '2026-11-23T12:00:01.000000+0000',
      },
    }),
  );
  // Suricata tells of flows when they are over, in no order.
  const text = [...lines].reverse().join('');

  it('says what captures say', () => {
    const found = proposal(file('eve.json', `{"event_type":"stats"}\n${text}`));
    expect(Math.abs((figure(found, 'scan')?.max ?? 0) - 35)).toBeLessThanOrEqual(2);
    expect([80]).toContain(figure(found, 'scan')?.proposed);
    expect(figure(found, 'scan')?.strangers).toMatchObject({ visits: 1, who: '203.0.113.66' });
    expect(figure(found, 'icmp')).toMatchObject({ max: 100, proposed: 200 });
    expect(figure(found, 'drop_larger_than')).toMatchObject({ max: 84 });
  });

  it('the same of gzip, of an array, and with lines that are cut', () => {
    const wanted = proposal(join(folder, 'eve.json')).figures;
    expect(proposal(file('eve.json.gz', gzipSync(text))).figures).toEqual(wanted);
    expect(proposal(file('eve-array.json', `[${[...lines].join(',').replaceAll('\n', '')}]`)).figures).toEqual(wanted);
    const cut = learn(file('cut.json', `${text}{"event_type":"flow","src_ip":"1.2`), '-o', 'json');
    expect(cut.err).toContain('1 that could not be used');
    expect(JSON.parse(cut.out).figures).toEqual(wanted);
  });
});

describe.skipIf(!existsSync(corpus))('the corpus', () => {
  it.each([
    ['pcap/legit-browse.pcap', 80, 80],
    ['pcap/nmap-sS-top1000.pcap', 1000, 0],
    ['pcap/syn-flood-randsrc.pcap', 4997, 0],
    ['eve/nmap-sT.json.gz', 20, 0],
  ])('%s: no scan and no flood makes a client', (name, least, connections) => {
    const found = proposal(join(corpus, name));
    expect(found.packets).toBeGreaterThanOrEqual(least);
    expect(found.yaml).toContain(`# ${connections} connections were completed`);
    expect(figure(found, 'scan')).toMatchObject({ proposed: 30, visits: 0 });
    expect(figure(found, 'syn')).toMatchObject({ proposed: 200, visits: 0 });
  });
});
