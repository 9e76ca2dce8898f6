/**
 * How long does it take to replay a day's records, and in how much memory?
 *
 *   node bench/replay.mjs [LINES]        needs `npm run build`
 *
 * The command as it is installed, over the same generated records as lines, as
 * gzip, as one JSON array, and as alerts only, each against a plain read of the
 * same file in the same run. The promise is a million lines in 60 s and 200 MB.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  createReadStream,
  createWriteStream,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createGzip } from 'node:zlib';
import { eveLines } from './support/eve-generator.mjs';

const program = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const usage =
  'data:text/javascript,process.on("exit",()=>process.stderr.write(JSON.stringify(process.resourceUsage())))';
const read = `const fs = require('node:fs'); const fd = fs.openSync(process.argv[1]); const b = Buffer.allocUnsafeSlow(262144);
while (fs.readSync(fd, b, 0, b.length, null) > 0);`;
const MOST_SECONDS = 60;
const MOST_MB = 200;

/** Runs node in a process of its own; seconds of CPU and of the clock, and the most memory it held. */
function measured(args) {
  const begin = performance.now();
  const run = spawnSync(process.execPath, ['--import', usage, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  const seconds = (performance.now() - begin) / 1000;
  if (run.status !== 0) throw new Error(`ended with ${run.status}: ${run.stderr}`);
  const { userCPUTime, systemCPUTime, maxRSS } = JSON.parse(run.stderr.slice(run.stderr.lastIndexOf('{"')));
  return { seconds, cpu: (userCPUTime + systemCPUTime) / 1e6, mb: maxRSS / 1024, out: run.stdout };
}

/** Writes what `next` gives, `count` times; @returns how many were alerts */
function write(path, count, next, before = '', between = '', after = '') {
  const fd = openSync(path, 'w');
  const parts = [before];
  let alerts = 0;
  for (let n = 0; n < count; n++) {
    const text = next();
    if (text.includes(',"event_type":"alert",')) alerts += 1;
    parts.push(n === 0 ? text : between + text);
    if (parts.length >= 2000) writeSync(fd, parts.splice(0).join(''));
  }
  writeSync(fd, parts.join('') + after);
  closeSync(fd);
  return alerts;
}

function alertsOnly() {
  const line = eveLines(5);
  return () => {
    for (;;) {
      const text = line();
      if (text.includes(',"event_type":"alert",')) return text;
    }
  };
}

const lines = Number(process.argv[2] ?? 1_000_000);
const directory = mkdtempSync(join(tmpdir(), 'barricata-bench-'));
let broken = 0;
try {
  const path = join(directory, 'eve.json');
  const show = (name, count, alerts) => {
    const floor = measured(['-e', read, path]);
    const { seconds, cpu, mb, out } = measured([program, 'replay', path, '-o', 'json', '--compare-naive']);
    const report = JSON.parse(out);
    if (report.alerts !== alerts) throw new Error(`${name}: ${report.alerts} of ${alerts} alerts`);
    const cut = report.bans.filter((ban) => ban.collateral !== null).length;
    const kept = seconds <= MOST_SECONDS * Math.max(1, count / 1e6) && mb <= MOST_MB;
    if (!kept) broken += 1;
    console.log(
      `${name.padEnd(14)} ${count} lines, ${(statSync(path).size / 1e6).toFixed(0)} MB, ${alerts} alerts, ${report.bans.length} bans, ${report.wouldBans.length} would, ${cut} with collateral: ` +
        `${seconds.toFixed(1)} s, ${cpu.toFixed(1)} s CPU, ${mb.toFixed(0)} MB RSS; plain read ${floor.cpu.toFixed(2)} s CPU, ratio ${(cpu / floor.cpu).toFixed(0)}${kept ? '' : '  OVER THE PROMISE'}`,
    );
  };
  const alerts = write(path, lines, eveLines(3));
  show('lines', lines, alerts);
  const plain = join(directory, 'plain');
  await pipeline(createReadStream(path), createWriteStream(plain));
  await pipeline(createReadStream(plain), createGzip({ level: 1 }), createWriteStream(path));
  show('gzip', lines, alerts);
  rmSync(plain);
  show('array', lines, write(path, lines, eveLines(3), '[\n', ',', ']\n'));
  const some = Math.ceil(lines / 10);
  show('alerts only', some, write(path, some, alertsOnly()));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
process.exit(broken === 0 ? 0 : 1);
