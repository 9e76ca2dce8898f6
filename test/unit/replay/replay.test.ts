import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { parseConfig } from '../../../src/config/load.js';
import { prefix } from '../../../src/net/prefix.js';
import type { DecisionContext } from '../../../src/policy/context.js';
import { temporaryDirectory } from '../../support/eve.js';
import {
  attack,
  connection,
  harmless,
  http,
  linesOf,
  replayFiles,
  START,
  shipped,
  stamp,
  tls,
} from '../../support/replay.js';

const folder = temporaryDirectory();
let files = 0;

function file(content: string | Buffer): string {
  files += 1;
  const path = join(folder, `eve-${files}.json`);
  writeFileSync(path, content);
  return path;
}

const replayed = (records: readonly unknown[], options: Parameters<typeof replayFiles>[1] = {}) =>
  replayFiles([file(linesOf(records))], options);

const iso = (minute: number) => new Date(START + minute * 60_000).toISOString();

function policy(text: string) {
  return { ...shipped, ...parseConfig(text, 'candidate.yaml'), home: shipped.home };
}

describe('a replay', () => {
  it('says who would be banned, by which line, for how long and why', async () => {
    const report = await replayed([attack(0), harmless(1), attack(2, { id: 2 })]);
    expect(report).toMatchObject({ alerts: 3, ignored: 0, noted: 1, flagged: 0, banned: 2, unusable: {} });
    expect(report.bans).toEqual([
      expect.objectContaining({
        address: '203.0.113.66',
        sid: 2019232,
        policy: 'web exploitation',
        at: iso(0),
        until: iso(62),
        times: 1,
        alerts: 2,
        proven: true,
        proof: 'app',
        target: '192.168.50.10',
        resolvedBy: 'direction to_server',
      }),
    ]);
    expect(report.bans[0]?.line).toBe(shipped.policy.find(({ name }) => name === 'web exploitation')?.line);
    expect(report.bans[0]?.line).toBeGreaterThan(0);
  });

  it('bans again, and longer, an address that attacks after its ban', async () => {
    const { bans } = await replayed([attack(0), attack(90, { id: 2 })]);
    expect(bans).toEqual([expect.objectContaining({ times: 2, bannedFor: 3600 + 4 * 3600, until: iso(90 + 240) })]);
  });

  it('bans the /64 at its third address, and finds what that cuts', async () => {
    const from = (n: number) => ({ id: n, from: `2001:db8:bad:1::${n}`, to: 'fd00::10' });
    const { bans } = await replayed([attack(0, from(1)), attack(1, from(2)), attack(2, from(3)), http(3, from(9))]);
    expect(bans.map(({ address }) => address)).toEqual([
      '2001:db8:bad:1::1',
      '2001:db8:bad:1::2',
      '2001:db8:bad:1::/64',
    ]);
    expect(bans[2]?.collateral).toMatchObject({ events: 1, http: 1 });
  });

  it('takes the alerts of all files in the order of their time', async () => {
    const early = linesOf([attack(0), attack(10, { id: 2 })]);
    const late = linesOf([attack(5, { id: 3 }, { signature_id: 7 }), attack(55, { id: 4 })]);
    const one = await replayFiles([file(early), file(late)]);
    const other = await replayFiles([file(late), file(early)]);
    expect(other).toEqual(one);
    expect(one.bans).toEqual([expect.objectContaining({ at: iso(0), until: iso(115), sid: 2019232, alerts: 4 })]);
    const shuffled = await replayed([attack(55), attack(0), attack(10), attack(5)]);
    expect(shuffled.bans).toEqual([expect.objectContaining({ at: iso(0), until: iso(115) })]);
  });

  it('stops at the limits as the daemon does, by the time of the events', async () => {
    const config = { ...shipped, limits: { ...shipped.limits, newBansPerMinute: 2 } };
    const from = (n: number) => ({ id: n, from: `203.0.113.${n}` });
    const records = [1, 2, 3, 4].map((n) => attack(n / 100, from(n)));
    const report = await replayed([...records, attack(30, from(5))], { config });
    expect(report.bans.map(({ address }) => address)).toEqual(['203.0.113.1', '203.0.113.2', '203.0.113.5']);
    expect(report.wouldBans.map(({ address }) => address)).toEqual(['203.0.113.3', '203.0.113.4']);
    expect(report.wouldBans[0]).toMatchObject({ why: expect.stringContaining('new_bans_per_minute') });
  });

  it('protects a listed network until its day, by the time of the events', async () => {
    const entry = {
      prefix: prefix('203.0.113.0/24'),
      line: 0,
      reason: 'test',
      ticket: null,
      until: START + 10 * 60_000,
    };
    const config = { ...shipped, neverBan: { ...shipped.neverBan, listed: [entry] } };
    const report = await replayed([attack(5), attack(15, { id: 2 })], { config });
    expect(report).toMatchObject({ refused: 1, banned: 1 });
    expect(report.bans[0]?.at).toBe(iso(15));
  });

  it('holds new rules back on request, until their age and hits suffice', async () => {
    const config = { ...shipped, quarantine: { age: 3600, hits: 2 } };
    const facts = { flow: null } as unknown as ReturnType<DecisionContext['ruleFacts']>;
    const ruleFacts = (sid: number) => (sid === 2019232 ? facts : null);
    const from = (n: number) => ({ id: n, from: `203.0.113.${n}` });
    const records = [
      attack(0, from(1)),
      attack(10, from(2), { signature_id: 7 }),
      attack(20, from(3)),
      attack(70, from(4)),
    ];
    const report = await replayed(records, { config, ruleFacts, quarantine: true });
    expect(report.wouldBans.map(({ address }) => address)).toEqual(['203.0.113.1', '203.0.113.3']);
    expect(report.bans.map(({ address }) => address)).toEqual(['203.0.113.2', '203.0.113.4']);
    expect((await replayed(records, { config, ruleFacts })).bans).toHaveLength(4);
  });

  it('takes only the alerts of a time before the newest record', async () => {
    const report = await replayed([attack(0), attack(100, { from: '203.0.113.7' }), http(130)], { since: 3600 });
    expect(report).toMatchObject({ alerts: 1, olderThanSince: 1 });
    expect(report.bans.map(({ address }) => address)).toEqual(['203.0.113.7']);
  });

  it('reads times without an offset as UTC, and says how many', async () => {
    const bare = { ...attack(0), timestamp: stamp(0).slice(0, -5) };
    const report = await replayed([bare]);
    expect(report).toMatchObject({ assumedUtc: 1, unusable: {} });
    expect(report.bans[0]?.at).toBe(iso(0));
  });

  it('counts what cannot be used by its cause', async () => {
    const text = [
      JSON.stringify(attack(0)),
      JSON.stringify({ ...attack(0), src_ip: null, dest_ip: null }),
      JSON.stringify({ ...http(0), src_ip: null }),
      JSON.stringify({ ...attack(0), src_ip: '300.1.2.3' }),
      JSON.stringify({ ...attack(0), timestamp: 17 }),
      JSON.stringify(attack(0, {}, { signature_id: '7' })),
      JSON.stringify({ ...attack(0), alert: null }),
      JSON.stringify(attack(0)).slice(0, 300),
      'null',
      'no json',
      '',
      JSON.stringify({ ...http(0), fileinfo: {} }).slice(0, -1),
    ].join('\n');
    const report = await replayFiles([file(text)]);
    expect(report.alerts).toBe(1);
    expect(report.unusable).toEqual({
      bad_address: 1,
      no_addresses: 2,
      no_sid: 1,
      no_timestamp: 1,
      not_an_alert: 1,
      not_an_object: 1,
      not_json: 1,
      truncated: 2,
    });
  });

  it('uses the last line where only its newline is missing', async () => {
    expect(await replayFiles([file(linesOf([attack(0)]).trimEnd())])).toMatchObject({ alerts: 1, unusable: {} });
  });

  it('counts next to it what a ban of every sender would do', async () => {
    const reply = { ...attack(1), src_ip: '192.168.50.10', dest_ip: '203.0.113.66', direction: 'to_client' };
    const multicast = attack(2, { from: 'ff02::1' });
    const report = await replayed([attack(0), reply, multicast, harmless(3, { from: '203.0.113.9' })], {
      compareNaive: true,
    });
    expect(report.naive).toMatchObject({ external: 1, own: 1, special: 1 });
    expect(report.bans).toHaveLength(1);
  });

  it('is none on an empty file', async () => {
    expect(await replayFiles([file('')])).toMatchObject({ alerts: 0, bans: [], first: null, unusable: {} });
  });
});

