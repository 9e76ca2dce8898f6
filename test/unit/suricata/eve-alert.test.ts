import { describe, expect, it } from 'vitest';
import { prefix } from '../../../src/net/prefix.js';
import { parseAlert } from '../../../src/suricata/eve-alert.js';
import { parseTimestamp } from '../../../src/suricata/timestamp.js';

const RULE = {
  action: 'allowed',
  gid: 1,
  signature_id: 2019232,
  rev: 5,
  signature: 'ET WEB_SERVER',
  category: 'Web Application Attack',
  severity: 1,
};
const record = (more: object = {}, rule: object = {}) => ({
  timestamp: '2026-11-22T16:25:51.374573+0000',
  event_type: 'alert',
  src_ip: '203.0.113.66',
  src_port: 43932,
  dest_ip: '192.168.50.10',
  dest_port: 80,
  proto: 'TCP',
  ...more,
  alert: { ...RULE, ...rule },
});

const ATTACKER = { address: '203.0.113.66', host: prefix('203.0.113.66'), port: 43_932 };
const SERVER = { address: '192.168.50.10', host: prefix('192.168.50.10'), port: 80 };

describe('parseTimestamp', () => {
  it.each([
    ['2026-11-22T16:25:51.374573+0000', '2026-11-22T16:25:51.374Z'],
    ['2026-11-22T16:25:51.374573-0000', '2026-11-22T16:25:51.374Z'],
    ['2026-11-22T16:25:51.374573+0100', '2026-11-22T15:25:51.374Z'],
    ['2022-02-08T09:40:29.080710-0500', '2022-02-08T14:40:29.080Z'],
    ['2026-11-22T16:25:51.374573-0330', '2026-11-22T19:55:51.374Z'],
    ['2026-11-22T16:25:51.374573+05:30', '2026-11-22T10:55:51.374Z'],
    ['2026-11-22T16:25:51.374573+05', '2026-11-22T11:25:51.374Z'],
    ['2026-11-22T16:25:51.374573+1400', '2026-11-22T02:25:51.374Z'],
    ['2026-11-22T16:25:51.374573-1200', '2026-11-23T04:25:51.374Z'],
    ['2026-11-22 16:25:51,37+0000', '2026-11-22T16:25:51.370Z'],
    ['2026-11-22T16:25:51Z', '2026-11-22T16:25:51.000Z'],
    ['2026-11-22T16:25:51.5Z', '2026-11-22T16:25:51.500Z'],
    ['2026-12-31T23:59:60.000000+0000', '2027-01-01T00:00:00.000Z'],
    ['2024-02-29T00:00:00.000000+0000', '2024-02-29T00:00:00.000Z'],
  ])('reads %s with its offset', (text, iso) => {
    expect(new Date(parseTimestamp(text) as number).toISOString()).toBe(iso);
  });

  it.each([
    '2026-11-22T16:25:51.374573',
    '2026-11-22T16:25:51.374573 UTC',
    '2026-02-29T00:00:00+0000',
    '2026-13-01T00:00:00+0000',
    '2026-00-10T00:00:00+0000',
    '2026-11-22T24:00:00+0000',
    '2026-11-22T16:60:00+0000',
    '2026-11-22T16:25:51+2500',
    '2026-11-22T16:25:51+0000Z',
    '2026-11-22T16:25:51+00000',
    '2026-11-22T16:25:51+0x10',
    '2026-11-22T16:25:51.+0000',
    '2026-11-22T16:25:5',
    '2026-11-31T16:25:51+0000',
    '-026-11-22T16:25:51+0000',
    '22/11/2026',
    '',
    null,
    1_764_000_000,
    ['2026-11-22T16:25:51Z'],
  ])('refuses %j', (text) => {
    expect(parseTimestamp(text)).toBeNull();
  });

  it('reads a time without an offset as UTC only where that is asked for', () => {
    expect(parseTimestamp('2026-11-22T16:25:51.374573', true)).toBe(Date.UTC(2026, 10, 22, 16, 25, 51, 374));
    expect(parseTimestamp('2026-11-22T16:25:51.374573+0100', true)).toBe(Date.UTC(2026, 10, 22, 15, 25, 51, 374));
    expect(parseTimestamp('2026-11-22T16:25:51.374573 UTC', true)).toBeNull();
  });
});

