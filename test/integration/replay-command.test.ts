/** `barricata replay` as it is installed: captures through the real Suricata, pipes, time zones, policies of all kinds. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { ReplayReport } from '../../src/replay/report.js';
import { captureOf } from '../support/capture.js';
import { program } from '../support/daemon.js';
import { temporaryDirectory } from '../support/eve.js';
import { hasFeatures } from '../support/feature.js';
import { attack, connection, harmless, http, linesOf, stamp } from '../support/replay.js';

const folder = temporaryDirectory();
/** Where the command makes its private directories. */
const scratch = join(folder, 'tmp');
mkdirSync(scratch);

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

interface Run {
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string | Buffer;
}

function run({ args, env = {}, input = '' }: Run) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'replay', ...args], {
    encoding: 'utf8',
    input,
    env: { ...process.env, TMPDIR: scratch, ...env },
  });
  return { code: status, out: stdout, err: stderr };
}

/** Runs with `-o json`; no configuration of this machine takes part. */
function report(...args: readonly string[]): ReplayReport {
  const { code, out, err } = run({ args: [...args, '-o', 'json'] });
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out);
}

const addresses = ({ bans }: ReplayReport) => bans.map(({ address }) => address);

const eve = file(
  'eve.json',
  linesOf([attack(0), http(5, { id: 9 }), connection(5, 6, { id: 10 }), harmless(7, { from: '203.0.113.9' })]),
);

describe('the replay command', () => {
  it('prints one row a ban in a pipe, and what it is about beside it', () => {
    const { code, out, err } = run({ args: [eve] });
    expect(code).toBe(0);
    const [titles, row, ...rest] = out.trim().split('\n');
    expect(titles?.split('\t')).toContain('WOULD CUT');
    expect(row).toContain('203.0.113.66\tban\t');
    expect(rest).toEqual([]);
    expect(err).toContain('alerts 2  ignored 0  noted 1  flagged 0  bans 1');
  });

  it('shows people the bans, the benign traffic they cut and what banned nobody', () => {
    const { out } = run({ args: [eve, '-o', 'table', '--compare-naive'] });
    expect(out).toMatch(/203\.0\.113\.66 .* web exploit/);
    expect(out).toContain('1 flows, 1 http, 0 tls');
    expect(out).toContain('GET www.example.org/ 200');
    expect(out).toMatch(/2002825 .* note/);
    expect(out).toContain('would ban 1 address: 1 external, 0 own, 0 special');
  });

  it('never lets what an attacker wrote move the cursor', () => {
    const record = http(1, { id: 11 });
    const hostile = { ...record, http: { ...record.http, url: '/\u001b[2J\u202e' } };
    const { out } = run({ args: [file('hostile.json', linesOf([attack(0), hostile])), '-o', 'table'] });
    expect(out).toContain('\\u001b[2J\\u202e');
    expect(out).not.toContain('\u001b');
  });

  it('gives the same bytes twice, in any time zone', () => {
    const outputs = ['UTC', 'Pacific/Kiritimati', 'America/St_Johns'].flatMap((TZ) =>
      ['json', 'table', 'tsv'].map((form) => `${form} ${run({ args: [eve, '-o', form], env: { TZ } }).out}`),
    );
    expect(new Set([...outputs, ...outputs]).size).toBe(3);
  });

  it('reads standard input and pipes, and leaves nothing behind', () => {
    const input = gzipSync(linesOf([attack(0), http(1, { id: 9 })]));
    const { code, out } = run({ args: ['-', '-o', 'json'], input });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ banned: 1, bans: [{ collateral: { http: 1 } }] });
    // As `<(gzip -dc ...)` of a shell: a name of something that can be read only once.
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const writer = spawn('sh', ['-c', 'cat "$0" > "$1"', file('piped.json.gz', input), pipe]);
    const piped = run({ args: [pipe, '-o', 'json'] });
    writer.kill();
    expect(JSON.parse(piped.out)).toEqual(JSON.parse(out));
    expect(readdirSync(scratch)).toEqual([]);
  });

  it('decides by a whole file, by a policy alone, and by the home on the command line', () => {
    const part = file('part.yaml', 'policy:\n  - name: all of them\n    when: { severity: 1-3 }\n    then: ban 5m\n');
    const whole = file('whole.yaml', `home: [203.0.113.0/24]\n${'policy: []\n'}`);
    const config = file('config.yaml', 'home: [192.168.50.0/24]\nnever_ban: [home, 203.0.113.66]\n');
    expect(addresses(report(eve, '--policy', part))).toEqual(['203.0.113.66', '203.0.113.9']);
    expect(report(eve, '--policy', part).bans[0]).toMatchObject({ policy: 'all of them', line: 2, bannedFor: 300 });
    expect(addresses(report(eve, '--policy', part, '--config', config))).toEqual(['203.0.113.9']);
    expect(addresses(report(eve, '--config', config))).toEqual([]);
    expect(addresses(report(eve, '--policy', whole))).toEqual([]);
    expect(addresses(report(eve, '--home', '203.0.113.0/24'))).toEqual([]);
    expect(addresses(report(eve, '--home', '192.168.50.0/24', '--home', 'fd00::/8'))).toEqual(['203.0.113.66']);
  });

  it('compares two policies', () => {
    const part = file('none.yaml', 'policy: []\notherwise: note\n');
    const result = report(eve, '--policy', part, '--against', 'current');
    expect(result.bans).toEqual([]);
    expect(result.against).toMatchObject({ added: [], removed: [{ address: '203.0.113.66' }] });
    const { out } = run({ args: [eve, '--policy', part, '--against', 'current', '-o', 'table'] });
    expect(out).toContain('bans 0 (current policy: 1)');
    expect(out).toContain('- 203.0.113.66  no longer banned');
  });

  it('finds direction and thresholds in rules', () => {
    const record = { ...attack(0, { port: 4321 }), direction: undefined };
    const bare = file('bare.json', linesOf([record]));
    const rule = 'alert tcp any any -> any any (msg:"t"; flow:established,to_server; sid:2019232; rev:2;)\n';
    expect(addresses(report(bare))).toEqual([]);
    expect(addresses(report(bare, '--rules', file('to-server.rules', rule)))).toEqual(['203.0.113.66']);
  });

  it.each([
    [['absent.json'], /absent\.json: no such file/],
    [[eve, '--since', 'yesterday'], /--since yesterday/],
    [[eve, '--home', '192.168.50.1/24'], /192\.168\.50/],
    [[eve, '--against', 'current'], /--policy FILE/],
    [[eve, '--rules', 'absent.rules'], /absent\.rules/],
    [[eve, '--policy', 'absent.yaml'], /absent\.yaml/],
    [[eve, '--quarantine'], /--rules FILE/],
    [['-', '-'], /only once/],
    [[], /missing required argument/],
  ])('refuses %j', (args, message) => {
    const { code, err, out } = run({ args });
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at /);
  });

  it('says what is missing where Suricata is not installed', () => {
    const capture = file('alone.pcap', captureOf([]));
    const rules = file('one.rules', 'alert ip any any -> any any (sid:1;)\n');
    const { code, err } = run({ args: [capture, '--rules', rules], env: { PATH: '/nowhere' } });
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('apt install suricata') });
  });
});

