/** The sources as JavaScript, for tests that start processes of their own. */
import { spawnSync } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './eve.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Compiles `src` into a new temporary directory and returns the path of the JavaScript. */
export function compileSources(): string {
  const directory = temporaryDirectory();
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  const out = join(directory, 'js');
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const run = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.json'), '--outDir', out], {
    encoding: 'utf8',
  });
  if (!existsSync(join(out, 'suricata/eve-source.js')))
    throw new Error(`tsc wrote nothing: ${run.stdout}${run.stderr}`);
  return out;
}
