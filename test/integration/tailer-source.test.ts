/** All eve files of a configuration: patterns, saved positions, long lines, slow and failing consumers. */
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { EveSourceOptions } from '../../src/suricata/eve-source.js';
import { alertLine, alertLines, flowLine, numbers, Reading, removeTemporaryDirectories } from '../support/eve.js';
import { hasFeatures } from '../support/feature.js';
import { waitFor } from '../support/netns.js';

const readings: Reading[] = [];

function reading(...args: ConstructorParameters<typeof Reading>): Reading {
  const made = new Reading(...args);
  readings.push(made);
  return made;
}

afterEach(async () => {
  for (const r of readings.splice(0)) await r.source.stop();
  removeTemporaryDirectories();
});

describe('patterns', () => {
  it('follow each matching file and pick up new ones', async () => {
    const r = reading('eve*.json');
    writeFileSync(r.path('eve.1.json'), alertLines(0, 10));
    writeFileSync(r.path('eve.2.json'), alertLines(10, 20));
    writeFileSync(r.path('other.json'), alertLines(900, 910));
    await r.source.start();
    await r.got(20);
    writeFileSync(r.path('eve.3.json'), alertLines(20, 30));
    appendFileSync(r.path('eve.1.json'), alertLines(30, 40));
    expect(await r.got(40)).toEqual(numbers(40));
    expect(r.source.status().paths.map((path) => path.source)).toEqual(
      ['eve.1.json', 'eve.2.json', 'eve.3.json'].map((name) => r.path(name)),
    );
  });

  it('never follow what rotation left behind as a file of its own', async () => {
    const r = reading('eve*');
    writeFileSync(r.path('eve.json'), alertLines(0, 10));
    writeFileSync(r.path('eve.json.1'), alertLines(100, 110));
    writeFileSync(r.path('eve.json-20261122'), alertLines(100, 110));
    writeFileSync(r.path('eve.json.away'), alertLines(100, 110));
    writeFileSync(r.path('eve.json.2.gz'), gzipSync(alertLines(100, 110)));
    await r.source.start();
    expect(await r.got(10)).toEqual(numbers(10));
    expect(r.source.status().paths.map((path) => path.source)).toEqual([r.path('eve.json')]);
  });

  it('do not read a file twice that was renamed to a name which matches as well', async () => {
    const r = reading('eve*.json');
    writeFileSync(r.path('eve.json'), alertLines(0, 10));
    await r.source.start();
    await r.got(10);
    renameSync(r.path('eve.json'), r.path('eve-20261122.json'));
    writeFileSync(r.path('eve.json'), alertLines(10, 20));
    await r.got(20);
    await waitFor('the renamed file to be taken over by its own name', () => r.source.status().paths.length === 2);
    appendFileSync(r.path('eve-20261122.json'), alertLines(20, 30));
    expect(await r.got(30)).toEqual(numbers(30));
  });

  it('read a file once that is reached by a link as well', async () => {
    const r = reading('eve*.json');
    writeFileSync(r.path('eve-a.json'), alertLines(0, 10));
    symlinkSync(r.path('eve-a.json'), r.path('eve.json'));
    await r.source.start();
    await r.got(10);
    appendFileSync(r.path('eve-a.json'), alertLines(10, 20));
    expect(await r.got(20)).toEqual(numbers(20));
  });

  it('say what is wrong when nothing matches, and begin when the directory appears', async () => {
    const r = reading('logs/eve*.json');
    await r.source.start();
    expect(r.source.status().problems[0]?.problem).toMatch(/cannot list .*logs .*create it, or correct suricata\.eve/);
    mkdirSync(r.path('logs'));
    await waitFor('the other message', () => /no file matches/.test(r.source.status().problems[0]?.problem ?? ''));
    writeFileSync(r.path('logs/eve.json'), alertLines(0, 5));
    expect(await r.got(5)).toEqual(numbers(5));
    await waitFor('no problem', () => r.source.status().problems.length === 0);
  });
});