describe.skipIf(!hasFeatures('suricata'))('a capture', () => {
  const at = Date.parse(stamp(0).slice(0, 19).concat('Z')) / 1000;
  const inside = '192.168.50.10';
  const visits = [
    { at: at - 600, client: '203.0.113.66', server: inside, clientPort: 40_001, path: '/before' },
    { at, client: '203.0.113.66', server: inside, clientPort: 40_002, path: '/cgi-bin/../../etc/passwd' },
    { at: at + 60, client: '203.0.113.66', server: inside, clientPort: 40_003, path: '/after' },
    { at: at + 90, client: '198.51.100.7', server: inside, clientPort: 40_004, path: '/innocent' },
  ];
  const rules = file(
    'capture.rules',
    'alert http $EXTERNAL_NET any -> $HOME_NET $HTTP_PORTS (msg:"TEST path"; flow:established,to_server; ' +
      'http.uri.raw; content:"etc/passwd"; classtype:web-application-attack; sid:1000001; rev:1;)\n',
  );

  it('is read by Suricata, and decided as its eve log', () => {
    const capture = file('visits.pcap', captureOf(visits));
    const result = report(capture, '--rules', rules);
    expect(result).toMatchObject({ alerts: 1, banned: 1 });
    expect(result.bans).toEqual([
      expect.objectContaining({ address: '203.0.113.66', sid: 1_000_001, proven: true, target: inside }),
    ]);
    expect(result.bans[0]?.collateral).toMatchObject({ http: 1, flow: 1, tls: 0 });
    expect(result.bans[0]?.collateral?.examples.map(({ what }) => what)).toContain('GET www.example.org/after 200');
    expect(report(capture, '--rules', rules)).toEqual(result);
    expect(readdirSync(scratch)).toEqual([]);
  });

  it('takes the home of the replay for the variables of its rules', () => {
    const capture = file('visits-2.pcap', captureOf(visits));
    expect(report(capture, '--rules', rules, '--home', '10.0.0.0/8').alerts).toBe(0);
  });

  it('needs rules, and a readable file', () => {
    const capture = file('visits-3.pcap', captureOf(visits));
    expect(run({ args: [capture] })).toMatchObject({ code: 2, err: expect.stringContaining('--rules FILE') });
    const torn = file('torn.pcap', captureOf(visits).subarray(0, 20));
    expect(run({ args: [torn, '--rules', rules] })).toMatchObject({
      code: 2,
      err: expect.stringContaining('torn.pcap'),
    });
  });
});
