import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/config/errors.js';
import { jsonSchemaText } from '../../../src/config/json-schema.js';
import { loadConfig, parseConfig } from '../../../src/config/load.js';
import { errorOf, problemsOf } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'barricata-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
const shipped = fileURLToPath(new URL('../../../config/barricata.yaml', import.meta.url));

/** The file as the contract writes it, word for word. */
const CONTRACT = `
mode: enforce                      # enforce | observe | off
host: auto                         # this host's name in Redis; a second machine with the same name is refused
state: /var/lib/barricata          # positions, offline journal, history, embedded Redis
run: /run/barricata                # control.sock, redis.sock
time_zone: UTC                     # for every wall-clock time in this file
home: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "fc00::/7"]
never_ban:                         # holds against every source, redis-cli included
  - home
  - this_machine                   # own addresses, gateways, resolvers, Redis, peers of authenticated SSH sessions
  - infrastructure                 # shipped list: public resolvers, root servers
  - { address: 198.51.100.0/24, reason: penetration test, ticket: INC-4600, until: 2026-12-31 }
bannable_private: []               # private networks outside home that may be banned
suricata:
  eve: [/var/log/suricata/eve*.json]   # also unix:///run/barricata/eve.sock, redis://host/0?stream=suricata, ?list=suricata
  rules: /var/lib/suricata/rules/suricata.rules
  ignore_alerts_older_than: 10m
  longest_line: 16MiB              # longer: skipped, counted
  trusted_proxies: []
  metadata_actions: false          # honour "barricata ban" in rule metadata
quarantine: { age: 3d, hits: 5 }   # or off; no rules file, no quarantine
filter:                            # the packet path; more_than N/s during D = more than N x D packets in any D
  syn:  { more_than: 200/s per source, during: 3s, then: ban 10m }
  icmp: { more_than: 50/s per source, during: 3s, then: ban 10m, drop_larger_than: 1024 }
  scan: { more_than: 30 ports per source, within: 60s, then: ban 10m }
  rules:                           # own packet rules, first match decides
    - { proto: tcp, flags: syn, sport: 12345, then: drop }
policy:                            # the alert path, first match decides
  - name: web exploitation
    when: { category: Web Application Attack, severity: 1, from: outside, proven: true }
    then: ban 1h
otherwise: note                    # actions: ban D | would ban D | flag | note | ignore
repeat_offenders: { multiply: [1, 4, 24], never_over: 7d, forget_after: 30d }
limits:                            # per host, automatic bans only; resume after 10 minutes below, or by \`mode enforce\`
  new_bans_per_minute: 100
  total_bans: 1000000
  widest: { ipv4: 24, ipv6: 48 }   # by hand; automatic bans are never wider than /32 and /64
  unproven: { never_over: 10m, scope: host }   # caps every ban without proof, whatever \`then\` says
  when_reached: stop_and_alert
redis: { embedded: true }          # or url: rediss://..., or sentinels: [...], or cluster: [...]; prefix: barricata
history: { keep: 7d, at_most: 2GiB }   # normalised alerts, decisions and hourly contact rows, per host, compressed
enforcement: { backend: auto, action: drop, outbound: true, on_stop: keep }
queue: { numbers: [100], when_overloaded: accept }
context: { mmdb: [], lists: [], reverse_dns: off }   # offline country, AS and list lookups for people, never for decisions
console: { listen: 127.0.0.1:8780 }    # tls, users, ticket_url, policy: edit | read_only
notify: []
`;

