/**
 * Writes a realistic mix of eve records as Suricata 7 does: flow, dns, http,
 * tls, fileinfo, anomaly, ssh, stats, and 2 % alerts, part of them with payload
 * and with text that looks like an alert inside another field. The same seed
 * gives the same bytes.
 *
 *   node bench/support/eve-generator.mjs FILE MEGABYTES [SEED]
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/** Of 10,000 records. */
const MIX = [
  ['alert', 200],
  ['flow', 3000],
  ['dns', 2800],
  ['http', 1400],
  ['tls', 1200],
  ['fileinfo', 1000],
  ['anomaly', 300],
  ['ssh', 90],
  ['stats', 10],
];
const HOSTS = ['www.example.org', 'api.example.com', 'cdn.example.net', 'mail.example.com', 'crème-brûlée.example'];
const RULES = [
  [2019232, 'ET WEB_SERVER Possible CVE-2014-6271 Attempt', 'Attempted Administrator Privilege Gain', 1],
  [2034125, 'ET EXPLOIT Apache Path Traversal Attempt', 'Attempted Administrator Privilege Gain', 1],
  [2010935, 'ET SCAN Suspicious inbound to MSSQL port 1433', 'Potentially Bad Traffic', 2],
  [2200074, 'SURICATA TCPv4 invalid checksum', 'Generic Protocol Command Decode', 3],
];

