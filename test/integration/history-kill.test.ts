/** A writer of history that is killed at any moment: what it had written is there, once. */
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { History } from '../../src/history/history.js';
import { listSegments } from '../../src/history/segment.js';
import { compileSources } from '../support/compiled.js';
import { removeTemporaryDirectories, temporaryDirectory } from '../support/eve.js';

const writer = fileURLToPath(new URL('../support/history-writer.mjs', import.meta.url));
const KILLS = 8;

describe('a writer of history that is killed', () => {
  let compiled: string;
  beforeAll(() => {
    compiled = compileSources();
  });
  afterAll(removeTemporaryDirectories);

  /** Writes from a row on, kills the writer after so many flushes and a moment, gives the rows that it said were written. */
  function writeAndKill(directory: string, first: number, flushes: number, moment: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [writer, compiled, directory, String(first)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let said = '';
      let told = first;
      child.stdout.on('data', (chunk) => {
        said += chunk;
        const lines = said.split('\n').slice(0, -1);
        told = Number(lines.at(-1) ?? first);
        if (lines.length >= flushes) setTimeout(() => child.kill('SIGKILL'), moment);
      });
      child.on('exit', (code) => (code === null ? resolve(told) : reject(new Error(`the writer ended with ${code}`))));
    });
  }

  it('leaves every row that it had written, once, and goes on behind the stump', async () => {
    const directory = join(temporaryDirectory(), 'history');
    const history = new History(directory);
    /** Rows that were said to be written, as ranges; what follows each until the next range may or may not be there. */
    const ranges: [number, number][] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const first = kill * 1_000_000;
      const told = await writeAndKill(directory, first, 2 + (kill % 3), kill * 3);
      ranges.push([first, told]);
      if (kill % 2 === 1) {
        // What a power cut may leave: a frame and a body that were written in part.
        const [segment] = listSegments(directory, 'alerts').reverse();
        appendFileSync(`${segment?.path}.index`, 'BhI1 half a frame');
        appendFileSync(`${segment?.path}`, 'half a body');
      }
    }
    const seen = new Map<string, number>();
    const days = history.everyAlert({});
    let part = await days.next();
    for (; !part.done; part = await days.next()) {
      for (const { candidate } of part.value) seen.set(candidate ?? '', (seen.get(candidate ?? '') ?? 0) + 1);
    }
    const name = (n: number) => `203.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
    let written = 0;
    for (const [first, told] of ranges) {
      for (let n = first; n < told; n++) {
        if (seen.get(name(n)) !== 1) throw new Error(`row ${n} is there ${seen.get(name(n)) ?? 0} times`);
        written += 1;
      }
    }
    expect(written).toBeGreaterThan(KILLS * 500);
    expect([...seen.values()].every((count) => count === 1)).toBe(true);
    expect(part.value.damaged).toBeGreaterThanOrEqual(KILLS / 2);
    expect(part.value.damaged).toBeLessThanOrEqual(KILLS / 2 + KILLS);
  });
});
