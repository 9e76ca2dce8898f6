import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../../src/base/log.js';
import { RulesetSource } from '../../src/suricata/ruleset-source.js';
import { FakeClock } from '../support/clock.js';
import { waitFor } from '../support/netns.js';

const rules = (...sids: number[]) =>
  sids.map((sid) => `alert tcp any any -> any any (msg:"r"; sid:${sid}; rev:1;)\n`).join('');
const range = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

describe('the rules file', () => {
  let folder: string;
  let path: string;
  let clock: FakeClock;
  let source: RulesetSource;
  let taken: number[];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'barricata-rules-'));
    path = join(folder, 'suricata.rules');
    // Files written by the test are old enough to be read at once.
    clock = new FakeClock(Date.now() + 60_000);
    taken = [];
    source = new RulesetSource({ path, clock, log: createLog('silent'), onRead: ({ size }) => taken.push(size) });
  });
  afterEach(async () => {
    await source.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Lets time go by until the condition holds: files are read in real time, waited for in the clock's. */
  const until = (what: string, condition: () => unknown) =>
    waitFor(what, async () => {
      await clock.advance(100);
      return condition();
    });
  const size = () => source.ruleset?.size ?? null;
  /** Lets this much time go by, with whatever is read meanwhile. */
  async function pass(ms: number): Promise<void> {
    const end = clock.monotonic() + ms;
    await waitFor(
      `${ms} ms to pass`,
      async () => {
        await clock.advance(Math.min(500, end - clock.monotonic()));
        return clock.monotonic() >= end;
      },
      10_000,
      1,
    );
  }

  it('is read at once at the start when nobody is writing it', async () => {
    writeFileSync(path, rules(1, 2));
    expect(source.settling).toBe(true);
    await source.start();
    await waitFor('the rules', () => size() === 2);
    expect(clock.pending).toBeGreaterThan(0);
    expect(source.settling).toBe(false);
    expect(source.status()).toMatchObject({ path, rules: 2, readAt: clock.now(), problem: null, faults: {} });
  });

  it('that is being written at the start is read when it keeps still', async () => {
    clock.setWall(Date.now());
    writeFileSync(path, rules(1));
    await source.start();
    for (let i = 2; i < 6; i++) {
      await pass(500);
      expect(taken).toEqual([]);
      expect(source.settling).toBe(true);
      appendFileSync(path, rules(i));
    }
    await until('the rules', () => size() === 5);
    expect(taken).toEqual([5]);
  });

  it('that is missing is no problem, and read when it appears', async () => {
    path = join(folder, 'later', 'suricata.rules');
    source = new RulesetSource({ path, clock, log: createLog('silent') });
    await source.start();
    await waitFor('a look', () => !source.settling);
    expect(source.status()).toMatchObject({ rules: null, readAt: null, problem: null });
    mkdirSync(join(folder, 'later'));
    writeFileSync(path, rules(1));
    await until('a look', () => source.settling);
    await until('the rules', () => size() === 1);
  });

  it('is read again when it is replaced, and when it is written in place', async () => {
    writeFileSync(path, rules(1, 2));
    await source.start();
    await until('the rules', () => size() === 2);
    writeFileSync(`${path}.new`, rules(1, 2, 3));
    renameSync(`${path}.new`, path);
    await until('the replaced file', () => size() === 3);
    writeFileSync(path, rules(4, 5, 6, 7));
    await until('the file written in place', () => size() === 4);
    expect(source.ruleset?.rule(1, 7)).not.toBeNull();
    expect(source.ruleset?.rule(1, 1)).toBeNull();
    expect(taken).toEqual([2, 3, 4]);
  });

  it('tells within a moment that it changed, before it can be read', async () => {
    writeFileSync(path, rules(1, 2));
    await source.start();
    await until('the rules', () => size() === 2);
    appendFileSync(path, rules(3));
    // The watch wakes it in real time; 100 ms of the clock are the least between two looks.
    await waitFor('the change to be seen', async () => {
      await clock.advance(20);
      return source.settling;
    });
    expect(size()).toBe(2);
  });

  it('that is gone, empty or cut off within a rule never takes the place of a good one', async () => {
    const whole = rules(...range(10));
    writeFileSync(path, whole);
    await source.start();
    await until('the rules', () => size() === 10);
    truncateSync(path, whole.length - 20);
    await until('the cut', () => source.status().problem?.startsWith('it ends within a rule'));
    truncateSync(path, 0);
    await until('the empty file', () => source.status().problem?.startsWith('it has no rule'));
    await pass(120_000);
    rmSync(path);
    await until('the missing file', () => source.status().problem?.startsWith('it is gone'));
    await pass(120_000);
    // Whatever the sensor runs now, it is not what is known here.
    expect(source.settling).toBe(true);
    expect(taken).toEqual([10]);
    writeFileSync(path, whole);
    await until('the good one', () => source.status().problem === null);
  });

  it('that lost many of its rules is taken up after a minute, unless it comes back', async () => {
    writeFileSync(path, rules(...range(10)));
    await source.start();
    await until('the rules', () => size() === 10);
    writeFileSync(path, rules(1, 2, 3));
    await until('the loss', () => source.status().problem?.startsWith('it has 3 rules and had 10'));
    await pass(30_000);
    writeFileSync(path, rules(...range(11)));
    await until('the rules are back', () => size() === 11);
    expect(source.status().problem).toBeNull();
    writeFileSync(path, rules(1, 2, 3));
    await until('the loss', () => source.status().problem?.startsWith('it has 3 rules and had 11'));
    await pass(50_000);
    expect(size()).toBe(11);
    await pass(12_000);
    await until('the loss to be taken up', () => size() === 3);
    expect(taken).toEqual([10, 11, 3]);
  });

  it('that cannot be read is a problem, and no rules are known', async () => {
    mkdirSync(path);
    await source.start();
    await until('the problem', () => source.status().problem === 'it cannot be read: not a plain file');
    expect(source.ruleset).toBeNull();
    expect(source.settling).toBe(true);
    await pass(60_000);
    expect(source.settling).toBe(false);
  });
});