/** mulberry32: a small generator with a 32-bit state, enough for filler. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** An endless sequence of records; each call gives the next as a line with its newline. */
export function eveLines(seed = 1) {
  const next = random(seed);
  const below = (n) => Math.floor(next() * n);
  const pick = (list) => list[below(list.length)];
  const weights = MIX.map(([, weight], i) => MIX.slice(0, i).reduce((sum, [, w]) => sum + w, weight));
  let time = Date.UTC(2026, 10, 22, 16) * 1000;
  const stamp = (us) =>
    `${new Date(Math.floor(us / 1000)).toISOString().slice(0, -1)}${String(us % 1000).padStart(3, '0')}+0000`;
  const hex = (length) => Array.from({ length }, () => below(16).toString(16)).join('');
  const outside = () =>
    next() < 0.08
      ? `2001:0db8:0000:0000:0000:0000:${hex(4)}:${hex(4)}`
      : `${pick([45, 80, 91, 103, 141, 185, 193, 203])}.${below(256)}.${below(256)}.${1 + below(254)}`;

  const http = () => ({
    hostname: pick(HOSTS),
    url: `/${'p'.repeat(below(40))}${below(1e6)}${next() < 0.02 ? '?q="event_type":"alert"' : ''}`,
    http_user_agent: 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
    http_content_type: 'text/html',
    http_method: 'GET',
    protocol: 'HTTP/1.1',
    status: 200,
    length: below(1e5),
  });
  const flow = (at, src, dest) => ({
    pkts_toserver: 2 + below(100),
    pkts_toclient: 1 + below(100),
    bytes_toserver: below(1e6),
    bytes_toclient: below(1e6),
    start: stamp(at - below(5e6)),
    src_ip: src,
    dest_ip: dest,
    src_port: 1024 + below(64000),
    dest_port: 443,
  });
  const body = {
    alert(at, src, dest) {
      const [signature_id, signature, category, severity] = pick(RULES);
      const record = {
        app_proto: 'http',
        pkt_src: 'wire/pcap',
        tx_id: below(10),
        alert: {
          action: 'allowed',
          gid: 1,
          signature_id,
          rev: 1 + below(9),
          signature,
          category,
          severity,
          metadata: { attack_target: ['Server'], created_at: ['2014_09_25'], signature_severity: ['Major'] },
        },
        http: http(),
        direction: 'to_server',
        flow: flow(at, src, dest),
      };
      if (next() < 0.5) {
        record.payload = Buffer.from('x'.repeat(30 + below(900))).toString('base64');
        record.payload_printable = 'GET /?x="event_type":"alert" HTTP/1.1\r\n'.repeat(1 + below(20));
        record.stream = 1;
      }
      return record;
    },
    flow: (at, src, dest) => ({
      app_proto: pick(['tls', 'dns', 'http', 'failed']),
      flow: {
        ...flow(at, src, dest),
        end: stamp(at),
        age: below(60),
        state: 'closed',
        reason: 'timeout',
        alerted: false,
      },
      tcp: { tcp_flags: '1b', tcp_flags_ts: '1b', tcp_flags_tc: '1b', syn: true, fin: true, state: 'closed' },
    }),
    dns: () => ({
      pkt_src: 'wire/pcap',
      dns: {
        version: 2,
        type: 'answer',
        id: below(65536),
        flags: '8180',
        qr: true,
        rd: true,
        ra: true,
        rrname: `h${below(1e5)}.${pick(HOSTS)}`,
        rrtype: 'A',
        rcode: 'NOERROR',
        answers: [{ rrname: pick(HOSTS), rrtype: 'A', ttl: below(3600), rdata: outside() }],
        grouped: { A: [outside()] },
      },
    }),
    http: () => ({ tx_id: below(10), http: http() }),
    tls: () => ({
      tls: {
        subject: `CN=${pick(HOSTS)}`,
        issuerdn: 'C=US, O=Example CA, CN=R3',
        serial: hex(36),
        fingerprint: hex(40).replace(/..(?=.)/g, '$&:'),
        sni: `h${below(1e4)}.${pick(HOSTS)}`,
        version: 'TLS 1.3',
        notbefore: '2026-09-01T00:00:00',
        notafter: '2026-12-01T00:00:00',
        ja3: { hash: hex(32) },
      },
    }),
    fileinfo: () => ({
      http: http(),
      app_proto: 'http',
      fileinfo: {
        filename: `/f${below(1e6)}`,
        gaps: false,
        state: 'CLOSED',
        stored: false,
        size: below(1e6),
        tx_id: 0,
      },
    }),
    anomaly: () => ({
      tx_id: 0,
      anomaly: {
        app_proto: 'http',
        type: 'applayer',
        event: 'UNABLE_TO_MATCH_RESPONSE_TO_REQUEST',
        layer: 'proto_parser',
      },
    }),
    ssh: () => ({
      ssh: { client: { proto_version: '2.0', software_version: 'OpenSSH_9.2' }, server: { proto_version: '2.0' } },
    }),
  };

  return () => {
    const roll = below(10_000);
    const type = MIX[weights.findIndex((weight) => roll < weight)][0];
    time += below(300);
    if (type === 'stats') {
      const counters = Object.fromEntries(Array.from({ length: 120 }, (_, i) => [`counter_${i}`, below(1e9)]));
      return `${JSON.stringify({ timestamp: stamp(time), event_type: 'stats', stats: { uptime: below(1e6), decoder: counters, detect: { alert: below(1e6) } } })}\n`;
    }
    const [src, dest] = next() < 0.6 ? [outside(), '10.0.0.5'] : ['10.0.0.5', outside()];
    return `${JSON.stringify({
      timestamp: stamp(time),
      flow_id: Math.floor(next() * 2 ** 51),
      in_iface: 'eth0',
      event_type: type,
      src_ip: src,
      src_port: 1024 + below(64000),
      dest_ip: dest,
      dest_port: pick([53, 80, 443]),
      proto: type === 'dns' ? 'UDP' : 'TCP',
      ...body[type](time, src, dest),
    })}\n`;
  };
}

/** @returns what was written: bytes, lines, alerts */
export function writeEveFile(path, megabytes, seed = 1) {
  const line = eveLines(seed);
  const fd = openSync(path, 'w');
  const counts = { bytes: 0, lines: 0, alerts: 0 };
  let parts = [];
  let held = 0;
  const flush = () => {
    counts.bytes += writeSync(fd, Buffer.from(parts.join('')));
    parts = [];
    held = 0;
  };
  while (counts.bytes + held < megabytes * 1e6) {
    const text = line();
    counts.lines += 1;
    if (text.includes(',"event_type":"alert",')) counts.alerts += 1;
    parts.push(text);
    held += text.length;
    if (held > 1 << 20) flush();
  }
  flush();
  closeSync(fd);
  return counts;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [, , path, megabytes = '500', seed = '1'] = process.argv;
  console.log(JSON.stringify(writeEveFile(path, Number(megabytes), Number(seed))));
}