describe('inputs', () => {
  const records = [attack(0), http(1, { id: 900 }), harmless(2), attack(3, { from: '203.0.113.7', id: 2 })];
  const plain = linesOf(records);
  const shapes: Record<string, string | Buffer> = {
    'gzip of lines': gzipSync(plain),
    'gzip in two members': Buffer.concat([gzipSync(plain.slice(0, 900)), gzipSync(plain.slice(900))]),
    'an array': JSON.stringify(records),
    'a printed array': JSON.stringify(records, null, 2),
    'gzip of an array': gzipSync(JSON.stringify(records)),
    'printed records': records.map((record) => JSON.stringify(record, null, 4)).join('\n'),
    'lines that end as on Windows': plain.replaceAll('\n', '\r\n'),
    'lines after a byte order mark': `\ufeff${plain}`,
    'lines with spaces': plain.replaceAll('":', '": ').replaceAll(',"', ', "'),
  };
  for (const [name, content] of Object.entries(shapes)) {
    it(`are told by their content: ${name}`, async () => {
      const expected = await replayFiles([file(plain)]);
      expect(expected.bans).toHaveLength(2);
      expect(expected.bans[0]?.collateral?.events).toBe(1);
      expect(await replayFiles([file(content)])).toEqual(expected);
    });
  }

  it('that were cut within gzip end where they were cut', async () => {
    const many = gzipSync(
      linesOf(Array.from({ length: 200 }, (_, n) => attack(n / 60, { id: n, from: `198.51.100.${n}` }))),
    );
    const report = await replayFiles([file(many.subarray(0, many.length / 2))]);
    expect(report.alerts).toBeGreaterThan(10);
    expect(report.alerts).toBeLessThan(200);
    expect(report.unusable).toEqual({ truncated: 1 });
  });

  it.each([
    ['bzip2', 'BZh91AY', /bzip2 -dc/],
    ['xz', Buffer.from('fd377a585a000004', 'hex'), /xz -dc/],
    ['Zstandard', Buffer.from('28b52ffd04', 'hex'), /zstd -dc/],
    ['a compressed capture', gzipSync(Buffer.from('d4c3b2a102000400', 'hex')), /gzip -dc/],
    ['damaged gzip', Buffer.concat([Buffer.from('1f8b0800', 'hex'), Buffer.alloc(40, 7)]), /damaged/],
  ])('of %s are refused with the command that helps', async (_name, content, message) => {
    await expect(replayFiles([file(content)])).rejects.toThrow(message);
  });

  it('that are not there are named', async () => {
    await expect(replayFiles([join(folder, 'absent')])).rejects.toThrow(/absent: no such file/);
    await expect(replayFiles([folder])).rejects.toThrow(/is a directory/);
  });
});