describe('a file that is there but cannot be read', () => {
  it('is named with the reason, and read once it is a file', async () => {
    const r = reading('eve.json');
    mkdirSync(r.path('eve.json'));
    await r.source.start();
    expect(r.source.status().paths[0]).toMatchObject({
      opened: false,
      problem: `cannot read ${r.path('eve.json')}: not a regular file`,
      events: { unreadable: 1 },
    });
    renameSync(r.path('eve.json'), r.path('directory'));
    writeFileSync(r.path('eve.json'), alertLines(0, 5));
    expect(await r.got(5)).toEqual(numbers(5));
    expect(r.source.status().paths[0]).toMatchObject({ opened: true, problem: null });
  });

  it.skipIf(!hasFeatures('root'))('for want of permission says how to give it', async () => {
    const r = reading('eve.json', { pollMs: 50 });
    writeFileSync(r.path('eve.json'), alertLines(0, 5));
    chmodSync(r.directory, 0o755);
    chmodSync(r.path('eve.json'), 0o600);
    process.seteuid?.(65534);
    try {
      await r.source.start();
      expect(r.source.status().paths[0]?.problem).toMatch(/permission denied.*chmod g\+r.*filemode/);
    } finally {
      process.seteuid?.(0);
    }
    expect(await r.got(5)).toEqual(numbers(5));
  });
});

