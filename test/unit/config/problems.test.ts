import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { errorOf, problemsOf } from './support.js';

const line = (when: string, then = 'note') => `policy: [{ name: a, when: { ${when} }, then: ${then} }]`;
const whenOf = (when: string) => parseConfig(line(when), 'x').policy[0]?.when;

describe('a mistake in the configuration', () => {
  it('is reported together with all others, in the order of the file, each with file, line, path and fix', () => {
    const text = [
      'mode: enforc',
      'sevrity: 1',
      'home: [10.0.0.0/8, 192.168.1.5/24]',
      'suricata:',
      '  ignore_alerts_older_than: 10 minutes',
      'filter:',
      '  syn:',
      '    more_than: 200 per second',
      '    during: 3s',
      '    then: drop',
      'policy:',
      '  - name: x',
      '    when: { sid: abc, categry: foo }',
      '    then: bann 1h',
      'queue: { numbers: [70000] }',
    ].join('\n');
    expect(errorOf(text).message.split('\n')).toEqual([
      'test.yaml:1: mode: "enforc" is not one of its values; write enforce, observe or off',
      expect.stringMatching(/^test\.yaml:2: sevrity: unknown key; known here: mode, /),
      'test.yaml:3: home[1]: "192.168.1.5/24" has host bits set; write 192.168.1.0/24 for the network, or the address alone',
      'test.yaml:5: suricata.ignore_alerts_older_than: "10 minutes" is not a duration; write a duration from 1s to 365d, such as 90s, 10m, 4h or 7d',
      expect.stringMatching(
        /^test\.yaml:8: filter\.syn\.more_than: "200 per second" is not a rate; .*200\/s per source/,
      ),
      expect.stringMatching(/^test\.yaml:10: filter\.syn\.then: "drop" is not what a detector does; write ban/),
      'test.yaml:13: policy[0].when.sid: "abc" is not allowed here; write a signature id from 1 to 4294967295',
      'test.yaml:13: policy[0].when.categry: unknown key; did you mean "category"?',
      'test.yaml:14: policy[0].then: "bann 1h" is not an action; write ban 1h, would ban 1h, flag, note or ignore',
      'test.yaml:15: queue.numbers[0]: "70000" is not allowed here; write a queue number from 0 to 65535',
    ]);
  });

  it.each([
    ['neverban: []', 'did you mean "never_ban"?'],
    ['Never-Ban: []', 'did you mean "never_ban"?'],
    ['suricata: { evee: [/x] }', 'did you mean "eve"?'],
    ['limits: { total_ban: 5 }', 'did you mean "total_bans"?'],
    ['limits: { widest: { ipv5: 24 } }', 'did you mean "ipv4"?'],
    ['quarantine: { agee: 3d }', 'did you mean "age"?'],
    [
      'filter: { icmp: { more_than: 5/s per source, during: 3s, then: ban 1m, drop_larger: 1024 } }',
      'drop_larger_than',
    ],
    ['never_ban: [homes]', 'did you mean "home"?'],
    ['never_ban: [{ adress: 203.0.113.9 }]', 'did you mean "address"?'],
    [line('signatures: x'), 'did you mean "signature"?'],
    [line('meta: x'), 'known here'],
    ['never_ban: [198.51.100.0/24: penetration test]', 'write { address: 198.51.100.0/24, reason: ... }'],
    ['zzz: 1', 'known here: mode, host,'],
  ])('in a key is answered with the nearest spelling: %s', (text, fix) => {
    expect(problemsOf(text).join('\n')).toContain(fix);
  });

  it.each([
    // Durations
    'suricata: { ignore_alerts_older_than: 10 }',
    'suricata: { ignore_alerts_older_than: forever }',
    'suricata: { ignore_alerts_older_than: 0s }',
    'limits: { unproven: { never_over: forever } }',
    'limits: { unproven: { never_over: 2d } }',
    'filter: { scan: { more_than: 30 ports per source, within: 2h, then: ban 10m } }',
    // Networks
    'home: [10.0.0.0/33]',
    'home: []',
    'home: [0.0.0.0/0]',
    'home: ["::/0"]',
    'home: { a: b }',
    'home: [1.2.3]',
    'home: 5',
    'never_ban: home',
    'never_ban: [203.0.113.9/24]',
    'never_ban: [{ address: 203.0.113.9/24 }]',
    'never_ban: [{ reason: x }]',
    'never_ban: [{ address: 203.0.113.9, until: 2026-02-30 }]',
    'never_ban: [{ address: 203.0.113.9, until: 2026-13-01 }]',
    'never_ban: [{ address: 203.0.113.9, until: tomorrow }]',
    'never_ban: [{ address: 203.0.113.9, until: 2026-12-31T18:00 }]',
    'bannable_private: [203.0.113.0/24]',
    'bannable_private: [8.0.0.0/5]',
    'suricata: { trusted_proxies: [proxy.example] }',
    // Rates, ports, sizes
    'filter: { syn: { more_than: 0/s per source, during: 3s, then: ban 10m } }',
    'filter: { syn: { more_than: 200/s per destination, during: 3s, then: ban 10m } }',
    'filter: { syn: { more_than: 200, during: 3s, then: ban 10m } }',
    'filter: { syn: { more_than: 200/s per source, during: 3s } }',
    'filter: { syn: { more_than: 200/s per source, during: 3s, then: ban forever } }',
    'filter: { syn: on }',
    'filter: { icmp: { more_than: 5/s per source, during: 3s, then: ban 10m, drop_larger_than: 100 } }',
    'filter: { scan: { more_than: 1 ports per source, within: 60s, then: ban 10m } }',
    'filter: { scan: { more_than: 70000 ports per source, within: 60s, then: ban 10m } }',
    'filter: { rules: [{ proto: tcp }] }',
    'filter: { rules: [{ proto: tpc, then: drop }] }',
    'suricata: { longest_line: 16MB }',
    'suricata: { longest_line: 1KiB }',
    'suricata: { longest_line: 4GiB }',
    'queue: { numbers: [] }',
    'queue: { numbers: [-1] }',
    'queue: { numbers: [1.5] }',
    'queue: { numbers: [7, 7] }',
    'queue: { numbers: ["7"] }',
    'limits: { widest: { ipv4: 33 } }',
    'limits: { widest: { ipv4: 0 } }',
    'limits: { new_bans_per_minute: 0 }',
    'limits: { total_bans: many }',
    // Policy
    line('sid: 0'),
    line('sid: 4294967296'),
    line('sid: []'),
    line('sid_range: 10'.replace('10', '9-1')),
    line('severity: 0'),
    line('severity: 1-256'),
    line('severity: 2-1'),
    line('severity: high'),
    line('severity: [1, 2]'),
    line('from: inside'),
    line('from: 203.0.113.9/24'),
    line('from: []'),
    line('proven: maybe'),
    line('dest_port: 70000'),
    line('dest_port: http'),
    line('signature: ""'),
    line('signature: "//"'),
    line('signature: "/(/"'),
    line('category: { a: b }'),
    line('meta.x: { a: b }'),
    line('meta.: x'),
    line('distinct_sids: 3'),
    line('within: 10m'),
    line(''),
    line('note: "only a comment"'),
    line('sid: 1', 'ban'),
    line('sid: 1', 'ban 1 h'),
    line('sid: 1', 'ban 0s'),
    line('sid: 1', 'Ban 1h'),
    line('sid: 1', 'would flag'),
    line('sid: 1', 'drop'),
    'policy: [{ when: { sid: 1 }, then: note }]',
    'policy: [{ name: a, then: note }]',
    'policy: [{ name: a, when: { sid: 1 } }]',
    'policy: { name: a }',
    'policy: [{ name: a, when: { sid: 1 }, then: note }, { name: a, when: { sid: 2 }, then: note }]',
    'otherwise: ban',
    // Values of the rest
    'state: here',
    'run: ~',
    'time_zone: Mars/Phobos',
    'suricata: { eve: [eve.json] }',
    'suricata: { eve: [] }',
    'suricata: { eve: [http://x] }',
    'suricata: { eve: ["redis://host/0"] }',
    'suricata: { eve: ["redis://host/0?list=a", /x, "redis://host/0?list=a"] }',
    'redis: { url: "http://host" }',
    'redis: { url: host:6379 }',
    'redis: { url: "redis://" }',
    'redis: { embedded: true, url: "redis://host:6379" }',
    'redis: { embedded: false }',
    'redis: { url: "redis://a:1", cluster: ["b:1"], prefix: "{x}" }',
    'redis: { cluster: ["a:1"] }',
    'redis: { cluster: ["a:1"], prefix: "x{}y" }',
    'redis: { cluster: [a] }',
    'redis: { sentinels: ["a:99999"] }',
    'redis: { prefix: "a*" }',
    'redis: { prefix: "" }',
    'enforcement: { backend: pf }',
    'enforcement: { outbound: maybe }',
    'enforcement: { on_stop: flush }',
    'quarantine: on',
    'history: { at_most: 2GB }',
    'repeat_offenders: { multiply: [] }',
    'repeat_offenders: { multiply: [0] }',
    'context: { mmdb: [GeoLite2.mmdb] }',
    'console: { listen: 8780 }',
    'console: { policy: view }',
    'notify: { to: me }',
    'filter:',
    'home: ~',
    'policy: ~',
  ])('is one problem with a line, a path and a fix: %s', (text) => {
    const { problems } = errorOf(text);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.line).toBe(1);
    expect(problems[0]?.path).not.toBe('');
    expect(problems[0]?.message).not.toMatch(/invalid|expected|union/i);
    expect(problems[0]?.fix).toMatch(/\w/);
    expect(problems[0]?.fix).not.toMatch(/reference of the configuration|undefined/);
  });

  it('of a cluster without a hash tag is answered with the tagged prefix', () => {
    expect(problemsOf('redis: { cluster: ["a:1"], prefix: soc }')[0]).toContain('write prefix: "{soc}"');
    expect(parseConfig('redis: { cluster: ["a:1"], prefix: "{soc}" }', 'x')).toMatchObject({
      redis: { embedded: false, url: null, prefix: '{soc}' },
      inactive: ['redis.cluster'],
    });
  });

  it('in a mapping that was left empty says so', () => {
    expect(problemsOf('filter:\nmode: enforce')).toEqual([
      '1 filter: has no value; write one, or remove the key to get the default',
    ]);
  });
});

