// `npm run bench [names]`: every benchmark, one after the other, each in a
// process of its own. Their output also goes to docs/results/, so that the last
// figures are kept with the code that gave them.
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const results = fileURLToPath(new URL('../docs/results/', import.meta.url));
const asked = process.argv.slice(2);
const names = readdirSync(here)
  .filter((file) => file.endsWith('.mjs') && file !== 'run.mjs')
  .map((file) => file.slice(0, -4))
  .filter((name) => asked.length === 0 || asked.includes(name));
if (names.length === 0) throw new Error(`no such benchmark: ${asked.join(', ')}`);
mkdirSync(results, { recursive: true });
let failed = 0;
for (const name of names) {
  process.stdout.write(`\n== ${name}\n`);
  const { code, text } = await runOne(name);
  if (code !== 0) failed += 1;
  else {
    const machine = `${cpus().length} cores, Linux ${release().split('-')[0]}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`;
    writeFileSync(`${results}${name}.txt`, `${machine}\n\n${text}`);
  }
}
process.exit(failed === 0 ? 0 : 1);

function runOne(name) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--expose-gc', `${here}${name}.mjs`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      process.stdout.write(chunk);
    });
    child.on('exit', (code) => resolve({ code: code ?? 1, text }));
  });
}
