/**
 * How fast do bans enter the kernel?
 *
 *   node bench/kernel-apply.mjs [ELEMENTS] [PAIRS]        needs `npm run build`, root
 *
 * The same list with timeouts into a hash:net with counters: by the netlink
 * backend (gate, checks and all), and by `ipset restore` reading ready-made text,
 * one after the other, the order changing from pair to pair; medians and ranges
 * of the pairs. Then single changes, as a ban or an unban makes them, against the
 * start of one `ipset add` process; a full dump; and the longest time that the
 * event loop was held. Runs in a network namespace of its own.
 */
import { spawnSync } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);
if (process.env['BARRICATA_BENCH_NETNS'] === undefined) {
  const { status } = spawnSync('unshare', ['-n', process.execPath, self, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, BARRICATA_BENCH_NETNS: '1' },
  });
  process.exit(status ?? 1);
}

const { IpsetBackend } = await import('../dist/enforcement/ipset-backend.js');
const { maxelemFor } = await import('../dist/enforcement/sets.js');
const { systemClock } = await import('../dist/base/clock.js');
const { prefix } = await import('../dist/net/prefix.js');

const elements = Number(process.argv[2] ?? 100_000);
const pairs = Number(process.argv[3] ?? 9);
const SINGLES = 2000;

const text = (i) => `${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.9`;
const texts = Array.from({ length: elements }, (_, i) => text(i));
const until = Date.now() + 3_600_000;
const wanted = texts.map((t) => ({ prefix: prefix(t), until, fresh: true }));
const script = texts.map((t) => `add floor ${t} timeout 3600\n`).join('');
const create = ['create', 'floor', 'hash:net', 'maxelem', String(maxelemFor(elements)), 'timeout', '0', 'counters'];

const backend = new IpsetBackend({ gate: () => null, clock: systemClock, maxelem: maxelemFor(elements) });

function ipset(args, input) {
  const { status, stderr } = spawnSync('ipset', args, { input, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`ipset ${args.join(' ')}: ${stderr}`);
}

async function netlink() {
  await backend.open();
  const began = performance.now();
  const { added } = await backend.apply('ban', wanted, []);
  const took = performance.now() - began;
  if (added !== elements || (await backend.size('ban')).ipv4 !== elements) throw new Error(`only ${added} added`);
  await backend.destroy();
  return took;
}

async function restore() {
  ipset(create);
  const began = performance.now();
  ipset(['-exist', 'restore'], script);
  const took = performance.now() - began;
  ipset(['destroy', 'floor']);
  return took;
}

const sorted = (values) => [...values].sort((a, b) => a - b);
const quantile = (values, q) => sorted(values)[Math.min(values.length - 1, Math.floor(values.length * q))];
const range = (values, digits = 0) =>
  `median ${quantile(values, 0.5).toFixed(digits)} [${Math.min(...values).toFixed(digits)}-${Math.max(...values).toFixed(digits)}]`;

await netlink();
await restore();
const times = { netlink: [], restore: [] };
for (let pair = 0; pair < pairs; pair++) {
  const order = [
    ['netlink', netlink],
    ['restore', restore],
  ];
  if (pair % 2 === 1) order.reverse();
  for (const [name, run] of order) {
    globalThis.gc?.();
    times[name].push(await run());
  }
}
const ratios = times.netlink.map((ms, i) => times.restore[i] / ms);
console.log(`${elements} elements with timeout, ${pairs} pairs`);
console.log(`  netlink backend  ${range(times.netlink, 1)} ms`);
console.log(`  ipset restore    ${range(times.restore, 1)} ms (its text ready beforehand)`);
console.log(`  ratio            ${range(ratios, 1)} times as fast as ipset restore`);

await backend.open();
await backend.apply('ban', wanted, []);
const adds = [];
const removals = [];
for (let i = 0; i < SINGLES; i++) {
  const one = prefix(`198.${18 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`);
  let began = performance.now();
  await backend.apply('ban', [{ prefix: one, until, fresh: true }], []);
  adds.push((performance.now() - began) * 1000);
  began = performance.now();
  await backend.apply('ban', [], [one]);
  removals.push((performance.now() - began) * 1000);
}
ipset(create);
const spawned = [];
for (let i = 0; i < 100; i++) {
  const began = performance.now();
  ipset(['add', 'floor', text(i), 'timeout', '3600']);
  spawned.push((performance.now() - began) * 1000);
}
const both = (values) => `p50 ${quantile(values, 0.5).toFixed(1)} us, p99 ${quantile(values, 0.99).toFixed(1)} us`;
console.log(`single change among ${elements} elements, ${SINGLES} each`);
console.log(`  add              ${both(adds)}`);
console.log(`  remove           ${both(removals)}`);
console.log(`  ipset add        ${both(spawned)} (a process each, 100)`);
console.log(
  `  ratio            ${(quantile(spawned, 0.5) / quantile(adds, 0.5)).toFixed(0)} times as fast as a process`,
);

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
await new Promise((resolve) => setTimeout(resolve, 20));
delay.reset();
let began = performance.now();
let seen = 0;
for await (const page of backend.dump('ban')) seen += page.length;
const dumped = performance.now() - began;
began = performance.now();
await backend.apply('ban', wanted, []);
const refreshed = performance.now() - began;
await new Promise((resolve) => setTimeout(resolve, 5));
delay.disable();
began = performance.now();
const size = await backend.size('ban');
const counted = performance.now() - began;
if (seen < elements || size.ipv4 < elements) throw new Error(`the dump gave ${seen}`);
console.log(`whole set`);
console.log(`  dump             ${dumped.toFixed(1)} ms`);
console.log(`  refresh of all   ${refreshed.toFixed(1)} ms`);
console.log(`  count            ${counted.toFixed(2)} ms`);
console.log(`  event loop held  at most ${(delay.max / 1e6).toFixed(1)} ms during dump and refresh`);
await backend.destroy();
await backend.close();
