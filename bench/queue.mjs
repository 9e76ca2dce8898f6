// What does a verdict cost, against the C floor of the same run? A filter is stopped
// (SIGSTOP), its queue filled with first packets, and the filter continued: what is
// counted is its CPU time, kernel work for receiving and for the verdicts included,
// until the queue is empty, so that it never waits and its batches are full. Three
// filters take turns on the same core:
//
//   accept      the C floor, accepting everything: the least a verdict can cost
//   heuristics  the C floor with the same heuristics (bench/floor/)
//   barricata   the real worker entry, in a worker thread of a process of its own
//
// A ratio is the median of those of the rounds, each between neighbours in time. The
// thread's time is the worker's alone; the process's has the compiler and the
// collector of V8 in it. Where there is no C compiler the floor is a worker thread
// that accepts everything. Needs root; runs in a network namespace of its own.
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { queueStatuses } from '../dist/netlink/nfqueue-status.js';
import { compileFloor, startCounting } from './support/floor.mjs';
import { quantile, spread, until } from './support/lab.mjs';
import { openWire } from './support/wire.mjs';

if (process.argv[2] !== 'inside') {
  const self = fileURLToPath(import.meta.url);
  process.exit(spawnSync('unshare', ['-n', process.execPath, self, 'inside'], { stdio: 'inherit' }).status ?? 1);
}