describe('the conditions of a policy line', () => {
  it('are taken alone or as a list', () => {
    expect(whenOf('sid: 2019232')).toEqual({ sid: [2019232] });
    expect(whenOf('sid: [1, 2], sid_range: [10-20, 30]')).toEqual({
      sid: [1, 2],
      sidRange: [
        [10, 20],
        [30, 30],
      ],
    });
    expect(whenOf('category: [A, B], app_proto: HTTP, proto: tcp')).toEqual({
      category: ['A', 'B'],
      appProto: ['http'],
      proto: ['TCP'],
    });
    expect(whenOf('severity: 1')).toEqual({ severity: [1, 1] });
    expect(whenOf('severity: 1-2, dest_port: [22, 8000-8099]')).toEqual({
      severity: [1, 2],
      destPort: [
        [22, 22],
        [8000, 8099],
      ],
    });
    expect(whenOf('meta.attack_target: Server, meta.confidence: [High, 3]')).toEqual({
      meta: { attack_target: ['Server'], confidence: ['High', '3'] },
    });
    expect(whenOf('proven: yes, from: outside, to: home')).toEqual({ proven: true, from: 'outside', to: 'home' });
    expect(whenOf('from: [198.51.100.0/24, "2001:db8::/32"]')).toMatchObject({
      from: { networks: [{ text: '198.51.100.0/24' }, { text: '2001:db8::/32' }] },
    });
    expect(whenOf('sid: 2002825, note: "curl, INC-4411"')).toEqual({ sid: [2002825] });
  });

  it('take a signature as a part of it, or as an expression between slashes', () => {
    expect(whenOf('signature: CVE-2014-6271')).toEqual({ signature: ['CVE-2014-6271'] });
    const [expression] = whenOf('signature: "/^ET (WEB|SCAN).*nikto/"')?.signature ?? [];
    expect(expression).toBeInstanceOf(RegExp);
    expect((expression as RegExp).test('et scan Nikto Web App Scan')).toBe(true);
    expect(whenOf('signature: "/"')).toEqual({ signature: ['/'] });
  });

  it('count different signatures, and tell inside from outside', () => {
    expect(whenOf('distinct_sids: 3, within: 10m')).toEqual({ distinctSids: { atLeast: 3, within: 600 } });
    expect(whenOf('internal: ban, severity: 1')).toEqual({ internal: 'ban', severity: [1, 1] });
    expect(whenOf('internal: on')).toEqual({ internal: true });
    expect(whenOf('internal: off')).toEqual({ internal: false });
  });
});

