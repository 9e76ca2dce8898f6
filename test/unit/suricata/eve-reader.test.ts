import { describe, expect, it } from 'vitest';
import type { EveAlert } from '../../../src/suricata/eve-alert.js';
import { EveReader } from '../../../src/suricata/eve-reader.js';
import { alertLine, alertLines, flowLine } from '../../support/eve.js';

function read(text: string | Buffer, longestLine = 1 << 20) {
  const reader = new EveReader(longestLine);
  const buffer = Buffer.isBuffer(text) ? text : Buffer.from(text);
  const alerts: EveAlert[] = [];
  const end = reader.read(buffer, 0, buffer.length, alerts, Number.POSITIVE_INFINITY);
  expect(end).toBe(buffer.length);
  return { ids: alerts.map((a) => a.flowId), lines: reader.lines, unusable: reader.unusable.toJSON(), alerts };
}

const spaced = (n: number) => alertLine(n).replaceAll('":', '": ').replaceAll(',"', ', "');

describe('EveReader', () => {
  it('finds the alerts among other records', () => {
    const text = flowLine(1) + alertLine(2) + flowLine(3) + flowLine(4) + alertLine(5);
    expect(read(text)).toMatchObject({ ids: [2, 5], lines: 5, unusable: {} });
  });

  it('finds alerts in any spacing, also mixed in one file', () => {
    const tabs = alertLine(4).replace('"event_type":"alert"', '"event_type"\t:  \t"alert"');
    const text = alertLine(1) + spaced(2) + flowLine(0) + spaced(3) + tabs + alertLine(5);
    expect(read(text).ids).toEqual([1, 2, 3, 4, 5]);
  });

  it('finds alerts wherever the key stands', () => {
    const last = alertLine(7).replace('"event_type":"alert",', '').replace(/}\n$/, ',"event_type":"alert"}\n');
    expect(read(alertLine(1) + last + alertLine(8)).ids).toEqual([1, 7, 8]);
  });

  it('finds alerts though the key moves with each line', () => {
    let text = '';
    const expected: number[] = [];
    for (let i = 0; i < 15; i++) {
      text += flowLine(10 ** i) + alertLine(10 ** i);
      expected.push(10 ** i);
    }
    expect(read(text).ids).toEqual(expected);
  });

  it('is not fooled by text that looks like an alert inside another field', () => {
    const inside = JSON.stringify({ event_type: 'http', http: { url: '/?x="event_type":"alert"' } });
    const before = JSON.stringify({ a: '"event_type":"alert"', event_type: 'http' });
    expect(read(`${alertLine(1)}${inside}\n${before}\n`)).toMatchObject({ ids: [1], unusable: {} });
  });

  it('takes neither a drop record that carries an alert object nor a nested alert', () => {
    const drop = alertLine(3).replace('"event_type":"alert"', '"event_type":"drop"');
    const nested = '{"wrapped":{"event_type":"alert"},"event_type":"http"}\n';
    expect(read(drop + nested)).toMatchObject({ ids: [], unusable: { not_an_alert: 1 } });
  });

  it('gives the same line twice when it is there twice', () => {
    expect(read(alertLine(1) + alertLine(1)).ids).toEqual([1, 1]);
  });

  it.each([
    ['null', 'null\n', { not_an_object: 1 }],
    ['an array', '[]\n', { not_an_object: 1 }],
    ['an array of alerts', `[${alertLine(1).trimEnd()}]\n`, { not_an_object: 1 }],
    ['a number', '12\n', { not_an_object: 1 }],
    ['words', 'hello\n', { not_json: 1 }],
    ['NUL bytes', '\0\0\0\n', { not_json: 1 }],
    ['a line that was cut', `${alertLine(1).slice(0, 120)}\n`, { truncated: 1 }],
    ['a brace alone', '{\n', { pretty_printed: 1 }],
    ['an alert with a syntax error', alertLine(1).replace('"proto":', '"proto"'), { not_json: 1 }],
    ['two records on one line', alertLine(1).trimEnd() + alertLine(2), { not_json: 1 }],
    ['an alert without addresses', alertLine(1, { src_ip: null }), { no_addresses: 1 }],
    ['an address that is a command', alertLine(1, { src_ip: '1.2.3.4; rm -rf /' }), { bad_address: 1 }],
    ['empty lines', '\n\r\n  \n', {}],
  ])('counts %s and uses the next line', (_what, text, unusable) => {
    expect(read(text + alertLine(9))).toMatchObject({ ids: [9], unusable });
  });

  it('counts each line of a record that is spread over several, and takes none for an alert', () => {
    const pretty = `${JSON.stringify(JSON.parse(alertLine(1)), null, 2)}\n`;
    const { ids, unusable, lines } = read(pretty + alertLine(2));
    expect(ids).toEqual([2]);
    expect(lines).toBe(pretty.split('\n').length);
    expect(unusable).toMatchObject({ pretty_printed: 1, not_json: expect.any(Number) });
  });

  it('reads lines that end in CR LF', () => {
    expect(read((alertLine(1) + flowLine(2) + alertLine(3)).replaceAll('\n', '\r\n'))).toMatchObject({
      ids: [1, 3],
      lines: 3,
      unusable: {},
    });
  });

  it('reads a first line with a byte order mark, and indented lines', () => {
    expect(read(`\ufeff${alertLine(1)}  ${alertLine(2)}`)).toMatchObject({ ids: [1, 2], unusable: {} });
  });

  it('uses an alert with bytes that are not UTF-8', () => {
    const line = Buffer.from(alertLine(1, { note: 'XX' }));
    line[line.indexOf('XX')] = 0xff;
    expect(read(Buffer.concat([line, Buffer.from(alertLine(2))]))).toMatchObject({ ids: [1, 2], unusable: {} });
  });

  it('takes each of many alerts of one packet', () => {
    const alerts = Array.from({ length: 36 }, (_, i) => alertLine(i, { flow_id: 7, pcap_cnt: 12, n: i }));
    expect(read(alerts.join('')).ids).toEqual(new Array(36).fill(7));
  });

  it('finds an alert in a line of 2.4 MB, before and behind the bulk', () => {
    const bulk = 'x"}'.repeat(800_000);
    const before = alertLine(1, { dnp3: bulk });
    const behind = `${JSON.stringify({ dnp3: bulk, ...JSON.parse(alertLine(2)) })}\n`;
    expect(behind.length).toBeGreaterThan(2_414_479);
    expect(read(before + flowLine(9) + behind + alertLine(3), 16 << 20)).toMatchObject({
      ids: [1, 2, 3],
      unusable: {},
    });
  });

  it('keeps characters beyond ASCII as they are', () => {
    const { alerts } = read(alertLine(1, { app_proto: 'crème 漢 😀' }));
    expect(alerts[0]?.appProto).toBe('crème 漢 😀');
  });

  it('passes over a line longer than the longest', () => {
    const text = alertLine(1) + alertLine(2, { note: 'x'.repeat(2000) }) + alertLine(3);
    expect(read(text, 1000)).toMatchObject({ ids: [1, 3], lines: 3, unusable: { too_long: 1 } });
  });

  it('stops at a full batch and goes on from there', () => {
    const buffer = Buffer.from(alertLines(0, 10));
    const reader = new EveReader(1 << 20);
    const seen: (number | null)[] = [];
    for (let at = 0; at < buffer.length; ) {
      const batch: EveAlert[] = [];
      at = reader.read(buffer, at, buffer.length, batch, 3);
      expect(batch.length).toBeLessThanOrEqual(3);
      seen.push(...batch.map((a) => a.flowId));
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(reader.lines).toBe(10);
  });

  it('does not read past the given end', () => {
    const text = alertLine(1);
    const buffer = Buffer.from(text + alertLine(2));
    const alerts: EveAlert[] = [];
    expect(new EveReader(1 << 20).read(buffer, 0, text.length, alerts, 9)).toBe(text.length);
    expect(alerts.map((a) => a.flowId)).toEqual([1]);
  });
});
