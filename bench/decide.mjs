/**
 * How many alerts can one core decide, and what does each cost?
 *
 *   node bench/decide.mjs [ROUNDS]        needs `npm run build`
 *
 * The same parsed alerts are decided again and again with the shipped policy,
 * the shipped protections and known rules, every round with the steps that `why`
 * shows left unread, as the daemon leaves most of them. Beside it, turn by turn
 * in the same process: JSON.parse of the same alerts as text, and what a naive
 * blocker does (`src_ip` at severity 2 or worse). Bytes are what the heap grows
 * by while nothing is collected.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { alertRecords } from './support/alert-generator.mjs';

const self = fileURLToPath(import.meta.url);
const COUNT = 20_000;

if (process.argv[2] !== '--inside') {
  const room = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256'];
  const run = spawnSync(process.execPath, [...room, self, '--inside', ...process.argv.slice(2)], { stdio: 'inherit' });
  process.exit(run.status ?? 1);
}

const { loadConfig } = await import('../dist/config/load.js');
const { contextOf } = await import('../dist/policy/context.js');
const { decide } = await import('../dist/policy/decide.js');
const { PolicyMemory } = await import('../dist/policy/memory.js');
const { ruleFacts } = await import('../dist/policy/rule-facts.js');
const { admits } = await import('../dist/protection/admits.js');
const { protectionFacts } = await import('../dist/protection/facts.js');
const { isInfrastructure } = await import('../dist/protection/infrastructure.js');
const { parseAlert } = await import('../dist/suricata/eve-alert.js');
const { RuleTextParser } = await import('../dist/suricata/rule-text.js');

const ROUNDS = Number(process.argv[3] ?? 15);
const at = Date.UTC(2026, 10, 23, 12);
const records = alertRecords(COUNT, at, 1);
const lines = records.map(({ record }) => JSON.stringify(record));
const alerts = lines.map((line) => parseAlert(JSON.parse(line)));
const parser = new RuleTextParser();
const rules = new Map(records.map(({ rule }) => parser.parse(rule)).map((rule) => [rule.sid, rule]));
const known = { rule: (_gid, sid) => rules.get(sid) ?? null };
const config = { ...loadConfig(fileURLToPath(new URL('../config/barricata.yaml', import.meta.url))), mode: 'enforce' };
const facts = protectionFacts(config, [], null, at);
const context = contextOf(config, {
  now: at + 1000,
  refuse: (prefix) => admits(prefix, facts),
  isInfrastructure: (prefix) => isInfrastructure(prefix) !== null,
  ruleFacts: (sid, gid) => ruleFacts(known, sid, gid),
});

const kinds = new Map();
const work = {
  decide() {
    const memory = new PolicyMemory();
    for (const alert of alerts) kept = decide(alert, context, memory);
  },
  'JSON.parse': () => {
    for (const line of lines) kept = JSON.parse(line);
  },
  'ban src_ip at severity <= 2': () => {
    for (const { severity, src } of alerts) kept = severity <= 2 ? { kind: 'ban', address: src.address } : null;
  },
};
/** The last result, so that none is optimised away. */
let kept = null;

for (const alert of alerts) {
  const { kind } = decide(alert, context);
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
}
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const spent = Object.fromEntries(Object.keys(work).map((name) => [name, []]));
const grown = Object.fromEntries(Object.keys(work).map((name) => [name, []]));
for (let round = 0; round < ROUNDS + 5; round++) {
  for (const [name, run] of Object.entries(work)) {
    gc();
    const heap = process.memoryUsage().heapUsed;
    const cpu = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(cpu);
    const bytes = process.memoryUsage().heapUsed - heap;
    // The first rounds warm up.
    if (round < 5) continue;
    spent[name].push((user + system) / 1e6);
    grown[name].push(bytes / COUNT);
  }
}
if (kept === undefined) throw new Error('nothing was decided');

console.log(
  `${COUNT} alerts, ${ROUNDS} rounds, medians [range]: ${[...kinds].map(([kind, n]) => `${n} ${kind}`).join(', ')}`,
);
const perSecond = (name) => COUNT / median(spent[name]);
for (const name of Object.keys(work)) {
  const [low, high] = [COUNT / Math.max(...spent[name]), COUNT / Math.min(...spent[name])];
  const rate = `${(perSecond(name) / 1000).toFixed(0)} k/s [${(low / 1000).toFixed(0)}-${(high / 1000).toFixed(0)}]`;
  console.log(`${name.padEnd(28)} ${rate.padStart(22)} ${median(grown[name]).toFixed(0).padStart(7)} bytes each`);
}
console.log(`ratio to JSON.parse of the same alerts: ${(perSecond('decide') / perSecond('JSON.parse')).toFixed(2)}`);
console.log(`goal: 200 k/s on one core: ${perSecond('decide') >= 200_000 ? 'reached' : 'MISSED'}`);
