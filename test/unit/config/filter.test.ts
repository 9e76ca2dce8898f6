import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { diffConfigs } from '../../../src/config/diff.js';
import { jsonSchemaText } from '../../../src/config/json-schema.js';
import { parseConfig, readDocument } from '../../../src/config/load.js';
import { problemsOf } from './support.js';

const filterOf = (text: string) => parseConfig(`filter: { ${text} }`, 'x').filter;
const rulesOf = (...rules: string[]) => filterOf(`rules: [ ${rules.join(', ')} ]`).rules;
const scan = (count: number, rest = '') =>
  `{ more_than: ${count} ports per source, within: 60s, then: ban ${count}m${rest} }`;

describe('a detector', () => {
  it('takes one threshold, a list of one, or off', () => {
    const alone = filterOf(`scan: ${scan(10)}`);
    expect(alone.scan).toEqual({ most: 10, within: 60, ban: 600 });
    expect(filterOf(`scan: [ ${scan(10)} ]`)).toEqual(alone);
    for (const [key, field] of [
      ...(['syn', 'flood', 'icmp', 'udp', 'scan', 'sweep', 'stealth'] as const).map((name) => [name, name] as const),
      ...([
        ['slow_scan', 'slowScan'],
        ['ping_sweep', 'pingSweep'],
        ['ack_scan', 'ackScan'],
      ] as const),
    ] as const) {
      const { [field]: switched, ...others } = filterOf(`${key}: off`);
      expect(switched).toBeNull();
      expect(others).toEqual(Object.fromEntries(Object.entries(filterOf('')).filter(([name]) => name !== field)));
    }
    expect(filterOf('land: off').land).toBe(false);
  });

  it('has each its own default', () => {
    expect(filterOf('')).toEqual({
      timeZone: 'UTC',
      syn: { perSecond: 200, during: 3, ban: 600 },
      flood: { perSecond: 2000, during: 3, sources: 100, then: 'limit' },
      icmp: { perSecond: 50, during: 3, ban: 600, dropLargerThan: 1024 },
      udp: null,
      scan: { most: 30, within: 60, ban: 600 },
      slowScan: { most: 60, within: 3600, ban: 600 },
      sweep: { most: 20, within: 60, ban: 600 },
      pingSweep: { most: 20, within: 60, ban: 600 },
      stealth: { most: 5, within: 60, ban: 600 },
      ackScan: { most: 10, within: 60, ban: 600 },
      land: true,
      rules: [],
    });
  });

  it('holds by the time of day: the entries with between in order, then the one without', () => {
    expect(
      filterOf(`scan: [ ${scan(10, ', between: 22:00-06:00')}, ${scan(20, ', between: 6:00 - 7:30')}, ${scan(30)} ]`)
        .scan,
    ).toEqual({
      most: 30,
      within: 60,
      ban: 1800,
      hours: [
        { between: { from: 1320, to: 360 }, limit: 10, ban: 600 },
        { between: { from: 360, to: 450 }, limit: 20, ban: 1200 },
      ],
    });
    const syn = 'syn: [ { more_than: 600/m per source, during: 5s, then: ban 2m, between: 00:00-24:00 } ]';
    expect(filterOf(syn).syn).toEqual({
      perSecond: Number.POSITIVE_INFINITY,
      during: 5,
      ban: 120,
      hours: [{ between: { from: 0, to: 1440 }, limit: 10, ban: 120 }],
    });
    // One entry with hours need not be a list.
    expect(filterOf(`scan: ${scan(9, ', between: 23:59-00:00')}`).scan).toEqual({
      most: Number.POSITIVE_INFINITY,
      within: 60,
      ban: 540,
      hours: [{ between: { from: 1439, to: 0 }, limit: 9, ban: 540 }],
    });
  });

  it('of ICMP takes its size from the first entry that names one', () => {
    const entry = (rest: string) => `{ more_than: 9/s per source, during: 3s, then: ban 1m${rest} }`;
    const night = ', between: 22:00-06:00';
    expect(filterOf(`icmp: [ ${entry(night)}, ${entry(', drop_larger_than: 600')} ]`).icmp?.dropLargerThan).toBe(600);
    expect(filterOf(`icmp: ${entry('')}`).icmp?.dropLargerThan).toBeNull();
    expect(filterOf(`icmp: ${entry(', drop_larger_than: off')}`).icmp?.dropLargerThan).toBeNull();
  });

  it.each<[string, string]>([
    [
      `scan: [ ${scan(30)}, ${scan(10, ', between: 22:00-06:00')} ]`,
      '1 filter.scan[0]: holds at any hour, so that what follows never counts; write it last, or give it between',
    ],
    [
      `scan: [ ${scan(30)}, ${scan(10)} ]`,
      '1 filter.scan[0]: holds at any hour, so that what follows never counts; write it last, or give it between',
    ],
    [
      `scan: [ ${scan(10, ', between: 22:00-06:00').replace('60s', '30s')}, ${scan(30)} ]`,
      '1 filter.scan[1].within: is another than in the first entry; write the same within in each entry',
    ],
    [
      'syn: [ { more_than: 1/s, during: 3s, then: ban 1m, between: 1:00-2:00 }, { more_than: 1/s, during: 4s, then: ban 1m } ]',
      '1 filter.syn[1].during: is another than in the first entry; write the same during in each entry',
    ],
    ['scan: []', '1 filter.scan: is empty; write at least one threshold, or off'],
    ...['25:00-06:00', '22:00-25:00', '22:60-06:00', '24:00-06:00', '22:00-22:00', '22:00', 'night', '22:00-24:30'].map(
      (hours) =>
        [
          `scan: ${scan(10, `, between: "${hours}"`)}`,
          `1 filter.scan.between: "${hours}" is not a part of the day; write it as 22:00-06:00, in the time zone of time_zone`,
        ] as [string, string],
    ),
    ['scan: 30', '1 filter.scan: "30" is no threshold; write off, or a mapping with more_than'],
    ['scan: on', '1 filter.scan: "on" is no threshold; write off, or a mapping with more_than'],
  ])('says what is wrong: %s', (text, problem) => {
    expect(problemsOf(`filter: { ${text} }`)).toEqual([problem]);
  });

  it.each([
    ['scann: off', 'filter.scann'],
    [`scan: ${scan(10, ', sources: 5')}`, 'filter.scan.sources'],
    [`scan: [ ${scan(10, ', betwen: 22:00-06:00')} ]`, 'filter.scan[0].betwen'],
    [`scan: ${scan(1)}`, 'filter.scan.more_than'],
    ['scan: { more_than: 10 hosts, within: 60s, then: ban 1m }', 'filter.scan.more_than'],
    ['scan: { more_than: 10 ports, within: 2h, then: ban 1m }', 'filter.scan.within'],
    ['scan: { more_than: 10 ports, within: 60s, then: drop }', 'filter.scan.then'],
    ['scan: { more_than: 10 ports, within: 60s, then: ban forever }', 'filter.scan.then'],
    ['flood: { more_than: 10/s per source }', 'filter.flood.more_than'],
    ['flood: { more_than: 10/s, sources: 1 }', 'filter.flood.sources'],
    ['flood: { more_than: 10/s, then: ban 1m }', 'filter.flood.then'],
    ['flood: [ { more_than: 10/s } ]', 'filter.flood'],
    ['land: maybe', 'filter.land'],
  ])('names the key that is wrong: %s', (text, path) => {
    expect(problemsOf(`filter: { ${text} }`).map((problem) => problem.split(/[ :]/)[1])).toEqual([path]);
  });
});