describe('collateral', () => {
  const client = { id: 900 };
  const cut = async (...records: readonly unknown[]) => (await replayed([attack(0), ...records])).bans[0]?.collateral;

  it('is what worked between the beginning and the end of the ban', async () => {
    const found = await cut(
      http(-1, client),
      http(1, client),
      tls(59, client),
      http(61, client),
      http(30, client, 404),
      http(31, { ...client, from: '203.0.113.7' }),
    );
    expect(found).toMatchObject({ events: 2, http: 1, tls: 1, flow: 0, first: iso(1), last: iso(59) });
    expect(found?.ends).toEqual([
      { inside: '192.168.50.10', port: 80, events: 1 },
      { inside: '192.168.50.10', port: 443, events: 1 },
    ]);
    expect(found?.examples[0]).toEqual({
      at: iso(1),
      kind: 'http',
      inside: '192.168.50.10',
      what: 'GET www.example.org/ 200',
    });
  });

  it('has the connections that lasted into the ban, also those that we opened', async () => {
    const ours = { id: 902, from: '192.168.50.10', to: '203.0.113.66', port: 443 };
    const found = await cut(
      connection(-20, 5, client),
      connection(-20, -1, { id: 901 }),
      connection(70, 80, { id: 903 }),
      connection(10, 11, ours),
    );
    expect(found).toMatchObject({ events: 2, flow: 2 });
    expect(found?.ends.map(({ inside, port }) => [inside, port])).toEqual([
      ['192.168.50.10', 80],
      ['192.168.50.10', 443],
    ]);
  });

  it('has no scans, no unanswered packets and no flow that raised an alert', async () => {
    const none = await cut(
      connection(1, 2, { id: 1 }),
      http(0, { id: 1 }),
      connection(1, 2, { id: 904 }, { pkts_toserver: 3, pkts_toclient: 1 }),
      connection(1, 2, { id: 905 }, { pkts_toserver: 9, pkts_toclient: 9, state: 'new' }),
    );
    expect(none).toBeNull();
  });

  it('is found wherever it stands, also before the alert that makes the ban and in another file', async () => {
    const alone = file(linesOf([http(5, client)]));
    const { bans } = await replayFiles([alone, file(linesOf([http(7, client), attack(0)]))]);
    expect(bans[0]?.collateral).toMatchObject({ http: 2, first: iso(5), last: iso(7) });
  });
});

