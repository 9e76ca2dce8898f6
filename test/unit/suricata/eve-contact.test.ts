import { describe, expect, it } from 'vitest';
import { formatWords } from '../../../src/net/address.js';
import { ContactReader, type ContactRecord } from '../../../src/suricata/eve-contact.js';
import { EveReader } from '../../../src/suricata/eve-reader.js';

/** A record of Suricata 7.0.10 as it was logged. */
const FLOW =
  '{"timestamp":"2026-11-22T16:25:51.374573+0000","flow_id":1558479,"in_iface":"eth0","event_type":"flow","src_ip":"203.0.113.66","src_port":43932,"dest_ip":"192.168.50.10","dest_port":80,"proto":"TCP","app_proto":"http","flow":{"pkts_toserver":6,"pkts_toclient":4,"bytes_toserver":583,"bytes_toclient":712,"start":"2026-11-22T16:24:50.000000+0000","end":"2026-11-22T16:24:50.100000+0000","age":0,"state":"closed","reason":"timeout","alerted":false},"tcp":{"tcp_flags":"1b","state":"closed"}}';
const HTTP =
  '{"timestamp":"2026-11-22T16:25:51.374573+0000","flow_id":1558479,"event_type":"http","src_ip":"203.0.113.66","src_port":43932,"dest_ip":"192.168.50.10","dest_port":80,"proto":"TCP","tx_id":0,"http":{"hostname":"192.168.50.10","url":"/?a=\\"status\\":200","http_user_agent":"x","http_method":"GET","protocol":"HTTP/1.1","status":404,"length":9}}';
const TLS =
  '{"timestamp":"2026-11-22T16:25:51.374573+0000","flow_id":1558479,"in_iface":"eth0","event_type":"tls","src_ip":"2001:0db8:0000:0000:0000:0000:0000:0066","src_port":43932,"dest_ip":"2001:0db8:0050:0000:0000:0000:0000:0010","dest_port":443,"proto":"TCP","tls":{"sni":"www.example.org","version":"TLS 1.3"}}';
const HOUR = Date.UTC(2026, 10, 22, 16);

/** What the contact reader makes of lines that pass the eve reader, as they do in the program. */
function read(...lines: readonly string[]): { readonly records: ContactRecord[]; readonly unreadable: number } {
  const records: ContactRecord[] = [];
  const contacts = new ContactReader((record) => records.push({ ...record }));
  const reader = new EveReader(1 << 20, { onOther: (...line) => contacts.read(...line) });
  const buffer = Buffer.from(`${lines.join('\n')}\n`);
  reader.read(buffer, 0, buffer.length, [], 100);
  return { records, unreadable: contacts.unreadable };
}

const v4 = (word: number) => formatWords({ family: 4, w0: word, w1: 0, w2: 0, w3: 0 });
const spaced = (line: string) => line.replaceAll('":', '": ').replaceAll(',"', ', "');

describe('contacts in eve records', () => {
  it.each([
    ['as Suricata writes it', FLOW],
    ['with spaces, as programs write it again', spaced(FLOW)],
    ['with other fields between', FLOW.replace('"src_ip"', '"vlan":[100],"src_ip"')],
    ['with more protocols', FLOW.replace('"app_proto"', '"app_proto_ts":"failed","app_proto_tc":"http","app_proto"')],
  ])('takes ends, port, bytes and hour of a flow %s', (_, line) => {
    const { records } = read(line);
    expect(records).toMatchObject([
      { hour: HOUR, srcText: null, destText: null, port: 80, flows: 1, bytes: 1295, replies: 0, answered: true },
    ]);
    expect(records.map(({ srcWord, destWord }) => [v4(srcWord), v4(destWord)])).toEqual([
      ['203.0.113.66', '192.168.50.10'],
    ]);
  });

  it('tells a flow that nobody answered, and one without ports', () => {
    const silent = FLOW.replace('"bytes_toclient":712', '"bytes_toclient":0');
    const icmp = FLOW.replace('"src_port":43932,', '').replace(',"dest_port":80', '').replace('"TCP"', '"ICMP"');
    expect(read(silent, icmp).records).toMatchObject([
      { port: 80, bytes: 583, answered: false },
      { port: 0, bytes: 1295, answered: true },
    ]);
  });

  it('takes the status of an HTTP answer from the answer, not from what the client wrote', () => {
    const fine = HTTP.replace('"status":404', '"status":302');
    const none = HTTP.replace('"status":404,', '');
    expect(read(HTTP, fine, none).records.map(({ replies, flows }) => [replies, flows])).toEqual([
      [0, 0],
      [1, 0],
      [0, 0],
    ]);
  });

  it('takes TLS sessions and IPv6', () => {
    expect(read(TLS).records).toMatchObject([
      {
        hour: HOUR,
        srcText: '2001:0db8:0000:0000:0000:0000:0000:0066',
        destText: '2001:0db8:0050:0000:0000:0000:0000:0010',
        port: 443,
        replies: 1,
      },
    ]);
  });

  it.each([
    ['2026-11-22T23:45:00.000000+0530', Date.UTC(2026, 10, 22, 18)],
    ['2026-11-22T23:25:00.000000+0530', Date.UTC(2026, 10, 22, 17)],
    ['2026-11-22T23:45:00.000000-0500', Date.UTC(2026, 10, 23, 4)],
    ['2026-11-22T23:45:00Z', Date.UTC(2026, 10, 22, 23)],
  ])('knows the hour of %s, also behind lines of another zone', (time, hour) => {
    const other = FLOW.replace('2026-11-22T16:25:51.374573+0000', '2026-11-22T23:45:00.000000+0000');
    const line = FLOW.replace('2026-11-22T16:25:51.374573+0000', time);
    expect(read(other, line, line).records.map((record) => record.hour)).toEqual([
      Date.UTC(2026, 10, 22, 23),
      hour,
      hour,
    ]);
  });

  it('passes over other records, and counts those that it cannot read', () => {
    const dns = FLOW.replace('"event_type":"flow"', '"event_type":"dns"');
    const file = FLOW.replace('"event_type":"flow"', '"event_type":"fileinfo"');
    expect(read(dns, file)).toEqual({ records: [], unreadable: 0 });
    const noEnds = FLOW.replace('"src_ip":"203.0.113.66",', '');
    const noTime = FLOW.replace('2026-11-22T16:25:51.374573+0000', 'yesterday');
    const noCounts = FLOW.replace('"bytes_toserver":583,', '');
    expect(read(noEnds, noTime, noCounts)).toEqual({ records: [], unreadable: 3 });
  });
});
