/** A consumer that is killed again and again while files rotate loses nothing and repeats nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { compileSources } from '../support/compiled.js';
import { numbers, removeTemporaryDirectories, temporaryDirectory } from '../support/eve.js';
import { waitFor } from '../support/netns.js';

const script = (name: string) => fileURLToPath(new URL(`../support/${name}`, import.meta.url));
const children: ChildProcess[] = [];

afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  removeTemporaryDirectories();
});

describe('resuming after kill -9', () => {
  it('gives every line exactly once, through renames and copies that go on meanwhile', async () => {
    const compiled = compileSources();
    const logs = temporaryDirectory();
    const store = temporaryDirectory();
    const file = join(logs, 'eve.json');
    const state = join(store, 'state.json');
    writeFileSync(file, '');
    const total = 24_000;
    const writer = spawn(process.execPath, [script('eve-writer.mjs'), file, String(total), '400'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(writer);
    let rotations = '';
    writer.stdout?.setEncoding('utf8').on('data', (text: string) => {
      rotations += text;
    });
    const written = once(writer, 'exit');
    const consume = () => {
      const child = spawn(process.execPath, [script('eve-consumer.mjs'), compiled, file, store], { stdio: 'inherit' });
      children.push(child);
      return child;
    };
    const seen = () => (existsSync(state) ? (JSON.parse(readFileSync(state, 'utf8')).seen as number[]) : []);
    let kills = 0;
    while (writer.exitCode === null && kills < 40) {
      const inode = existsSync(state) ? statSync(state).ino : 0;
      const child = consume();
      // Killed at any point of its work: some batches after it stored its first.
      await waitFor('a batch of this consumer', () => (existsSync(state) ? statSync(state).ino : 0) !== inode, 5000, 3);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 350));
      child.kill('SIGKILL');
      await once(child, 'exit');
      kills += 1;
    }
    await written;
    const last = consume();
    await waitFor('all lines', () => seen().length >= total, 15_000, 50).catch(() => undefined);
    last.kill('SIGKILL');
    await once(last, 'exit');
    const log = existsSync(join(store, 'log')) ? readFileSync(join(store, 'log'), 'utf8') : '';
    const got = seen();
    const missing = findMissing(got, total);
    expect({ missing, doubled: got.length - new Set(got).size, log }).toEqual({ missing: [], doubled: 0, log: '' });
    expect(kills).toBeGreaterThanOrEqual(8);
    expect(Number(rotations)).toBeGreaterThanOrEqual(8);
  }, 60_000);
});

function findMissing(got: readonly number[], total: number): number[] {
  const set = new Set(got);
  return numbers(total).filter((n) => !set.has(n));
}