describe('the configuration', () => {
  it('takes one range as a list of one', () => {
    const line = (when: string) => `policy: [ { name: x, when: { ${when} }, then: note } ]`;
    const { policy } = parseConfig(line('sid_range: 100-200, dest_port: 80'), 'test.yaml');
    expect(policy[0]?.when).toEqual({ sidRange: [[100, 200]], destPort: [[80, 80]] });
    expect(parseConfig(line('dest_port: [80, 8000-8099]'), 'test.yaml').policy[0]?.when.destPort).toEqual([
      [80, 80],
      [8000, 8099],
    ]);
  });

  it('of the contract loads into plain units', () => {
    const config = parseConfig(CONTRACT, 'contract.yaml');
    expect(config).toMatchObject({
      mode: 'enforce',
      host: hostname(),
      state: '/var/lib/barricata',
      timeZone: 'UTC',
      neverBan: {
        home: true,
        thisMachine: true,
        infrastructure: true,
        listed: [
          {
            prefix: { text: '198.51.100.0/24' },
            reason: 'penetration test',
            ticket: 'INC-4600',
            until: Date.UTC(2027, 0, 1),
          },
        ],
      },
      suricata: { eve: ['/var/log/suricata/eve*.json'], ignoreAlertsOlderThan: 600, longestLine: 16 * 2 ** 20 },
      filter: {
        syn: { perSecond: 200, during: 3, ban: 600 },
        icmp: { perSecond: 50, during: 3, ban: 600, dropLargerThan: 1024 },
        scan: { most: 30, within: 60, ban: 600 },
      },
      policy: [
        {
          name: 'web exploitation',
          line: 29,
          text: expect.stringMatching(/^\{ name: web exploitation, when: \{.*\}, then: ban 1h \}$/),
          when: { category: ['Web Application Attack'], severity: [1, 1], from: 'outside', proven: true },
          then: { kind: 'ban', duration: 3600 },
        },
      ],
      otherwise: { kind: 'note' },
      repeatOffenders: { multiply: [1, 4, 24], neverOver: 604_800, forgetAfter: 2_592_000 },
      limits: {
        newBansPerMinute: 100,
        totalBans: 1_000_000,
        knownGoodShare: 0.1,
        whenReached: 'stop_and_alert',
        widest: { ipv4: 24, ipv6: 48 },
        unprovenNeverOver: 600,
      },
      redis: { embedded: true, url: null, prefix: 'barricata' },
      enforcement: { backend: 'auto', iptables: 'auto', outbound: true, onStop: 'keep' },
      queue: { numbers: [100], whenOverloaded: 'accept', atMost: 100_000 },
    });
    expect(config.home.map((network) => network.text)).toEqual([
      '10.0.0.0/8',
      '172.16.0.0/12',
      '192.168.0.0/16',
      'fc00::/7',
    ]);
    expect(config.inactive).toEqual([]);
  });

  it('that is shipped means exactly what an empty file means', () => {
    const config = loadConfig(shipped);
    const empty = parseConfig('', 'empty.yaml');
    const { file: _1, policy, ...rest } = config;
    const { file: _2, policy: emptyPolicy, ...emptyRest } = empty;
    expect(rest).toEqual(emptyRest);
    const meaning = (lines: typeof policy) => lines.map(({ name, when, then }) => ({ name, when, then }));
    expect(meaning(policy)).toEqual(meaning(emptyPolicy));
    expect(config.inactive).toEqual([]);
  });

  it('that is shipped marks as (later) what is not acted on, and nothing else', () => {
    const marked = readFileSync(shipped, 'utf8')
      .split('\n\n')
      .flatMap((part) => part.split(/\n(?=\S| {2}\w)/).map((text, i, all) => ({ text, before: all[i - 1] ?? '' })))
      .flatMap(({ text, before }) => {
        const isMarked = text.includes('(later)') || (before.startsWith('#') && before.includes('(later)'));
        const key = /^ *(\w+):/.exec(text)?.[1];
        return isMarked && key !== undefined ? [key] : [];
      });
    expect(marked).toEqual(['backend', 'action', 'context', 'console']);
  });

  it('that is shipped quotes the line of each policy line', () => {
    const lines = readFileSync(shipped, 'utf8').split('\n');
    const config = loadConfig(shipped);
    expect(config.policy.length).toBeGreaterThan(3);
    for (const { name, line } of config.policy) expect(lines[line - 1]).toBe(`  - name: ${name}`);
  });

  it('is described by the JSON schema in the repository', () => {
    const file = new URL('../../../config/barricata.schema.json', import.meta.url);
    const advice = 'out of date: npm run build && node dist/config/write-schema.js';
    expect(readFileSync(file, 'utf8') === jsonSchemaText(), advice).toBe(true);
  });

  it('is read from a missing, an unreadable and a misnamed file with the path and the option', () => {
    const missing = join(folder, 'missing.yaml');
    const read = (file: string): ConfigError => {
      try {
        loadConfig(file);
      } catch (error) {
        return error as ConfigError;
      }
      throw new Error('it loads');
    };
    expect(read(missing)).toBeInstanceOf(ConfigError);
    expect(read(missing)).toMatchObject({
      kind: 'unreadable',
      message: `${missing}: no such file; check the path; --config FILE names another configuration`,
    });
    expect(read(folder)).toMatchObject({ kind: 'unreadable' });
    expect(read(folder).message).toContain('is a directory');
    if (process.getuid?.() !== 0) {
      const secret = join(folder, 'secret.yaml');
      writeFileSync(secret, '');
      chmodSync(secret, 0);
      expect(read(secret).message).toContain('run as root');
    }
    const latin = join(folder, 'latin.yaml');
    writeFileSync(latin, Buffer.from([0x23, 0xe9, 0x0a]));
    expect(read(latin)).toMatchObject({ kind: 'not_yaml' });
    expect(read(latin).message).toContain('save it as UTF-8');
  });

  it.each(['', '\n# only a comment\n', '---\n', '{}', '\ufeffmode: enforce\n'])('is all defaults from %j', (text) => {
    expect(parseConfig(text, 'x').mode).toBe('enforce');
  });

  it('is read from JSON, and with Windows line ends', () => {
    expect(parseConfig(JSON.stringify({ mode: 'observe', queue: { numbers: 7 } }), 'x').queue.numbers).toEqual([7]);
    expect(parseConfig('mode: observe\r\nqueue:\r\n  numbers: [7]\r\n', 'x').mode).toBe('observe');
  });

  it('has a version that follows its meaning, not its spelling, and not the name of the host', () => {
    const version = (text: string) => parseConfig(text, 'x').policyVersion;
    expect(version('')).toMatch(/^[0-9a-f]{12}$/);
    expect(version('# other\nhost: web1\nlimits: { total_bans: 1000000 }\notherwise: "note"')).toBe(version(''));
    expect(version('home: [10.0.0.0/8, "2001:0DB8:0::/32"]')).toBe(version('home: ["10.0.0.0/8", "2001:db8::/32"]'));
    expect(version('home: 10.0.0.0/8')).toBe(version('home: [10.0.0.0/8]'));
    const line = (when: string, then: string) => `policy: [{ name: a, when: { ${when} }, then: ${then} }]`;
    expect(version(line('sid: 1', 'ban 1h'))).toBe(version(line('sid: [1]', 'ban 60m')));
    const different = ['sid: 2', 'signature: x', 'signature: /x/', 'signature: /y/', 'sid_range: 1-2', 'meta.a: b'];
    const versions = different.map((when) => version(line(when, 'ban 1h')));
    expect(new Set([...versions, version(line('sid: 2', 'ban forever')), version('')]).size).toBe(versions.length + 2);
    // What this version does not act on is part of the file all the same.
    expect(version('quarantine: off')).not.toBe(version(''));
  });

  it('takes dates to the end of the day in its time zone, over a change of the clocks too', () => {
    const until = (zone: string, day: string) =>
      parseConfig(`time_zone: ${zone}\nnever_ban: [{ address: 203.0.113.9, until: ${day} }]`, 'x').neverBan.listed[0]
        ?.until;
    expect(until('UTC', '2026-12-31')).toBe(Date.parse('2027-01-01T00:00:00Z'));
    expect(until('Europe/Paris', '2026-12-31')).toBe(Date.parse('2026-12-31T23:00:00Z'));
    expect(until('America/St_Johns', '2026-07-01')).toBe(Date.parse('2026-07-02T02:30:00Z'));
    expect(until('Europe/Paris', '2026-03-29')).toBe(Date.parse('2026-03-29T22:00:00Z'));
    expect(until('Europe/Paris', '2026-03-28')).toBe(Date.parse('2026-03-28T23:00:00Z'));
    expect(until('Asia/Kathmandu', '2028-02-29')).toBe(Date.parse('2028-02-29T18:15:00Z'));
    expect(until('UTC', '2026-12-31T18:00:00+02:00')).toBe(Date.parse('2026-12-31T16:00:00Z'));
  });

  it('says on its own name that Redis can carry', () => {
    expect(parseConfig('host: auto', 'x').host).toMatch(/^[A-Za-z0-9._-]+$/);
    expect(problemsOf('host: "a:b"')).toHaveLength(1);
  });
});