describe('positions', () => {
  /** Reads 0..49 and stops; `change` happens while nobody reads; then another source resumes. */
  async function resumed(change: (file: string) => void, position?: (text: string) => string): Promise<Reading> {
    const first = reading('eve.json');
    const file = first.path('eve.json');
    writeFileSync(file, alertLines(0, 50));
    await first.source.start();
    await first.got(50);
    await first.source.stop();
    change(file);
    const saved = first.positions.get(file) ?? '';
    const second = reading('eve.json', {
      directory: first.directory,
      positions: new Map([[file, position?.(saved) ?? saved]]),
    });
    second.seen.push(...first.seen);
    await second.source.start();
    return second;
  }

  it.each<[string, (file: string) => void, number]>([
    ['nothing happened but more lines', (f) => appendFileSync(f, alertLines(50, 60)), 60],
    [
      'it was renamed',
      (f) => {
        appendFileSync(f, alertLines(50, 60));
        renameSync(f, `${f}.1`);
        writeFileSync(f, alertLines(60, 70));
      },
      70,
    ],
    [
      'it was renamed twice',
      (f) => {
        appendFileSync(f, alertLines(50, 60));
        renameSync(f, `${f}.1`);
        writeFileSync(f, alertLines(60, 70));
        renameSync(`${f}.1`, `${f}.2`);
        renameSync(f, `${f}.1`);
        writeFileSync(f, alertLines(70, 80));
      },
      80,
    ],
    [
      'it was copied and truncated',
      (f) => {
        appendFileSync(f, alertLines(50, 60));
        copyFileSync(f, `${f}.1`);
        truncateSync(f, 0);
        appendFileSync(f, alertLines(60, 70));
      },
      70,
    ],
    [
      'it was copied and truncated, and grew past the old end',
      (f) => {
        copyFileSync(f, `${f}.1`);
        truncateSync(f, 0);
        appendFileSync(f, alertLines(50, 170));
      },
      170,
    ],
    [
      'it was copied and truncated twice',
      (f) => {
        appendFileSync(f, alertLines(50, 60));
        copyFileSync(f, `${f}.1`);
        truncateSync(f, 0);
        appendFileSync(f, alertLines(60, 70));
        renameSync(`${f}.1`, `${f}.2`);
        copyFileSync(f, `${f}.1`);
        truncateSync(f, 0);
        appendFileSync(f, alertLines(70, 80));
      },
      80,
    ],
    [
      'it is a copy now, with another inode',
      (f) => {
        copyFileSync(f, `${f}.t`);
        unlinkSync(f);
        renameSync(`${f}.t`, f);
        appendFileSync(f, alertLines(50, 60));
      },
      60,
    ],
  ])('lead on when %s while nobody was reading', async (_what, change, count) => {
    const r = await resumed(change);
    await r.got(count);
    appendFileSync(r.path('eve.json'), alertLine(count));
    expect(await r.got(count + 1)).toEqual(numbers(count + 1));
    expect(r.event('gap')).toBe(0);
  });

  /** Reads 0..49, sees a rotation to an empty file, and lets go of the old one: nothing of the present file was read. */
  async function atTheBeginning(options: Partial<EveSourceOptions> = {}): Promise<{ r: Reading; file: string }> {
    const r = reading('eve.json', options);
    const file = r.path('eve.json');
    writeFileSync(file, alertLines(0, 50));
    await r.source.start();
    await r.got(50);
    renameSync(file, `${file}.1`);
    writeFileSync(file, '');
    await waitFor('a position in the empty file alone', () => {
      const { files } = JSON.parse(r.positions.get(file) as string) as { files: { offset: number }[] };
      return files.length === 1 && files[0]?.offset === 0;
    });
    return { r, file };
  }

  it.each<[string, (file: string) => void, number]>([
    [
      'it was written, copied and truncated',
      (f) => {
        appendFileSync(f, alertLines(50, 60));
        renameSync(`${f}.1`, `${f}.2`);
        copyFileSync(f, `${f}.1`);
        truncateSync(f, 0);
        appendFileSync(f, alertLines(60, 70));
      },
      70,
    ],
    [
      'it was written, copied and truncated, and nothing came since',
      (f) => {
        appendFileSync(f, alertLines(50, 60));
        copyFileSync(f, `${f}-20261122`);
        truncateSync(f, 0);
      },
      60,
    ],
    [
      'it was written and copied, and not truncated',
      (f) => {
        appendFileSync(f, alertLines(50, 60));
        copyFileSync(f, `${f}.bak`);
        appendFileSync(f, alertLines(60, 70));
      },
      70,
    ],
  ])('at the beginning of a file lead on when %s while nobody was reading', async (_what, change, count) => {
    const { r: first, file } = await atTheBeginning();
    await first.source.stop();
    change(file);
    const second = reading('eve.json', { directory: first.directory, positions: first.positions });
    second.seen.push(...first.seen);
    await second.source.start();
    await second.got(count);
    appendFileSync(file, alertLine(count));
    expect(await second.got(count + 1)).toEqual(numbers(count + 1));
  });

  it('are given as soon as a file is open, so that one that is killed and rotated away before its first line is found', async () => {
    const first = reading('eve.json');
    const file = first.path('eve.json');
    writeFileSync(file, '');
    await first.source.start();
    const saved = await waitFor('a position', () => first.positions.get(file), 500);
    await first.source.stop();
    appendFileSync(file, alertLines(0, 10));
    renameSync(file, `${file}.1`);
    writeFileSync(file, alertLines(10, 20));
    const second = reading('eve.json', { directory: first.directory, positions: new Map([[file, saved as string]]) });
    await second.source.start();
    expect(await second.got(20)).toEqual(numbers(20));
  });

  it('at the beginning of a file lead on when it was written, copied and truncated between two looks', async () => {
    const { r, file } = await atTheBeginning({ watch: false, pollMs: 100 });
    appendFileSync(file, alertLines(50, 60));
    copyFileSync(file, `${file}-20261122`);
    truncateSync(file, 0);
    await r.got(60);
    appendFileSync(file, alertLine(60));
    expect(await r.got(61)).toEqual(numbers(61));
  });

  it('lead on in the middle of a line', async () => {
    const r = await resumed((f) => appendFileSync(f, alertLine(50).slice(0, 40)));
    appendFileSync(r.path('eve.json'), alertLine(50).slice(40));
    expect(await r.got(51)).toEqual(numbers(51));
  });

  it('that cannot be found again, since the file was compressed, are a gap that names the fix', async () => {
    const r = await resumed((f) => {
      appendFileSync(f, alertLines(50, 60));
      writeFileSync(`${f}.1.gz`, gzipSync(readFileSync(f)));
      unlinkSync(f);
      writeFileSync(f, alertLines(60, 70));
    });
    expect(await r.got(60)).toEqual([...numbers(50), ...numbers(70).slice(60)]);
    expect(r.event('gap')).toBe(1);
  });

  it('of a file that was deleted and made again are a gap, and the new file is read', async () => {
    const r = await resumed((f) => {
      unlinkSync(f);
      writeFileSync(f, alertLines(50, 60));
    });
    expect(await r.got(60)).toEqual(numbers(60));
    expect(r.event('gap')).toBe(1);
  });

  it.each(['', 'garbage', '{"v":1}', '{"v":9,"path":"x","since":0,"files":[],"past":[]}', '[]', 'null'])(
    'that read %j count as none',
    async (text) => {
      const r = await resumed(
        () => undefined,
        () => text,
      );
      expect((await r.got(100)).length).toBe(100);
      expect(r.source.status().unreadablePositions).toBe(1);
    },
  );

  it('move on about once a second while no alerts come', async () => {
    const r = reading('eve.json');
    const file = r.path('eve.json');
    writeFileSync(file, alertLine(0));
    await r.source.start();
    await r.got(1);
    const before = r.batches.length;
    const began = performance.now();
    await waitFor('two batches without alerts', () => {
      appendFileSync(file, flowLine(1));
      return r.batches.length >= before + 2;
    });
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(900);
    expect(r.batches.slice(before).every((batch) => batch.alerts.length === 0 && batch.lines > 0)).toBe(true);
  });

  it('are handed on once more when reading stops', async () => {
    const r = reading('eve.json');
    const file = r.path('eve.json');
    writeFileSync(file, alertLine(0));
    await r.source.start();
    await r.got(1);
    appendFileSync(file, flowLine(1));
    await waitFor('the line', () => r.source.status().paths[0]?.lines === 2);
    await r.source.stop();
    const { files } = JSON.parse(r.positions.get(file) ?? '');
    expect(files).toMatchObject([{ offset: alertLine(0).length + flowLine(1).length }]);
  });
});