describe('a packet rule of the configuration', () => {
  it('is read into flat values, with the text of the file', () => {
    expect(
      rulesOf(
        '{ proto: tcp, flags: [syn, urg], sport: 12345, dport: [22, 8000-8099], from: [203.0.113.0/24, "2001:db8::/32"], then: ban 10m, note: old worm }',
        '{ proto: icmpv6, icmp_type: 128, to: "2001:db8::1", larger_than: 1000, smaller_than: 2000, then: reject }',
        '{ smaller_than: 30, then: drop }',
      ),
    ).toMatchObject([
      {
        text: '{ proto: tcp, flags: [ syn, urg ], sport: 12345, dport: [ 22, 8000-8099 ], from: [ 203.0.113.0/24, 2001:db8::/32 ], then: ban 10m, note: old worm }',
        protocol: 'tcp',
        flags: { mask: 0x37, value: 0x22 },
        from: [{ text: '203.0.113.0/24' }, { text: '2001:db8::/32' }],
        to: [],
        sourcePorts: [[12_345, 12_345]],
        targetPorts: [
          [22, 22],
          [8000, 8099],
        ],
        icmpTypes: [],
        largerThan: null,
        smallerThan: null,
        then: { kind: 'ban', duration: 600 },
      },
      {
        protocol: 'icmpv6',
        flags: null,
        icmpTypes: [128],
        to: [{ text: '2001:db8::1' }],
        largerThan: 1000,
        smallerThan: 2000,
        then: { kind: 'reject' },
      },
      { protocol: null, flags: null, smallerThan: 30, then: { kind: 'drop' } },
    ]);
  });

  it('has flags as mask and value: none is none of the six, else PSH and URG count only when named', () => {
    const flags = (text: string) => rulesOf(`{ proto: tcp, flags: ${text}, then: drop }`)[0]?.flags;
    expect(flags('none')).toEqual({ mask: 0x3f, value: 0 });
    expect(flags('syn')).toEqual({ mask: 0x17, value: 2 });
    expect(flags('[fin, psh, urg]')).toEqual({ mask: 0x3f, value: 0x29 });
    expect(flags('[ack, psh]')).toEqual({ mask: 0x1f, value: 0x18 });
  });

  it('has its line for messages, apart from what it means', () => {
    const rule = '{ proto: udp, then: drop }';
    const [here, there] = [`filter:\n  rules:\n    - ${rule}\n`, `\n\nfilter:\n  rules:\n\n    - ${rule}\n`].map(
      (text) => parseConfig(text, 'x'),
    );
    expect([here?.packetRuleLines, there?.packetRuleLines]).toEqual([[3], [6]]);
    expect(isDeepStrictEqual(here?.filter, there?.filter)).toBe(true);
  });

  it.each([
    ['{ proto: udp, flags: syn, then: drop }', 'flags: flags are those of TCP; write proto: tcp'],
    ['{ flags: syn, then: drop }', 'flags: flags are those of TCP; write proto: tcp'],
    ['{ proto: tcp, flags: [none, syn], then: drop }', 'flags: none goes with no other flag; write flags: none'],
    ['{ proto: icmp, dport: 8, then: drop }', 'dport: ports are those of TCP and UDP; write proto: tcp or proto: udp'],
    ['{ sport: 8, then: drop }', 'sport: ports are those of TCP and UDP; write proto: tcp or proto: udp'],
    [
      '{ proto: tcp, icmp_type: 8, then: drop }',
      'icmp_type: types are those of ICMP; write proto: icmp or proto: icmpv6',
    ],
    ['{ proto: icmp, from: "2001:db8::1", then: drop }', 'from: icmp has no such addresses; write networks of IPv4'],
    ['{ proto: icmpv6, to: 192.0.2.1, then: drop }', 'to: icmpv6 has no such addresses; write networks of IPv6'],
    ['{ then: drop }', 'then: the rule would match every packet; write at least one condition, such as proto: udp'],
    [
      '{ then: drop, note: all }',
      'then: the rule would match every packet; write at least one condition, such as proto: udp',
    ],
    ['{ proto: tcp, then: log }', 'then: "log" is not what a packet rule does; write accept, drop, reject, or ban 10m'],
    [
      '{ proto: tcp, then: ban forever }',
      'then: "ban forever" is not what a packet rule does; write accept, drop, reject, or ban 10m',
    ],
    ['{ proto: sctp, then: drop }', 'proto: "sctp" is not one of its values; write tcp, udp, icmp or icmpv6'],
  ])('says what is wrong: %s', (rule, problem) => {
    expect(problemsOf(`filter: { rules: [ ${rule} ] }`)).toEqual([`1 filter.rules[0].${problem}`]);
  });

  it.each([
    ['{ proto: tcp, port: 8, then: drop }', 'port'],
    ['{ proto: tcp, dport: 65536, then: drop }', 'dport'],
    ['{ proto: tcp, dport: 9-8, then: drop }', 'dport'],
    ['{ proto: tcp, dport: 1-65536, then: drop }', 'dport'],
    ['{ proto: tcp, dport: [], then: drop }', 'dport'],
    ['{ proto: icmp, icmp_type: 256, then: drop }', 'icmp_type'],
    ['{ proto: tcp, from: 10.0.0.1/8, then: drop }', 'from'],
    ['{ smaller_than: 0, then: drop }', 'smaller_than'],
    ['{ proto: tcp }', 'then'],
  ])('names the key that is wrong: %s', (rule, key) => {
    expect(problemsOf(`filter: { rules: [ ${rule} ] }`).map((problem) => problem.split(/[ :]/)[1])).toEqual([
      `filter.rules[0].${key}`,
    ]);
  });
});