describe('two policies', () => {
  const strict = policy('policy: [{ name: all, when: { severity: 1-3, proven: true, from: outside }, then: ban 2h }]');

  it('differ in who is banned, and the other one says why', async () => {
    const records = [attack(0), harmless(1, { from: '203.0.113.9', id: 2 })];
    const report = await replayed(records, { config: strict, against: shipped });
    expect(report.against).toMatchObject({
      added: [{ address: '203.0.113.9', why: expect.stringContaining('noted') }],
      removed: [],
      changed: [{ address: '203.0.113.66', before: 3600, after: 7200 }],
    });
    const back = await replayed(records, { config: shipped, against: strict });
    expect(back.against).toMatchObject({
      removed: [{ address: '203.0.113.9', why: expect.stringContaining('no policy line matched') }],
      added: [],
      bans: [{ address: '203.0.113.66' }, { address: '203.0.113.9' }],
    });
  });

  it('do not differ where they are the same', async () => {
    const report = await replayed([attack(0)], { against: shipped });
    expect(report.against).toMatchObject({ added: [], removed: [], changed: [] });
  });
});

describe('the day of the replay', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('changes nothing', async () => {
    const path = file(linesOf([attack(0), http(1, { id: 9 }), attack(90, { id: 2 }), harmless(91)]));
    const options = { against: shipped, compareNaive: true, since: 86_400 };
    const today = JSON.stringify(await replayFiles([path], options));
    for (const day of ['1999-12-31T23:59:59Z', '2038-01-19T03:14:08Z']) {
      vi.useFakeTimers({ now: new Date(day), toFake: ['Date'] });
      expect(JSON.stringify(await replayFiles([path], options))).toBe(today);
    }
  });
});