describe('long lines', () => {
  it('of many megabytes are read', async () => {
    const r = reading('eve.json');
    const file = r.path('eve.json');
    writeFileSync(file, alertLine(0) + alertLine(1, { payload: 'y'.repeat(10_000_000) }) + alertLine(2));
    await r.source.start();
    expect(await r.got(3)).toEqual([0, 1, 2]);
  });

  it('beyond the longest are skipped, counted once, and the next line is used', async () => {
    const r = reading('eve.json', { longestLine: 1_000_000 });
    const file = r.path('eve.json');
    writeFileSync(file, alertLine(0) + alertLine(1, { payload: 'y'.repeat(5_000_000) }) + alertLine(2));
    await r.source.start();
    await r.got(2);
    appendFileSync(file, 'z'.repeat(3_000_000));
    await waitFor('the line to be too long', () => r.source.status().paths[0]?.unusable['too_long'] === 2);
    appendFileSync(file, `zz\n${alertLine(3)}`);
    expect(await r.got(3)).toEqual([0, 2, 3]);
    expect(r.source.status().paths[0]).toMatchObject({ lines: 5, unusable: { too_long: 2 }, events: { oversize: 2 } });
  });

  it('that are skipped do not move the position past the line before them until they end', async () => {
    const r = reading('eve.json', { longestLine: 1000 });
    const file = r.path('eve.json');
    writeFileSync(file, alertLine(0) + 'z'.repeat(600_000));
    await r.source.start();
    await waitFor('the line to be too long', () => r.source.status().paths[0]?.unusable['too_long'] === 1);
    await r.source.stop();
    const saved = r.positions.get(file) ?? '';
    expect(JSON.parse(saved).files).toMatchObject([{ offset: alertLine(0).length }]);
    appendFileSync(file, `z\n${alertLine(1)}`);
    const second = reading('eve.json', {
      directory: r.directory,
      positions: new Map([[file, saved]]),
      longestLine: 1000,
    });
    await second.source.start();
    expect(await second.got(1)).toEqual([1]);
  });
});