describe('YAML that is broken', () => {
  it.each([
    ['mode: enforce\n\tx: 1', 2],
    ['home: [10.0.0.0/8\nmode: enforce', 2],
    ['mode: "enforce', 1],
    ['a: 1\n---\nb: 2', 2],
    ['queue: {}\nmode: enforce\n  run: /x', 2],
    ['mode: *nobody', 1],
  ])('is reported with its line: %j', (text, line) => {
    const error = errorOf(text);
    expect(error.kind).toBe('not_yaml');
    expect(error.problems[0]?.line).toBe(line);
    expect(error.problems[0]?.fix).not.toBe('');
  });

  it('with a tab says to use spaces', () => {
    expect(problemsOf('filter:\n\tsyn: off').join()).toContain('indent with spaces');
  });

  it('with a key twice names it, together with everything else that is wrong', () => {
    expect(problemsOf('mode: observe\nqueue: { numbers: [1] }\nmode: enforce\nrun: here')).toEqual([
      '3 : the key "mode" is written twice; keep one of the two',
      '4 run: "here" is not a full path; write a path that begins with /',
    ]);
  });

  it.each(['- mode', 'enforce', '[]', '42'])('that is no mapping is refused: %s', (text) => {
    expect(problemsOf(text)[0]).toContain('is not a mapping');
  });

  it('that grows without bound through aliases is refused', () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) => `a${i}: &a${i} [${i === 0 ? 'x' : `*a${i - 1}, *a${i - 1}, *a${i - 1}, *a${i - 1}`}]`,
    );
    expect(errorOf(levels.join('\n')).kind).toBe('not_yaml');
  });

  it('with a text that begins with a star says to quote it', () => {
    expect(problemsOf('suricata:\n  eve: *.json')).toEqual([
      '2 : *.json stands for nothing; write &.json before the value it stands for, or put quotes around a text that begins with *',
    ]);
  });

  it('with a circle of aliases is judged like any other', () => {
    expect(problemsOf('home: &home [*home]')[0]).toContain('home[0]');
    expect(problemsOf('queue: &q { numbers: *q }')[0]).toContain('queue.numbers');
  });

  it('with the keys of objects in it changes nothing', () => {
    expect(problemsOf('__proto__: { mode: off }\nconstructor: 1').join()).toContain('unknown key');
    expect(({} as Record<string, unknown>)['mode']).toBeUndefined();
    expect(problemsOf('policy: [{ name: a, when: { constructor: 1, sid: 1 }, then: note }]')[0]).toContain(
      'unknown key',
    );
  });
});
