// What does the packet path cost at an ordinary load, and what does a new connection
// wait for it? First packets of thousands of sources, all below every threshold, reach
// the server while a probe connects to it. The same three times, in turn: without a
// filter, with the C floor (bench/floor) on the same packets, and with the daemon.
// CPU is that of the whole process, its kernel work included: what a packet causes
// after its verdict (the whole handshake, where it opens a connection) the kernel does
// in the process that gave it, so there the floor is what counts. Packets one by one
// wake the filter for each; from a real interface they come some at a time.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compileOrSay, startCounting } from './support/floor.mjs';
import { cpuNanoseconds, Lab, quantile, SERVER, sleep, spread, until } from './support/lab.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 3);
const SECONDS = Number(process.env.SECONDS ?? 5);
const SAMPLES = Number(process.env.SAMPLES ?? 400);
const LOADS = [
  { name: 'idle', rate: 0 },
  { name: '1,000/s one by one', rate: 1000, at: 1 },
  { name: '10,000/s one by one', rate: 10_000, at: 1 },
  { name: '10,000/s, 8 at a time', rate: 10_000, at: 8 },
  { name: '10,000/s, 64 at a time', rate: 10_000, at: 64 },
  { name: '10,000/s, completed connections', rate: 10_000, at: null },
];
/** Where the probe connects to; where the load's packets go; and where its connections do. */
const PORT = 8080;
const DROPPED = { first: 2000, count: 64 };
const SERVED = { first: 9000, count: 8 };
const probe = fileURLToPath(new URL('support/connect-probe.py', import.meta.url));
const programs = compileOrSay();
const lab = new Lab('load');

/** Each begins, and gives its process (`null` = none) and its end. */
const SETUPS = {
  none: async () => ({ pid: null, end: async () => {} }),
  'C floor': async () => {
    const rule = ['PREROUTING', '-i', 'bq0', '-p', 'tcp', '!', '--tcp-flags', 'ACK', 'ACK', '-j', 'NFQUEUE'];
    const change = (how) => lab.run(lab.server, 'iptables', '-w', '-t', 'mangle', how, ...rule, '--queue-num', '100');
    const args = ['netns', 'exec', lab.server, programs.floor, '100', 'heuristics', '8192'];
    const { child, stop } = await startCounting('ip', args);
    lab.children.push(child);
    change('-A');
    const end = async () => {
      change('-D');
      judged['C floor'] += (await stop()).packets;
    };
    return { pid: child.pid, end };
  },
  barricata: async () => {
    const config = lab.config({ mode: 'enforce' });
    const { child } = await lab.daemon(config);
    await until('the queue is bound', () => lab.status(config).queue.bound);
    const end = async () => {
      const { queue } = lab.status(config);
      judged.barricata += queue.packets;
      unfiltered += queue.unfiltered;
      const found = Object.values(queue.detections).reduce((sum, count) => sum + count, 0);
      if (found > 0) throw new Error(`the load is not below the thresholds: ${JSON.stringify(queue.detections)}`);
      await lab.end(child);
    };
    return { pid: child.pid, end };
  },
};
const judged = { 'C floor': 0, barricata: 0 };
let unfiltered = 0;
let sent = 0;

try {
  writeFileSync(`${lab.folder}/eve.json`, '');
  // Behind the filter, so that packets are judged, accepted and routed, and answered by nobody.
  lab.run(lab.server, 'iptables', '-w', '-A', 'INPUT', '-p', 'tcp', '--dport', '2000:2063', '-j', 'DROP');
  const listeners = [
    lab.begin(lab.server, 'python3', [probe, 'listen', SERVER, String(PORT)]),
    lab.begin(lab.server, programs.connections, ['serve', SERVER, String(SERVED.first), String(SERVED.count)]),
  ];
  for (const { stdout } of listeners) await new Promise((resolve) => stdout.once('data', resolve));
  const results = new Map();
  for (let round = 0; round < ROUNDS; round++) {
    const names = Object.keys(SETUPS);
    for (let i = 0; i < names.length; i++) {
      const name = names[(round + i) % names.length];
      const setup = await SETUPS[name]();
      await measure({ rate: 10_000, at: 8 }, setup, 2, 20);
      for (const load of LOADS) add(results, name, load, await measure(load, setup, SECONDS, SAMPLES));
      await setup.end();
    }
  }
  report(results);
} finally {
  await lab.clear();
  programs.clear();
}