describe('the consumer', () => {
  it('is given at most a full batch at a time, with the position just after it', async () => {
    const r = reading('eve.json', { maxAlertsPerBatch: 7 });
    const file = r.path('eve.json');
    writeFileSync(file, alertLines(0, 50));
    await r.source.start();
    await r.got(50);
    expect(r.batches.map((batch) => batch.alerts.length)).toEqual([7, 7, 7, 7, 7, 7, 7, 1]);
    const length = (upTo: number) => alertLines(0, upTo).length;
    expect(r.batches.map((batch) => JSON.parse(batch.position ?? '').files[0].offset)).toEqual(
      [7, 14, 21, 28, 35, 42, 49, 50].map(length),
    );
  });

  it('is given one batch at a time over all files, and nothing is read meanwhile', async () => {
    let running = 0;
    let most = 0;
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const r: Reading = reading(['a.json', 'b.json'], {
      maxAlertsPerBatch: 5,
      onBatch: async (batch) => {
        running += 1;
        most = Math.max(most, running);
        await held;
        r.take(batch);
        running -= 1;
      },
    });
    writeFileSync(r.path('a.json'), alertLines(0, 20));
    writeFileSync(r.path('b.json'), alertLines(20, 40));
    await r.source.start();
    await waitFor('the first batch', () => running > 0);
    expect(r.source.status().paths.map((path) => path.alerts)).toEqual([5, 5]);
    release();
    expect(await r.got(40)).toEqual(numbers(40));
    expect(most).toBe(1);
  });

  it('finds what a file held that was copied, truncated and written again before its turn came', async () => {
    let release = () => {};
    const busy = new Promise<void>((resolve) => {
      release = resolve;
    });
    let waiting = false;
    const r: Reading = reading('eve.json', {
      onBatch: async (batch) => {
        waiting = true;
        await busy;
        r.take(batch);
      },
    });
    const file = r.path('eve.json');
    writeFileSync(file, alertLines(0, 50));
    await r.source.start();
    await waitFor('a batch', () => waiting);
    renameSync(file, `${file}.1`);
    writeFileSync(file, alertLines(50, 60));
    await waitFor('the rotation is seen', () => r.event('rotated') === 1);
    copyFileSync(file, `${file}-20261122`);
    truncateSync(file, 0);
    appendFileSync(file, alertLines(60, 75));
    release();
    await r.got(75);
    appendFileSync(file, alertLine(75));
    expect(await r.got(76)).toEqual(numbers(76));
  });

  it('loses nothing to rotations while it is busy', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const r: Reading = reading('eve.json', {
      pollMs: 20,
      onBatch: async (batch) => {
        await held;
        r.take(batch);
      },
    });
    const file = r.path('eve.json');
    writeFileSync(file, alertLines(0, 10));
    await r.source.start();
    for (let i = 1; i <= 3; i++) {
      renameSync(file, `${file}.1`);
      writeFileSync(file, alertLines(i * 10, i * 10 + 10));
      await waitFor(`rotation ${i}`, () => r.event('rotated') === i);
      unlinkSync(`${file}.1`);
    }
    release();
    expect(await r.got(40)).toEqual(numbers(40));
  });

  it('that fails is given the same batch again, and nothing after it before', async () => {
    const offered: string[] = [];
    const r: Reading = reading('eve.json', {
      onBatch: async (batch) => {
        offered.push(batch.alerts.map((alert) => alert.flowId).join());
        if (offered.length < 3) throw new Error('store is away');
        r.take(batch);
      },
    });
    writeFileSync(r.path('eve.json'), alertLines(0, 2));
    await r.source.start();
    await waitFor('the first offer', () => offered.length === 1);
    appendFileSync(r.path('eve.json'), alertLine(2));
    expect(await r.got(3)).toEqual([0, 1, 2]);
    expect(offered).toEqual(['0,1', '0,1', '0,1', '2']);
  });

  it('that fails while the source stops finds the batch again at the next start', async () => {
    const positions = new Map<string, string>();
    let fail = false;
    let failed = 0;
    const r: Reading = reading('eve.json', {
      onBatch: async (batch) => {
        if (fail) {
          failed += 1;
          throw new Error('store is away');
        }
        r.take(batch);
        positions.set(batch.source, batch.position ?? '');
      },
    });
    writeFileSync(r.path('eve.json'), alertLine(0));
    await r.source.start();
    await r.got(1);
    fail = true;
    appendFileSync(r.path('eve.json'), alertLine(1));
    await waitFor('a failure', () => failed > 0);
    appendFileSync(r.path('eve.json'), alertLine(2));
    await r.source.stop();
    const second = reading('eve.json', { directory: r.directory, positions });
    await second.source.start();
    expect(await second.got(2)).toEqual([1, 2]);
  });
});

describe('a file that is read for the first time', () => {
  const at = (n: number, minutesAgo: number) =>
    alertLine(n, { timestamp: new Date(Date.now() - minutesAgo * 60_000).toISOString() });

  it('is read from its first alert that is not too old', async () => {
    const r = reading('eve.json', { ignoreAlertsOlderThan: 600 });
    writeFileSync(r.path('eve.json'), at(0, 60) + at(1, 11) + at(2, 9) + at(3, 60) + at(4, 0));
    await r.source.start();
    expect(await r.got(3)).toEqual([2, 3, 4]);
    expect(r.source.status().paths[0]).toMatchObject({ old: 2, alerts: 3, lines: 5 });
  });
});

describe('status', () => {
  it('gives the age of what was not read yet', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const r: Reading = reading('eve.json', {
      onBatch: async (batch) => {
        await held;
        r.take(batch);
      },
    });
    writeFileSync(r.path('eve.json'), alertLine(0));
    await r.source.start();
    appendFileSync(r.path('eve.json'), alertLine(1));
    await waitFor('a lag', () => (r.source.status().paths[0]?.lagSeconds ?? 0) > 0.2);
    release();
    await r.got(2);
    await waitFor('no lag', () => r.source.status().paths[0]?.lagSeconds === 0);
  });
});
