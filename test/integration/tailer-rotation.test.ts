/** Each way in which a log file is rotated, truncated or moved: no line lost, none read twice. */
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  renameSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { alertLine, alertLines, flowLine, numbers, Reading, removeTemporaryDirectories } from '../support/eve.js';
import { waitFor } from '../support/netns.js';

let reading: Reading | null = null;

afterEach(async () => {
  await reading?.source.stop();
  reading = null;
  removeTemporaryDirectories();
});

describe.each([
  { mode: 'woken by inotify', watch: true, pollMs: 250 },
  { mode: 'polling only', watch: false, pollMs: 50 },
])('a file followed $mode', ({ watch, pollMs }) => {
  /** Follows eve.json, with alerts 0..49 in it already read. */
  async function following(begin = true): Promise<{ r: Reading; file: string }> {
    reading = new Reading('eve.json', { watch, pollMs });
    const r = reading;
    const file = r.path('eve.json');
    if (begin) writeFileSync(file, alertLines(0, 50));
    await r.source.start();
    if (begin) await r.got(50);
    return { r, file };
  }

  /** Nothing may come twice: waits for the count, then until the source had time to read again what it should not. */
  async function exactly(r: Reading, count: number): Promise<void> {
    await r.got(count);
    appendFileSync(r.path('eve.json'), alertLine(count));
    expect(await r.got(count + 1)).toEqual(numbers(count + 1));
  }

  it('is read on after rename and create', async () => {
    const { r, file } = await following();
    appendFileSync(file, alertLines(50, 60));
    renameSync(file, `${file}.1`);
    writeFileSync(file, alertLines(60, 110));
    await exactly(r, 110);
    expect(r.event('rotated')).toBe(1);
  });

  it('gives lines that are still written to the old inode after the new file exists', async () => {
    const { r, file } = await following();
    renameSync(file, `${file}.1`);
    writeFileSync(file, alertLines(50, 60));
    await r.got(60);
    appendFileSync(`${file}.1`, alertLines(60, 80));
    await r.got(80);
    await exactly(r, 80);
  });

  it('closes the old inode after the grace, and reads its last line even without a newline', async () => {
    const { r, file } = await following();
    appendFileSync(file, alertLine(50).trimEnd());
    renameSync(file, `${file}.1`);
    writeFileSync(file, alertLines(51, 60));
    await exactly(r, 60);
  });

  it('is read on after copy and truncate', async () => {
    const { r, file } = await following();
    copyFileSync(file, `${file}.1`);
    truncateSync(file, 0);
    await waitFor('the truncation', () => r.event('truncated') === 1);
    appendFileSync(file, alertLines(50, 60));
    await exactly(r, 60);
  });

  it('gives the lines that are only in the copy, when it was truncated before they were read', async () => {
    const { r, file } = await following();
    appendFileSync(file, alertLines(50, 80));
    copyFileSync(file, `${file}.1`);
    truncateSync(file, 0);
    appendFileSync(file, alertLines(80, 90));
    await exactly(r, 90);
  });

  it('notices a truncation also when the file grew past the old end before the next look', async () => {
    const { r, file } = await following();
    copyFileSync(file, `${file}.1`);
    truncateSync(file, 0);
    appendFileSync(file, alertLines(50, 150));
    await exactly(r, 150);
    expect(r.event('truncated')).toBe(1);
  });

  it('reads all of two copies, when it was copied and truncated twice between two looks', async () => {
    const { r, file } = await following();
    appendFileSync(file, alertLines(50, 60));
    copyFileSync(file, `${file}.1`);
    truncateSync(file, 0);
    appendFileSync(file, alertLines(60, 70));
    renameSync(`${file}.1`, `${file}.2`);
    copyFileSync(file, `${file}.1`);
    truncateSync(file, 0);
    appendFileSync(file, alertLines(70, 80));
    await exactly(r, 80);
  });

  it('does not read a copy again when it is renamed away later', async () => {
    const { r, file } = await following();
    copyFileSync(file, `${file}.1`);
    truncateSync(file, 0);
    appendFileSync(file, alertLines(50, 60));
    await r.got(60);
    renameSync(`${file}.1`, `${file}.2`);
    renameSync(file, `${file}.1`);
    writeFileSync(file, alertLines(60, 70));
    await exactly(r, 70);
  });

  it('does not read a copy that somebody made just before a rotation', async () => {
    const { r, file } = await following();
    copyFileSync(file, `${file}.bak`);
    renameSync(file, `${file}.1`);
    writeFileSync(file, alertLines(50, 60));
    await exactly(r, 60);
    expect(r.event('recovered')).toBe(0);
  });

  it('is read from its new beginning when it is truncated in place', async () => {
    const { r, file } = await following();
    truncateSync(file, 0);
    await waitFor('the truncation', () => r.event('truncated') === 1);
    appendFileSync(file, alertLines(50, 60));
    await r.got(60);
    appendFileSync(file, alertLines(60, 200));
    await exactly(r, 200);
  });

  it('is read on when it is deleted and made again, longer, at once', async () => {
    const { r, file } = await following();
    unlinkSync(file);
    writeFileSync(file, alertLines(50, 150));
    await exactly(r, 150);
  });

  it('is read on when it is made again long after it was deleted', async () => {
    const { r, file } = await following();
    unlinkSync(file);
    await waitFor('letting go of the deleted file', () => r.source.status().paths[0]?.opened === false);
    writeFileSync(file, alertLines(50, 60));
    await exactly(r, 60);
  });

  it('is waited for when it is missing at the start', async () => {
    const { r, file } = await following(false);
    expect(r.source.status().paths).toMatchObject([{ opened: false, problem: null }]);
    writeFileSync(file, alertLines(0, 10));
    await exactly(r, 10);
  });

  it('is waited for when even its directory is missing at the start', async () => {
    reading = new Reading('logs/eve.json', { watch, pollMs });
    await reading.source.start();
    mkdirSync(reading.path('logs'));
    writeFileSync(reading.path('logs/eve.json'), alertLines(0, 10));
    expect(await reading.got(10)).toEqual(numbers(10));
  });

  it('gives both files of two rotations between two looks', async () => {
    const { r, file } = await following();
    renameSync(file, `${file}.1`);
    writeFileSync(file, alertLines(50, 60));
    renameSync(`${file}.1`, `${file}.2`);
    renameSync(file, `${file}.1`);
    writeFileSync(file, alertLines(60, 70));
    await exactly(r, 70);
    expect(r.event('recovered')).toBe(1);
  });

  it('is read on after being moved away, written to there, and moved back', async () => {
    const { r, file } = await following();
    renameSync(file, `${file}.x`);
    appendFileSync(`${file}.x`, alertLines(50, 60));
    await r.got(60);
    renameSync(`${file}.x`, file);
    await exactly(r, 60);
  });

  it('does not begin anew when it comes back after another file was there for longer than the grace', async () => {
    const { r, file } = await following();
    renameSync(file, `${file}.x`);
    writeFileSync(file, alertLines(50, 60));
    await r.got(60);
    const held = () => (JSON.parse(r.positions.get(file) ?? '{}').files as unknown[] | undefined)?.length;
    await waitFor('the old file to be closed', () => {
      appendFileSync(file, flowLine(0));
      return held() === 1;
    });
    renameSync(`${file}.x`, file);
    await exactly(r, 60);
  });

  it('gives a line once it is complete, though it came in pieces cut inside characters', async () => {
    const { r, file } = await following();
    const line = Buffer.from(alertLine(50, { note: 'é漢😀'.repeat(50) }));
    const fd = openSync(file, 'a');
    for (let i = 0; i < line.length; i += 7) {
      writeSync(fd, line.subarray(i, i + 7));
      await turn();
    }
    closeSync(fd);
    await exactly(r, 51);
    expect(r.source.status().paths[0]?.unusable).toEqual({});
  });

  it('follows a symbolic link to a target in another directory', async () => {
    reading = new Reading('eve.json', { watch, pollMs });
    const r = reading;
    const file = r.path('eve.json');
    mkdirSync(r.path('data'));
    writeFileSync(r.path('data/a'), alertLines(0, 50));
    symlinkSync(r.path('data/a'), file);
    await r.source.start();
    await r.got(50);
    appendFileSync(r.path('data/a'), alertLines(50, 55));
    writeFileSync(r.path('data/b'), alertLines(55, 60));
    symlinkSync(r.path('data/b'), `${file}.t`);
    renameSync(`${file}.t`, file);
    await r.got(60);
    appendFileSync(r.path('data/b'), alertLines(60, 70));
    await exactly(r, 70);
  });

  it('reads on after NUL bytes and garbage, and counts them', async () => {
    const { r, file } = await following();
    appendFileSync(file, Buffer.from([0, 0, 0xff, 0xfe, 10, 0x7b, 0x22, 10]));
    appendFileSync(file, alertLines(50, 60));
    await exactly(r, 60);
    expect(r.source.status().paths[0]?.unusable).toEqual({ not_json: 1, truncated: 1 });
  });
});