const ROUNDS = Number(process.env.ROUNDS ?? 9);
const WARM_UP = 3;
/** A worker that stood still for half a second forgives what waited; the stop must stay well below that. */
const STOPPED_AT_MOST_MS = 250;
const BACKLOG = 32_768;
const CASES = [
  { name: 'SYN, random sources', kind: 'syn', sources: 0 },
  { name: 'SYN, 1,000 sources', kind: 'syn', sources: 1000 },
  { name: 'SYN over IPv6, random /64s', kind: 'syn6', sources: 0 },
  { name: 'ICMP, one in 16 too large: mixed verdicts', kind: 'icmp', sources: 0, large: 16 },
  { name: 'port scans of 1,000 sources', kind: 'scan', sources: 1000 },
];
const host = fileURLToPath(new URL('support/queue-host.mjs', import.meta.url));
const run = (command, ...args) => execFileSync(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
const programs = compileFloor();
const PACKETS = Number(process.env.PACKETS ?? (programs === null ? 12_000 : 20_000));

/** The filters, each with a queue of its own that packets to its own address go to. */
const FILTERS =
  programs === null
    ? [
        { name: 'accept', command: process.execPath, args: (queue) => [host, queue, 'accept', String(BACKLOG)] },
        { name: 'barricata', command: process.execPath, args: (queue) => [host, queue, 'barricata', String(BACKLOG)] },
      ]
    : [
        { name: 'accept', command: programs.floor, args: (queue) => [queue, 'accept', String(BACKLOG)] },
        { name: 'heuristics', command: programs.floor, args: (queue) => [queue, 'heuristics', String(BACKLOG)] },
        { name: 'barricata', command: process.execPath, args: (queue) => [host, queue, 'barricata', String(BACKLOG)] },
      ];
const FLOOR = programs === null ? 'accept' : 'heuristics';

try {
  const send = layOut();
  const cases = programs === null ? CASES.slice(0, 1) : CASES;
  console.log(`${ROUNDS} rounds of ${PACKETS} first packets, drained from a full queue; CPU time, medians [range]`);
  if (programs === null) console.log('no C compiler: the floor is a worker thread that accepts everything');
  for (const one of cases) await measure(one, send);
  console.log(`goal: at least 90 % of the verdicts a second of the C floor with the same heuristics (ratio 1.11)`);
} finally {
  programs?.clear();
}

async function measure(one, send) {
  const running = [];
  const results = new Map();
  try {
    for (const [index, filter] of FILTERS.entries()) running.push(await begin(filter, index));
    for (const { name } of running) results.set(name, { thread: [], process: [] });
    for (let round = 0; round < ROUNDS + WARM_UP; round++) {
      for (const filter of inTurn(running, round)) {
        const { thread, whole } = await drain(filter, () => send(one, filter.index));
        if (round < WARM_UP) continue;
        results.get(filter.name).thread.push(thread);
        results.get(filter.name).process.push(whole);
      }
    }
  } finally {
    for (const filter of running) filter.counts = await filter.stop();
  }
  report(one, running, results);
}

/** The two that are compared follow each other, now in this order and now in that. */
function inTurn(running, round) {
  const [barricata, floor, ...rest] = running.toReversed();
  return round % 2 ? [...rest, floor, barricata] : [...rest, barricata, floor];
}

async function begin(filter, index) {
  const queue = String(101 + index);
  const cores = ['-c', '0', 'nice', '-n', '-20'];
  const started = await startCounting('taskset', [...cores, filter.command, ...filter.args(queue)]);
  const tid = filter.name === 'barricata' || programs === null ? JSON.parse(started.first).tid : started.child.pid;
  return { ...started, name: filter.name, index, queue: Number(queue), pid: started.child.pid, tid, repeated: 0 };
}

/** CPU nanoseconds a packet of the thread that gives verdicts, and of its process. */
async function drain(filter, fill) {
  for (let tries = 0; tries < 20; tries++) {
    process.kill(filter.pid, 'SIGSTOP');
    const stopped = performance.now();
    fill();
    const waiting = waitingIn(filter.queue);
    const before = cpu(filter);
    const stood = performance.now() - stopped;
    process.kill(filter.pid, 'SIGCONT');
    await until('the queue is empty', () => waitingIn(filter.queue) === 0, 10_000, 2);
    const after = cpu(filter);
    // Another program took the core meanwhile, or the queue held less than was sent: once more.
    if (stood > STOPPED_AT_MOST_MS || waiting < PACKETS * 0.98) {
      filter.repeated += 1;
      continue;
    }
    return { thread: (after.thread - before.thread) / waiting, whole: (after.whole - before.whole) / waiting };
  }
  throw new Error(`${filter.name}: the queue could not be filled within ${STOPPED_AT_MOST_MS} ms`);
}

function waitingIn(queue) {
  return queueStatuses().find(({ number }) => number === queue)?.waiting ?? 0;
}

function cpu({ pid, tid }) {
  const of = (task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  let whole = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) whole += of(task);
  return { thread: of(tid), whole };
}

function report(one, running, results) {
  const percent = ({ counts }) => ((counts.dropped ?? 0) / counts.packets) * 100;
  console.log(`\n${one.name}`);
  for (const filter of running) {
    const { thread, process: whole } = results.get(filter.name);
    const rate = (1e6 / quantile(thread, 0.5)).toFixed(0).padStart(4);
    const again = filter.repeated > 0 ? `; disturbed and done again: ${filter.repeated}` : '';
    const all = (filter.name === 'barricata' ? `; process ${spread(whole, 0)}` : '') + again;
    console.log(
      `  ${filter.name.padEnd(11)} ${spread(thread, 0).padEnd(18)} ns/packet, ${rate} k verdicts per CPU-second, dropped ${percent(filter).toFixed(1)} %${all}`,
    );
    if (filter.counts.unjudged > 0 && filter.repeated === 0)
      throw new Error(`${filter.counts.unjudged} packets were not judged`);
  }
  const against = (floor, kind) => {
    const ours = results.get('barricata')[kind];
    return ours.map((value, i) => value / results.get(floor).thread[i]);
  };
  const ratios = against(FLOOR, 'thread');
  const share = (100 / quantile(ratios, 0.5)).toFixed(0);
  console.log(`  ratio to ${FLOOR} ${spread(ratios)} = ${share} % of its verdicts a second`);
  console.log(`  with the whole process ${spread(against(FLOOR, 'process'))}`);
  if (FLOOR !== 'accept') console.log(`  ratio to accept ${spread(against('accept', 'thread'))}`);
}

/** Two ends of a wire, an address and a queue for each filter; gives the function that fills a queue. */
function layOut() {
  run('ip', 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
  for (const end of ['near', 'far']) run('ip', 'link', 'set', end, 'up');
  run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.near.rp_filter=0');
  const target = (family, index) => (family === 4 ? `10.9.0.${index + 1}` : `2001:db8:9::${index + 1}`);
  for (const [family, iptables] of [
    [4, 'iptables'],
    [6, 'ip6tables'],
  ]) {
    for (const index of FILTERS.keys()) {
      const address = target(family, index);
      run(
        'ip',
        'address',
        'add',
        `${address}/${family === 4 ? 24 : 64}`,
        'dev',
        'near',
        ...(family === 6 ? ['nodad'] : []),
      );
      const queue = ['-j', 'NFQUEUE', '--queue-num', String(101 + index), '--queue-bypass'];
      run(iptables, '-w', '-t', 'mangle', '-A', 'PREROUTING', '-i', 'near', '-d', address, ...queue);
    }
    run(iptables, '-w', '-A', 'INPUT', '-i', 'near', '-j', 'DROP');
  }
  const links = JSON.parse(execFileSync('ip', ['-j', 'link', 'show'], { encoding: 'utf8' }));
  const mac = links.find((link) => link.ifname === 'near').address;
  if (programs === null) {
    const wire = openWire('far', 'near', target(4, 0));
    return (_, index) => wire.send(PACKETS, target(4, index));
  }
  let seed = 1;
  return (one, index) => {
    const family = one.kind === 'syn6' ? 6 : 4;
    const where = ['-i', 'far', '-m', mac, '-d', target(family, index)];
    const from = [
      '-f',
      family === 4 ? '11.0.0.0' : '2001:db8::',
      '-n',
      String(one.sources),
      '-l',
      String(one.large ?? 0),
    ];
    const much = ['-k', one.kind, '-c', String(PACKETS), '-s', String(seed++), '-u', '1'];
    run('nice', '-n', '-20', programs.flood, ...where, ...from, ...much);
  };
}
