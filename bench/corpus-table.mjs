/**
 * What does the shipped policy make of real alerts, next to "ban src_ip at
 * severity 1-2"?
 *
 *   node bench/corpus-table.mjs [CORPUS]        needs `npm run build`
 *
 * One line a file of the corpus that LABELS.tsv names, through the command as it
 * is installed, with the corpus's rules. Without a corpus there is no table.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const corpus = process.argv[2] ?? fileURLToPath(new URL('../../shared/corpus', import.meta.url));
/** Own networks where a row of the labels names others than RFC 1918. */
const HOME = { 'crowdsec-hub/suricata-eve-detect.log': '1.2.3.5' };

if (!existsSync(`${corpus}/LABELS.tsv`)) {
  console.log('no corpus here: no table');
  process.exit(0);
}
const rules = readdirSync(`${corpus}/et-open-2016`)
  .filter((name) => name.endsWith('.rules'))
  .flatMap((name) => ['--rules', `${corpus}/et-open-2016/${name}`]);
const files = readFileSync(`${corpus}/LABELS.tsv`, 'utf8')
  .split('\n')
  .slice(1)
  .map((line) => line.split('\t')[0])
  .filter((file) => /\.(json|json\.gz|log)$/.test(file) && existsSync(`${corpus}/${file}`));

console.log('alerts  ignored  noted  flagged  refused  bans  naive: external / own / special  file');
for (const file of new Set(files)) {
  const home = HOME[file] === undefined ? [] : ['--home', HOME[file]];
  const args = [program, 'replay', `${corpus}/${file}`, ...rules, ...home, '--compare-naive', '-o', 'json'];
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (run.status !== 0) throw new Error(`${file}: ${run.stderr}`);
  const { alerts, ignored, noted, flagged, refused, bans, naive } = JSON.parse(run.stdout);
  const cells = [alerts, ignored, noted, flagged, refused, bans.length].map((n, i) =>
    String(n).padStart([6, 8, 6, 8, 8, 5][i]),
  );
  console.log(`${cells.join(' ')}  ${`${naive.external} / ${naive.own} / ${naive.special}`.padEnd(31)} ${file}`);
}