describe('what this version reads and does not act on', () => {
  it.each([
    ['redis: { sentinels: ["a:26379"] }', 'redis.sentinels'],
    ['enforcement: { action: reject }', 'enforcement.action'],
    ['context: { reverse_dns: on }', 'context'],
    ['console: { ticket_url: "https://tickets.example/{ticket}" }', 'console'],
    ['notify: [{ mail: soc@example.org }]', 'notify'],
  ])('is accepted and named: %s', (text, key) => {
    expect(parseConfig(text, 'x').inactive).toEqual([key]);
  });

  it.each([
    'quarantine: off',
    'history: off',
    'repeat_offenders: off',
    'console: off',
    'context: off',
    'suricata: { metadata_actions: off }',
  ])('is not named when it is off: %s', (text) => {
    expect(parseConfig(text, 'x').inactive).toEqual([]);
  });
});

describe('switching off', () => {
  it('takes each detector out alone', () => {
    const { filter } = parseConfig('filter: { syn: off, scan: off }', 'x');
    expect(filter.syn).toBeNull();
    expect(filter.scan).toBeNull();
    expect(filter.icmp).toMatchObject({ perSecond: 50 });
    const icmp = 'filter: { icmp: { more_than: 600/m per source, during: 3s, then: ban 10m } }';
    expect(parseConfig(icmp, 'x').filter.icmp).toMatchObject({ perSecond: 10, dropLargerThan: null });
  });

  it.each([
    ['true', true],
    ['on', true],
    ['yes', true],
    ['false', false],
    ['off', false],
    ['no', false],
  ])('reads %s as %s', (text, value) => {
    expect(parseConfig(`enforcement: { outbound: ${text} }`, 'x').enforcement.outbound).toBe(value);
  });

  it('takes home, this_machine and infrastructure out of never_ban one by one', () => {
    expect(parseConfig('never_ban: [this_machine, 198.51.100.0/24]', 'x').neverBan).toMatchObject({
      home: false,
      thisMachine: true,
      infrastructure: false,
      listed: [{ prefix: { text: '198.51.100.0/24' }, until: null }],
    });
  });
});
