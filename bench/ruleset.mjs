// How long reading 60,000 rules takes, next to reading the same file and
// splitting it into lines; how long it holds the event loop up meanwhile; how
// much memory the rules keep.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { readRuleset } from '../dist/suricata/ruleset.js';
import { writeRules } from './support/rules-generator.mjs';

const self = fileURLToPath(import.meta.url);
const RULES = 60_000;

const measurements = {
  async floor(path) {
    const begin = performance.now();
    const lines = (await readFile(path, 'latin1')).split('\n');
    return { ms: performance.now() - begin, lines: lines.length };
  },

  async rules(path) {
    globalThis.gc?.();
    const before = process.memoryUsage();
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const begin = performance.now();
    const ruleset = await readRuleset(path);
    const ms = performance.now() - begin;
    delay.disable();
    globalThis.gc?.();
    const after = process.memoryUsage();
    const megabytes = (after.heapUsed + after.external - before.heapUsed - before.external) / 1e6;
    return {
      ms,
      size: ruleset.size,
      faults: ruleset.faults.size,
      stall: delay.max / 1e6,
      p99: delay.percentile(99) / 1e6,
      megabytes,
    };
  },
};

function measure(name, path) {
  const run = spawnSync(process.execPath, ['--expose-gc', self, '--measure', name, path], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (run.status !== 0) throw new Error(`${name} ended with ${run.status}`);
  return JSON.parse(run.stdout);
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function main(rounds) {
  const folder = mkdtempSync(join(tmpdir(), 'barricata-bench-'));
  try {
    const path = join(folder, 'bench.rules');
    writeRules(path, RULES);
    console.log(`file: ${statSync(path).size} bytes, ${RULES} rules switched on, half as many switched off`);
    const floor = [];
    const rules = [];
    for (let round = 0; round < rounds; round++) {
      floor.push(measure('floor', path));
      rules.push(measure('rules', path));
    }
    for (const { size, faults } of rules)
      if (size !== RULES || faults > 0) throw new Error(`read ${size} rules, ${faults} faults`);
    const of = (runs, field) => median(runs.map((run) => run[field]));
    console.log(`floor, read and split: ${of(floor, 'ms').toFixed(0)} ms`);
    console.log(
      `rules read:            ${of(rules, 'ms').toFixed(0)} ms (longest of ${rounds}: ${Math.max(...rules.map(({ ms }) => ms)).toFixed(0)} ms)`,
    );
    console.log(`ratio to the floor:    ${(of(rules, 'ms') / of(floor, 'ms')).toFixed(2)}`);
    console.log(
      `event loop held up:    p99 ${of(rules, 'p99').toFixed(1)} ms, longest ${of(rules, 'stall').toFixed(1)} ms`,
    );
    console.log(`memory kept:           ${of(rules, 'megabytes').toFixed(1)} MB`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [, , first, name, ...args] = process.argv;
if (first === '--measure') process.stdout.write(JSON.stringify(await measurements[name](...args)));
else await main(Number(first ?? 5));