/** Starts a load for so many seconds; its promise gives what was sent. */
function start({ rate, at }, seconds) {
  if (rate === 0) return Promise.resolve({ sent: 0 });
  if (at === null) {
    const where = ['open', SERVER, String(SERVED.first), String(SERVED.count), '203.0.112.0', '3500'];
    const args = ['-c', '1', programs.connections, ...where, String(rate), String(seconds)];
    return lab.runAside(lab.attacker, 'taskset', ...args).then(JSON.parse);
  }
  const from = ['-f', '203.0.112.0', '-n', '3500', '-p', String(DROPPED.first), '-q', String(DROPPED.count)];
  const much = ['-r', String(rate), '-b', String(at), '-t', String(seconds), '-s', String(1 + (sent % 1e6))];
  return lab.flood(programs.flood, [...from, ...much, '-u', '1']).done;
}

async function measure(load, { pid }, seconds, samples) {
  const running = start(load, seconds + 1);
  await sleep(300);
  const began = performance.now();
  const before = pid === null ? 0 : cpuNanoseconds(pid);
  const connect = ['connect', SERVER, String(PORT), '203.0.127.1', String(samples), String(seconds - 0.5)];
  const text = await lab.runAside(lab.attacker, 'python3', probe, ...connect);
  const cpu = pid === null ? 0 : (cpuNanoseconds(pid) - before) / (performance.now() - began) / 1e4;
  const out = await running;
  sent += out.sent;
  const rate = out.sent / (out.seconds ?? 1);
  return { cpu, rate, completed: out.completed ?? 0, begun: out.sent, times: text.trim().split('\n').map(Number) };
}

function add(results, setup, load, { times, ...rest }) {
  const key = `${load.name}: ${setup}`;
  const entry = results.get(key) ?? { cpu: [], rate: [], completed: [], begun: [], times: [] };
  for (const [name, value] of Object.entries(rest)) entry[name].push(value);
  entry.times.push(...times);
  results.set(key, entry);
}

function report(results) {
  const count = ROUNDS * SAMPLES;
  console.log(
    `${ROUNDS} rounds of ${SECONDS} s; first packets of 3,500 sources to 64 ports; ${count} connections a row`,
  );
  console.log('CPU of the process in % of a core, median [range]; time to connect in microseconds\n');
  for (const load of LOADS) {
    const of = (setup) => results.get(`${load.name}: ${setup}`);
    const at = (setup, q) => quantile(of(setup).times, q);
    console.log(load.name);
    for (const setup of Object.keys(SETUPS)) {
      const cpu = setup === 'none' ? '-' : spread(of(setup).cpu);
      const times = [0.5, 0.9, 0.99].map((q) => `p${q * 100} ${at(setup, q).toFixed(0)}`).join('  ');
      const added = [0.5, 0.99].map((q) => `p${q * 100} ${(at(setup, q) - at('none', q)).toFixed(0)}`).join('  ');
      console.log(
        `  ${setup.padEnd(10)} CPU ${cpu.padEnd(20)} ${times}${setup === 'none' ? '' : `   added: ${added}`}`,
      );
    }
  }
  console.log(
    `\nof ${(sent / 3).toFixed(0)} packets for each, judged: C floor ${judged['C floor']}, barricata ${judged.barricata} (unfiltered ${unfiltered})`,
  );
  console.log('goal at 10,000/s: under 6 % of a core; added p50 under 100 us, p99 under 1,000 us');
}
