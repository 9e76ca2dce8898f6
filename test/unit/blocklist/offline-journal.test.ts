import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OfflineJournal } from '../../../src/blocklist/offline-journal.js';

describe('the offline journal', () => {
  let dir: string;
  let path: string;
  const open: OfflineJournal[] = [];
  const opened = async (atMost?: number) => {
    const journal = new OfflineJournal(path, atMost);
    await journal.open();
    open.push(journal);
    return journal;
  };
  const batch = (i: number) => ({ args: ['/e.json', String(i), 'é "x"\n'], bans: [[`203.0.113.${i}`, null]] as const });

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'bq-offline-'));
    path = join(dir, 'deep/offline.journal');
  });
  afterEach(async () => {
    for (const journal of open.splice(0)) await journal.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it('gives back after any cut exactly the batches that were whole', async () => {
    const journal = await opened();
    for (let i = 0; i < 3; i++) await journal.append(batch(i));
    const bytes = readFileSync(path);
    const lines = bytes
      .toString('utf8')
      .split('\n')
      .slice(0, 3)
      .map((line) => Buffer.byteLength(line) + 1);
    for (let cut = 0; cut <= bytes.length; cut += 7) {
      writeFileSync(path, bytes.subarray(0, cut));
      let whole = 0;
      for (let end = 0; whole < 3 && end + (lines[whole] as number) <= cut; whole++) end += lines[whole] as number;
      const again = await opened();
      expect(again.pending).toEqual([0, 1, 2].slice(0, whole).map(batch));
      await again.append(batch(9));
      expect((await opened()).pending.at(-1)).toEqual(batch(9));
    }
  });

  it('drops a line whose check does not fit', async () => {
    await (await opened()).append(batch(0));
    appendFileSync(path, '00000000 {"args":[],"bans":[]}\n');
    expect((await opened()).pending).toEqual([batch(0)]);
  });

  it('says that it is full and keeps what it has', async () => {
    const journal = await opened(150);
    await journal.append(batch(0));
    await expect(journal.append(batch(1))).rejects.toMatchObject({
      kind: 'full',
      message: expect.stringMatching(/takes no more/),
    });
    expect((await opened()).pending).toEqual([batch(0)]);
    await journal.clear();
    await journal.append(batch(1));
    expect((await opened()).pending).toEqual([batch(1)]);
  });

  it('names the directory that cannot be used', async () => {
    writeFileSync(join(dir, 'deep'), '');
    await expect(opened()).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/state: directory/),
    });
  });
});