describe('a filter with hours', () => {
  const version = (text: string) => parseConfig(`filter: { ${text} }`, 'x').policyVersion;
  const night = `scan: ${scan(10, ', between: 22:00-06:00')}`;
  const differences = (before: string, after: string) =>
    diffConfigs(readDocument(`filter: { ${before} }`, 'a'), readDocument(`filter: { ${after} }`, 'b')).keys.map(
      ({ path, before: was, after: is }) => `${path}: ${was} -> ${is}`,
    );

  it('has a version that follows what it means', () => {
    expect(version(night)).toBe(version(`${night.replace('22:00-06:00', '22:00 - 6:00').replace('{', '[ {')} ]`));
    const all = [night, night.replace('22:00', '21:00'), `scan: ${scan(10)}`, `scan: off`].map(version);
    expect(new Set(all).size).toBe(4);
  });

  it('is compared with another in the words of the files', () => {
    expect(differences(night, `${night.replace('{', '[ {')} ]`)).toEqual([]);
    expect(differences(night, night.replace('22:00', '21:00'))).toEqual([
      'filter.scan.between: 22:00-06:00 -> 21:00-06:00',
    ]);
    expect(
      differences('rules: [ { proto: udp, then: drop } ]', 'rules: [ { proto: udp, dport: 5-9, then: drop } ]'),
    ).toEqual([
      'filter.rules: { proto: udp, then: drop } -> null',
      'filter.rules: null -> { proto: udp, dport: 5-9, then: drop }',
    ]);
    // The order of rules decides.
    const [a, b] = ['{ proto: udp, then: drop }', '{ smaller_than: 30, then: accept }'];
    expect(differences(`rules: [ ${a}, ${b} ]`, `rules: [ ${b}, ${a} ]`)).toHaveLength(1);
  });
});

it('the JSON schema knows lists of thresholds, hours and packet rules', () => {
  const { filter } = JSON.parse(jsonSchemaText()).properties;
  const forms = (of: { anyOf?: { type?: string; const?: string }[] }) =>
    (of.anyOf ?? []).map((one) => one.const ?? one.type);
  expect(forms(filter.properties.scan)).toEqual(expect.arrayContaining(['off', 'object', 'array']));
  expect(forms(filter.properties.flood)).toEqual(expect.arrayContaining(['off', 'object']));
  expect(Object.keys(filter.properties.rules.items.properties)).toEqual(
    expect.arrayContaining(['proto', 'flags', 'sport', 'dport', 'icmp_type', 'from', 'to', 'then', 'note']),
  );
});
