import { readFileSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { FOREVER } from '../../../src/base/clock.js';
import type { AlertRow } from '../../../src/history/alert-row.js';
import { HOUR_MS } from '../../../src/history/segment.js';
import { prefix } from '../../../src/net/prefix.js';
import { removeTemporaryDirectories, temporaryDirectory } from '../../support/eve.js';
import { closeHistories, contact, decided, flipBytes, HistoryLab } from '../../support/history.js';

afterAll(async () => {
  await closeHistories();
  removeTemporaryDirectories();
});

const candidates = (rows: readonly AlertRow[]) => rows.map(({ candidate }) => candidate);

describe('history of alerts', () => {
  it('gives back an alert with its decision, its steps and its end, as it was', async () => {
    const lab = new HistoryLab();
    const one = decided(
      '203.0.113.66',
      { at: lab.clock.now() - 2000, metadata: { confidence: ['High'] }, xff: null },
      { kind: 'would_ban', why: 'observe', ban: { until: FOREVER } as never },
    );
    lab.recorder.add({ ...one, outcome: 'stored' });
    await lab.recorder.flush();
    const { rows, alerts, more, damaged, lost } = await lab.history.alerts({});
    expect({ alerts, more, damaged, lost }).toEqual({ alerts: 1, more: false, damaged: 0, lost: 0 });
    expect(rows).toEqual([
      {
        first: lab.clock.now() - 2000,
        last: lab.clock.now() - 2000,
        count: 1,
        kind: 'would_ban',
        outcome: 'stored',
        candidate: '203.0.113.66',
        alert: one.alert,
        detection: null,
        steps: one.decision.steps,
        until: FOREVER,
        policyVersion: '0123456789ab',
      },
    ]);
  });

  it('gives back a detection of the packet filter', async () => {
    const lab = new HistoryLab();
    const at = lab.clock.now();
    const detection = { detector: 'syn_rate', source: '2001:db8::/64', target: '10.0.0.5', at } as const;
    lab.recorder.add({
      ...decided('2001:db8::/64'),
      alert: null,
      detection: { ...detection, count: 900, window: 3, ban: 600, proof: null, knownGood: null },
    });
    await lab.recorder.flush();
    const found = await lab.history.alerts({ address: prefix('2001:db8::5') });
    expect(found.rows).toMatchObject([{ alert: null, detection, candidate: '2001:db8::/64' }]);
    expect((await lab.history.alerts({ address: prefix('2001:db8:0:1::5') })).rows).toEqual([]);
  });

  it('joins what repeats, and keeps apart what differs in signature, ends, decision or outcome', async () => {
    const lab = new HistoryLab();
    const T = lab.clock.now();
    lab.add('203.0.113.66', { at: T - 3000 });
    lab.add('203.0.113.66', { at: T - 1000 });
    lab.add('203.0.113.66', { at: T - 2000, sid: 7 });
    lab.add('203.0.113.67', { at: T - 500 });
    lab.add('203.0.113.66', { at: T - 400 }, { kind: 'ignore' });
    lab.recorder.add({ ...decided('203.0.113.66', { at: T }), outcome: 'suppressed' });
    await lab.recorder.flush();
    const { rows } = await lab.history.alerts({});
    expect(rows.map((row) => [row.count, row.alert?.sid, row.candidate, row.kind, row.outcome])).toEqual([
      [1, 2019232, '203.0.113.66', 'note', 'suppressed'],
      [1, 2019232, '203.0.113.66', 'ignore', 'none'],
      [1, 2019232, '203.0.113.67', 'note', 'none'],
      [2, 2019232, '203.0.113.66', 'note', 'none'],
      [1, 7, '203.0.113.66', 'note', 'none'],
    ]);
    expect(rows[3]).toMatchObject({ first: T - 3000, last: T - 1000 });
  });

  it('answers by address of either end, network, signature, decision and time', async () => {
    const lab = new HistoryLab();
    const T = lab.clock.now();
    lab.add('203.0.113.1', { at: T - 60_000, sid: 1 });
    lab.add('203.0.113.2', { at: T - 30_000, sid: 2 }, { kind: 'ban', ban: { until: T } as never });
    lab.add('198.51.100.3', { at: T, sid: 2 });
    await lab.recorder.flush();
    const found = async (query: Parameters<typeof lab.history.alerts>[0]) =>
      candidates((await lab.history.alerts(query)).rows);
    expect(await found({ address: prefix('203.0.113.2') })).toEqual(['203.0.113.2']);
    expect(await found({ address: prefix('192.168.50.10') })).toHaveLength(3);
    expect(await found({ address: prefix('203.0.113.0/24') })).toEqual(['203.0.113.2', '203.0.113.1']);
    expect(await found({ address: prefix('203.0.112.0/22') })).toEqual(['203.0.113.2', '203.0.113.1']);
    expect(await found({ address: prefix('203.0.0.0/15') })).toEqual(['203.0.113.2', '203.0.113.1']);
    expect(await found({ address: prefix('203.0.113.2/31') })).toEqual(['203.0.113.2']);
    expect(await found({ address: prefix('203.0.114.0/24') })).toEqual([]);
    expect(await found({ address: prefix('203.0.113.9') })).toEqual([]);
    expect(await found({ address: prefix('192.168.50.10'), judged: true })).toEqual([]);
    expect(await found({ address: prefix('203.0.113.2'), judged: true })).toEqual(['203.0.113.2']);
    expect(await found({ sid: 2 })).toEqual(['198.51.100.3', '203.0.113.2']);
    expect(await found({ sid: 2, gid: 3 })).toEqual([]);
    expect(await found({ sid: 2, decision: 'ban' })).toEqual(['203.0.113.2']);
    expect(await found({ sid: 1, decision: 'ban' })).toEqual([]);
    expect(await found({ decision: 'note' })).toEqual(['198.51.100.3', '203.0.113.1']);
    expect(await found({ since: T - 30_000 })).toEqual(['198.51.100.3', '203.0.113.2']);
    expect(await found({ until: T - 30_000 })).toEqual(['203.0.113.2', '203.0.113.1']);
  });

  it('gives the newest when there are more than asked for, and says that there are', async () => {
    const lab = new HistoryLab();
    for (let i = 0; i < 1500; i++) {
      lab.add(`203.0.${i >> 8}.${i & 255}`, { at: lab.clock.now() + i });
      if (i % 400 === 399) {
        await lab.clock.advance(HOUR_MS);
        await lab.recorder.flush();
      }
    }
    await lab.recorder.flush();
    const { rows, more } = await lab.history.alerts({ limit: 700 });
    expect({ rows: rows.length, more }).toEqual({ rows: 700, more: true });
    const all = await lab.history.alerts({ limit: 1500 });
    expect(all).toMatchObject({ more: false, alerts: 1500 });
    expect(candidates(all.rows).slice(0, 700).sort()).toEqual(candidates(rows).sort());
    const streamed: AlertRow[] = [];
    for await (const part of lab.history.everyAlert({})) streamed.push(...part);
    expect(candidates(streamed)).toEqual(candidates(all.rows).reverse());
  });

  it('finds rows again after the clock was set back, and those of a sensor whose clock is ahead', async () => {
    const lab = new HistoryLab();
    const T = lab.clock.now();
    lab.add('203.0.113.1', { at: T + 86_400_000 });
    lab.clock.setWall(T - 5 * HOUR_MS);
    await lab.recorder.flush();
    lab.add('203.0.113.2');
    await lab.recorder.flush();
    expect(candidates((await lab.history.alerts({})).rows)).toEqual(['203.0.113.1', '203.0.113.2']);
    expect(candidates((await lab.history.alerts({ since: T })).rows)).toEqual(['203.0.113.1']);
    expect(candidates((await lab.history.alerts({ since: T - 6 * HOUR_MS, until: T - 1 })).rows)).toEqual([
      '203.0.113.2',
    ]);
  });

  it('says from when on it is complete, and nothing when there is none', async () => {
    const lab = new HistoryLab();
    expect(await lab.history.alerts({})).toEqual({
      rows: [],
      alerts: 0,
      more: false,
      completeFrom: null,
      damaged: 0,
      lost: 0,
    });
    const began = lab.clock.now();
    for (let hour = 0; hour < 3; hour++) {
      lab.add('203.0.113.1');
      await lab.recorder.flush();
      await lab.clock.advance(HOUR_MS);
    }
    expect((await lab.history.alerts({ since: lab.clock.now() - HOUR_MS })).completeFrom).toBe(began);
  });
});

describe('damaged history', () => {
  async function written(): Promise<HistoryLab> {
    const lab = new HistoryLab();
    for (let block = 0; block < 5; block++) {
      lab.add(`203.0.113.${block}`);
      await lab.recorder.flush();
    }
    return lab;
  }

  it('costs the block that is hit and is counted, wherever the bytes turned', async () => {
    const lab = await written();
    for (const ending of ['.alerts', '.alerts.index']) {
      const [path] = lab.files(ending) as [string];
      const bytes = readFileSync(path);
      for (let at = 0; at < bytes.length; at += 13) {
        flipBytes(path, bytes, at, 1);
        const { rows, damaged } = await lab.history.alerts({});
        expect({ at, rows: rows.length, damaged }).toEqual({ at, rows: 4, damaged: 1 });
      }
      flipBytes(path, bytes, 0, 0);
    }
    expect((await lab.history.alerts({})).rows).toHaveLength(5);
  });

  it('is read as far as it goes when a file ends early or is gone', async () => {
    const lab = await written();
    const [data] = lab.files('.alerts') as [string];
    truncateSync(data, readFileSync(data).length - 1);
    expect(await lab.history.alerts({})).toMatchObject({ rows: { length: 4 }, damaged: 1 });
    unlinkSync(data);
    expect((await lab.history.alerts({})).rows).toEqual([]);
  });
});

describe('history of contacts', () => {
  it('sums who spoke to whom by the hour, seen from either side', async () => {
    const lab = new HistoryLab();
    const hour = Math.floor(lab.clock.now() / HOUR_MS) * HOUR_MS;
    const add = (from: string, to: string, more: object = {}) =>
      lab.recorder.addContact(contact(from, to, { hour, ...more }));
    add('203.0.113.1', '10.0.0.5', { bytes: 100 });
    add('203.0.113.1', '10.0.0.5', { bytes: 50 });
    add('203.0.113.1', '10.0.0.5', { flows: 0, bytes: 0, replies: 1 });
    add('203.0.113.1', '10.0.0.5', { bytes: 7, hour: hour - HOUR_MS });
    add('203.0.113.1', '10.0.0.6', { port: 22 });
    add('10.0.0.7', '203.0.113.1', { port: 53 });
    add('2001:db8::1', '10.0.0.5');
    add('10.0.0.5', '10.0.0.6');
    add('203.0.113.1', '198.51.100.1');
    await lab.recorder.flush(true);
    const { contacts } = await lab.history.contacts({ address: prefix('203.0.113.1') });
    const row = { outside: '203.0.113.1', first: hour, last: hour + HOUR_MS, flows: 1, bytes: 1000, replies: 0 };
    expect(contacts).toHaveLength(3);
    expect(contacts[0]).toEqual({
      ...row,
      inside: '10.0.0.5',
      port: 443,
      opened: 'outside',
      first: hour - HOUR_MS,
      flows: 3,
      bytes: 157,
      replies: 1,
    });
    expect(contacts).toContainEqual({ ...row, inside: '10.0.0.6', port: 22, opened: 'outside' });
    expect(contacts).toContainEqual({ ...row, inside: '10.0.0.7', port: 53, opened: 'inside' });
    const of = async (address: string, since?: number) =>
      (await lab.history.contacts({ address: prefix(address), since })).contacts.length;
    expect(await of('2001:db8::1')).toBe(1);
    expect(await of('203.0.113.0/24')).toBe(3);
    expect(await of('198.51.100.1')).toBe(0);
    expect(await of('203.0.113.1', hour + HOUR_MS)).toBe(0);
  });

  it('keeps the room of those who answer when forged flows fill the table', async () => {
    const lab = new HistoryLab();
    const forged = Array.from({ length: 40_000 }, (_, i) => `203.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    for (const from of forged) lab.recorder.addContact(contact(from, '10.0.0.5', { answered: false }));
    for (let i = 0; i < 1000; i++) lab.recorder.addContact(contact(`198.51.${i >> 8}.${i & 255}`, '10.0.0.5'));
    lab.clock.setWall(1000);
    await lab.recorder.flush(true);
    const answer = await lab.history.contacts({ address: prefix('198.51.0.0/16') });
    expect(answer.contacts).toHaveLength(1000);
    expect(answer.lost).toBeGreaterThan(30_000);
    expect(lab.recorder.status().lost.contacts).toBe(answer.lost);
  });
});

describe('a disk that takes nothing', () => {
  it('is said in the status, keeps what there is room for, counts the rest, and writes when it can again', async () => {
    const place = join(temporaryDirectory(), 'taken');
    writeFileSync(place, 'a file where the directory should be');
    const lab = new HistoryLab({ directory: join(place, 'history') });
    const addMany = (net: number) => {
      for (let i = 0; i < 15_000; i++) lab.add(`${net}.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    };
    addMany(203);
    await expect(lab.recorder.flush()).rejects.toThrow('ENOTDIR');
    expect(lab.recorder.status().problem).toMatch(/cannot be written to .*ENOTDIR.*blocking is not affected/);
    expect(lab.recorder.status().lost.alerts).toBe(5000);
    addMany(198);
    await expect(lab.recorder.flush()).rejects.toThrow('ENOTDIR');
    expect(lab.recorder.status().lost.alerts).toBe(10_000);
    unlinkSync(place);
    await lab.recorder.flush();
    expect(lab.recorder.status().problem).toBeNull();
    const answer = await lab.history.alerts({ limit: 30_000 });
    expect(answer).toMatchObject({ alerts: 20_000, lost: 10_000, completeFrom: lab.clock.now() });
  });
});

describe('the room that history may take', () => {
  it('is kept to, oldest first, also within one hour', async () => {
    const atMost = 1 << 20;
    const lab = new HistoryLab({ bounds: { keep: FOREVER, atMost } });
    const bytes = () =>
      [...lab.files('.alerts'), ...lab.files('.index')].reduce((sum, path) => sum + statSync(path).size, 0);
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 1000; i++)
        lab.add(`${round}.${i >> 8}.${i & 255}.9`, { flowId: Math.imul(i, 0x9e3779b1) >>> 0 });
      await lab.recorder.flush();
      expect(bytes()).toBeLessThanOrEqual(atMost);
      await lab.clock.advance(1000);
    }
    expect(bytes()).toBeGreaterThan(atMost / 2);
    const { rows, completeFrom } = await lab.history.alerts({ limit: 100_000 });
    expect(rows.length).toBeGreaterThan(1000);
    expect(completeFrom).toBeGreaterThan(lab.clock.now() - 60_000);
    expect(rows.every(({ first }) => first >= (completeFrom as number))).toBe(true);
  });
});