describe('parseAlert', () => {
  it('reads a record of Suricata 7', () => {
    const alert = parseAlert(
      record(
        {
          flow_id: 2171729306439663,
          pkt_src: 'wire/pcap',
          app_proto: 'http',
          direction: 'to_client',
          verdict: { action: 'drop', reject: ['icmp-prohib'] },
          flow: {
            pkts_toserver: 4,
            pkts_toclient: 3,
            bytes_toserver: 500,
            bytes_toclient: 400,
            start: '2026-11-22T16:25:50.000000+0000',
            src_ip: '203.0.113.66',
            dest_ip: '192.168.50.10',
            src_port: 43932,
            dest_port: 80,
          },
        },
        {
          action: 'blocked',
          source: { ip: '203.0.113.66', port: 43932 },
          target: { ip: '192.168.50.10', port: 80 },
          metadata: { cve: ['CVE_2014_6271'], attack_target: ['Server', 'Web'] },
          xff: '198.18.7.7, 10.9.9.9',
        },
      ),
    );
    expect(alert).toEqual({
      at: Date.UTC(2026, 10, 22, 16, 25, 51, 374),
      gid: 1,
      sid: 2019232,
      rev: 5,
      signature: 'ET WEB_SERVER',
      category: 'Web Application Attack',
      severity: 1,
      action: 'blocked',
      verdict: 'drop',
      src: ATTACKER,
      dest: SERVER,
      proto: 'TCP',
      appProto: 'http',
      direction: 'to_client',
      flowId: 2171729306439663,
      flow: {
        src: ATTACKER,
        dest: SERVER,
        packetsToServer: 4,
        packetsToClient: 3,
        bytesToServer: 500,
        bytesToClient: 400,
        state: null,
        start: Date.UTC(2026, 10, 22, 16, 25, 50),
      },
      ruleSource: '203.0.113.66',
      ruleTarget: '192.168.50.10',
      metadata: { cve: ['CVE_2014_6271'], attack_target: ['Server', 'Web'] },
      xff: '198.18.7.7, 10.9.9.9',
      tunnelled: false,
      icmpType: null,
      packetSource: 'wire/pcap',
    });
  });

  it.each([
    [
      'a Suricata 6 record: xff at the top, no direction',
      { xff: '10.9.9.9' },
      {},
      { xff: '10.9.9.9', direction: null },
    ],
    ['a flow without addresses', { flow: { pkts_toserver: 1 } }, {}, { flow: { src: null, packetsToServer: 1 } }],
    ['vlan as in 2017', { vlan: 61 }, {}, { sid: 2019232 }],
    ['vlan as now', { vlan: [200, 300] }, {}, { sid: 2019232 }],
    ['vlan null', { vlan: null }, {}, { sid: 2019232 }],
    [
      'an uncompressed IPv6 address',
      { src_ip: '2001:0db8:0050:0000:0000:0000:0000:0001' },
      {},
      { src: { address: '2001:db8:50::1' } },
    ],
    [
      'a mapped IPv4 address',
      { src_ip: '0000:0000:0000:0000:0000:ffff:0506:0708' },
      {},
      { src: { address: '5.6.7.8' } },
    ],
    [
      'no ports',
      { src_port: undefined, dest_port: undefined, proto: 'GRE' },
      {},
      { src: { port: null }, dest: { port: null } },
    ],
    [
      'ICMP with ports of 0',
      { proto: 'ICMP', src_port: 0, dest_port: 0, icmp_type: 8 },
      {},
      { src: { port: null }, icmpType: 8 },
    ],
    ['TCP port 0', { src_port: 0 }, {}, { src: { port: 0 } }],
    ['a port that is none', { src_port: 70_000 }, {}, { src: { port: null } }],
    ['IPv6-ICMP', { proto: 'IPv6-ICMP' }, {}, { proto: 'IPV6-ICMP' }],
    ['a protocol number', { proto: 47 }, {}, { proto: '47' }],
    ['TCP as a number', { proto: 6 }, {}, { proto: 'TCP' }],
    ['TCP in the three digits of a machine without /etc/protocols', { proto: '006' }, {}, { proto: 'TCP' }],
    ['another name of ICMPv6', { proto: 'ICMPv6', icmp_type: 128 }, {}, { proto: 'IPV6-ICMP', src: { port: 43_932 } }],
    ['an application protocol in capitals', { app_proto: 'HTTP' }, {}, { appProto: 'http' }],
    ['a verdict of Suricata 9', { verdict: { action: 'DROP', reject_target: 'both' } }, {}, { verdict: 'drop' }],
    ['a verdict that is a word', { verdict: 'pass' }, {}, { verdict: 'pass' }],
    ['a packet from a GRE tunnel', { pkt_src: 'gre tunnel' }, {}, { tunnelled: true }],
    ['a packet from a VXLAN', { pkt_src: 'vxlan encapsulation' }, {}, { tunnelled: true }],
    ['a packet put together from fragments', { pkt_src: 'defrag' }, {}, { tunnelled: false }],
    ['a rule target that is no address', {}, { target: { ip: 'x' } }, { ruleTarget: null }],
    ['a tunnel with an outer address that is none', { tunnel: { src_ip: 'x', depth: 1 } }, {}, { tunnelled: true }],
    ['no destination', { dest_ip: undefined }, {}, { dest: null }],
    ['no rule identity but the sid', {}, { gid: undefined, rev: undefined }, { gid: 1, rev: 0 }],
    ['priority 10', {}, { severity: 10 }, { severity: 10 }],
    ['severity out of range', {}, { severity: 0 }, { severity: 255 }],
    ['severity as text', {}, { severity: '1' }, { severity: 255 }],
    ['no severity', {}, { severity: undefined }, { severity: 255 }],
    ['empty texts', {}, { signature: '', category: '' }, { signature: '', category: '' }],
    ['a flow id that a number cannot hold', { flow_id: 2 ** 60 }, {}, { flowId: null }],
    [
      'metadata that is not a list',
      {},
      { metadata: { a: 'x', b: 2, c: {}, d: [], e: ['y', null] } },
      { metadata: { a: ['x'], b: ['2'], e: ['y'] } },
    ],
    ['verdict pass', { verdict: { action: 'pass' } }, {}, { verdict: 'pass' }],
    ['a flow state', { flow: { state: 'established' } }, {}, { flow: { state: 'established' } }],
    ['a TCP state', { flow: {}, tcp: { state: 'established' } }, {}, { flow: { state: 'established' } }],
    [
      'negative counts',
      { flow: { pkts_toserver: -1, bytes_toserver: 1.5 } },
      {},
      { flow: { packetsToServer: 0, bytesToServer: 0 } },
    ],
    ['a bad flow start', { flow: { start: 'x' } }, {}, { flow: { start: null } }],
    ['a tunnel', { tunnel: { src_ip: '1.1.1.1', dest_ip: '2.2.2.2', depth: 1 } }, {}, { tunnelled: true }],
    [
      'a tunnel with one other address',
      { tunnel: { src_ip: '203.0.113.66', dest_ip: '2.2.2.2', depth: 1 } },
      {},
      { tunnelled: true },
    ],
    ['depth 0', { tunnel: { src_ip: '203.0.113.66', dest_ip: '192.168.50.10', depth: 0 } }, {}, { tunnelled: false }],
    [
      'equal outer addresses',
      { tunnel: { src_ip: '203.0.113.66', dest_ip: '192.168.50.10', depth: 1 } },
      {},
      { tunnelled: false },
    ],
  ])('understands %s', (_what, more, rule, expected) => {
    expect(parseAlert(record(more, rule))).toMatchObject(expected);
  });

  it.each([
    ['null', null, 'not_an_object'],
    ['an array', [record()], 'not_an_object'],
    ['a number', 7, 'not_an_object'],
    ['a drop record with an alert object', { ...record(), event_type: 'drop' }, 'not_an_alert'],
    ['no alert object', { ...record(), alert: null }, 'not_an_alert'],
    ['no sid', record({}, { signature_id: undefined }), 'no_sid'],
    ['a sid in quotes', record({}, { signature_id: '2019232' }), 'no_sid'],
    ['a sid of 0', record({}, { signature_id: 0 }), 'no_sid'],
    ['a fractional sid', record({}, { signature_id: 1.5 }), 'no_sid'],
    ['a gid that is none', record({}, { gid: -1 }), 'no_sid'],
    ['a revision that is none', record({}, { rev: 'x' }), 'no_sid'],
    ['no time', record({ timestamp: undefined }), 'no_timestamp'],
    ['a time without an offset', record({ timestamp: '2026-11-22T16:25:51.374573' }), 'no_timestamp'],
    ['no sender', record({ src_ip: undefined }), 'no_addresses'],
    ['a sender of null', record({ src_ip: null }), 'no_addresses'],
    ['a shell command', record({ src_ip: '1.2.3.4; rm -rf /' }), 'bad_address'],
    ['a network', record({ src_ip: '42.0.0.0/8' }), 'bad_address'],
    ['an octal look-alike', record({ src_ip: '010.1.1.1' }), 'bad_address'],
    ['a number as address', record({ src_ip: 16909060 }), 'bad_address'],
    ['a bad destination', record({ dest_ip: '300.1.1.1' }), 'bad_address'],
    ['a bad flow initiator', record({ flow: { src_ip: 'evil' } }), 'bad_address'],
    [
      'a record that only tells when it was shipped',
      record({ timestamp: undefined, '@timestamp': '2026-11-22T16:25:51.374Z' }),
      'shipper_timestamp',
    ],
    ['a wrapped record, as Elasticsearch exports them', { _index: 'logstash', _source: record() }, 'not_an_alert'],
  ])('refuses %s', (_what, value, cause) => {
    expect(parseAlert(value)).toBe(cause);
  });

  it('reads a record without an offset as UTC where that is asked for, its flow too', () => {
    const old = record({ timestamp: '2017-03-24T16:00:00.5', flow: { start: '2017-03-24T15:59:59' } });
    expect(parseAlert(old)).toBe('no_timestamp');
    const at = Date.UTC(2017, 2, 24, 16, 0, 0, 500);
    expect(parseAlert(old, true)).toMatchObject({ at, flow: { start: at - 1500 } });
  });

  it('lets no metadata key reach a prototype', () => {
    const alert = parseAlert(
      JSON.parse(JSON.stringify(record()).replace('"severity":1', '"severity":1,"metadata":{"__proto__":["x"]}')),
    );
    expect(alert).toMatchObject({ sid: 2019232 });
    if (typeof alert !== 'string') expect(Object.entries(alert.metadata)).toEqual([['__proto__', ['x']]]);
    expect(({} as Record<string, unknown>)['0']).toBeUndefined();
  });
});
