/**
 * Alerts as a busy server's sensor raises them, each with the rule that raised
 * it: engine events, web attacks, scans, answers of ours, own hosts that call
 * out, UDP, ICMP, a part over IPv6. The same seed gives the same alerts.
 */

/** Of 100 alerts: what, and how many of them. */
const MIX = [
  ['engine', 30],
  ['web', 20],
  ['web6', 5],
  ['answer', 8],
  ['scan', 15],
  ['outbound', 8],
  ['lateral', 3],
  ['udp', 8],
  ['icmp', 3],
];
const RULES = {
  engine: ['SURICATA STREAM Packet with invalid ack', 'Generic Protocol Command Decode', 3, 'tcp', '', 2_210_045],
  web: [
    'ET WEB_SERVER Possible CVE-2014-6271 Attempt',
    'Web Application Attack',
    1,
    'http',
    'flow:established,to_server;',
  ],
  answer: [
    'GPL ATTACK_RESPONSE id check',
    'Attempted Administrator Privilege Gain',
    1,
    'http',
    'flow:established,to_client;',
  ],
  scan: [
    'ET SCAN Suspicious inbound to MSSQL port 1433',
    'Potentially Bad Traffic',
    2,
    'tcp',
    'flags:S; threshold:type limit, count 5, seconds 60, track by_src;',
  ],
  outbound: ['ET MALWARE Win32 Checkin', 'A Network Trojan was detected', 1, 'http', 'flow:established,to_server;'],
  lateral: [
    'ET EXPLOIT Possible SMB exploit',
    'Attempted Administrator Privilege Gain',
    1,
    'smb',
    'flow:established,to_server;',
  ],
  udp: ['ET INFO External IP lookup', 'Attempted Information Leak', 2, 'udp', ''],
  icmp: ['GPL ICMP PING *NIX', 'Misc activity', 3, 'icmp', 'itype:8;'],
};

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

/** `count` records of `event_type` alert around the time `at` (ms since 1970), each with the text of its rule. */
export function alertRecords(count, at, seed) {
  const next = random(seed);
  const below = (n) => Math.floor(next() * n);
  const kinds = MIX.flatMap(([kind, share]) => Array(share).fill(kind));
  const stamp = new Date(at).toISOString().replace('Z', '000+0000');
  const outside = () =>
    `${[45, 80, 91, 103, 141, 185, 193, 203][below(8)]}.${below(256)}.${below(256)}.${1 + below(254)}`;
  const outside6 = () =>
    `2001:0db8:0000:0000:0000:0000:${(4096 + below(60_000)).toString(16)}:${(4096 + below(60_000)).toString(16)}`;
  const inside = () => `192.168.${50 + below(4)}.${1 + below(254)}`;
  return Array.from({ length: count }, () => {
    const kind = kinds[below(kinds.length)];
    const [signature, category, severity, protocol, options, fixed] = RULES[kind.replace('6', '')];
    const sid = fixed ?? 2_019_000 + Object.keys(RULES).indexOf(kind.replace('6', '')) * 10 + below(10);
    const rule = `alert ${protocol} any any -> any any (msg:"${signature}"; ${options} sid:${sid}; rev:4;)`;
    let [from, to] = [outside(), inside()];
    if (kind === 'web6') [from, to] = [outside6(), 'fd00:0050:0000:0000:0000:0000:0000:0010'];
    if (kind === 'outbound') [from, to] = [to, from];
    if (kind === 'lateral') from = inside();
    const ports = kind === 'icmp' ? {} : { src_port: 1024 + below(64_000), dest_port: kind === 'scan' ? 1433 : 443 };
    const proto = { udp: 'UDP', icmp: 'ICMP' }[kind] ?? 'TCP';
    const established = !['scan', 'icmp', 'engine', 'udp'].includes(kind);
    const [packetsIn, packetsBack] = established ? [4 + below(9), 3 + below(9)] : [1, 0];
    const flow = {
      pkts_toserver: packetsIn,
      pkts_toclient: packetsBack,
      bytes_toserver: packetsIn * 140,
      bytes_toclient: packetsBack * 300,
      start: stamp,
      src_ip: from,
      dest_ip: to,
      ...ports,
    };
    const answer = kind === 'answer' || (kind === 'engine' && next() < 0.5);
    const ends = answer
      ? { src_ip: to, src_port: ports.dest_port, dest_ip: from, dest_port: ports.src_port }
      : { src_ip: from, src_port: ports.src_port, dest_ip: to, dest_port: ports.dest_port };
    const record = {
      timestamp: stamp,
      flow_id: 1e15 + below(1e15),
      in_iface: 'eth0',
      event_type: 'alert',
      ...ends,
      proto,
      pkt_src: 'wire/pcap',
      ...(kind === 'icmp' && { icmp_type: 8, icmp_code: 0 }),
      alert: {
        action: 'allowed',
        gid: 1,
        signature_id: sid,
        rev: 4,
        signature,
        category,
        severity,
        ...(established && { metadata: { attack_target: ['Server'], signature_severity: ['Major'] } }),
      },
      ...(established && { app_proto: protocol }),
      direction: answer ? 'to_client' : 'to_server',
      flow,
    };
    return { record, rule };
  });
}
