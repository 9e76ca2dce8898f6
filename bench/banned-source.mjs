// What does a banned source cost userspace that sends 500,000 packets a second? The
// kernel drops them by its set before anything of ours sees them, so the daemon's CPU
// should be that of an idle one. Idle and flooded seconds of the same daemon alternate;
// it is held on core 0, and the generator, with the kernel's work for its packets, on
// core 1.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { compileOrSay } from './support/floor.mjs';
import { cpuNanoseconds, Lab, SERVER, sleep, spread, until } from './support/lab.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 5);
const SECONDS = Number(process.env.SECONDS ?? 10);
const RATE = Number(process.env.RATE ?? 500_000);
const BANNED = '203.0.113.7';
const programs = compileOrSay();
const lab = new Lab('banned');
try {
  writeFileSync(`${lab.folder}/eve.json`, '');
  const config = lab.config({ mode: 'enforce' });
  const { child } = await lab.daemon(config);
  await until('the queue is bound', () => lab.status(config).queue.bound);
  const ban = ['ban', BANNED, '--for', '1h', '--reason', 'benchmark', '--config', config];
  lab.run(lab.server, process.execPath, lab.program, ...ban);
  await until('the ban is in the kernel', () => lab.status(config).kernel.entries === 1);
  execFileSync('taskset', ['-a', '-c', '-p', '0', String(child.pid)], { stdio: 'ignore' });
  // The first seconds of a daemon are not those that it lives in.
  await sleep(SECONDS * 1000);
  const idle = [];
  const flooded = [];
  const dropped = droppedByRule();
  const queued = queuedSoFar(child.pid);
  let sent = 0;
  const rates = [];
  for (let round = 0; round < ROUNDS; round++) {
    idle.push(await share(child.pid, () => sleep(SECONDS * 1000)));
    const args = ['-f', BANNED, '-n', '1', '-r', String(RATE), '-t', String(SECONDS), '-u', '1'];
    flooded.push(
      await share(child.pid, async () => {
        const out = await lab.flood(programs.flood, args).done;
        sent += out.sent;
        rates.push(out.sent / out.seconds);
      }),
    );
  }
  const kernel = droppedByRule() - dropped;
  console.log(`${ROUNDS} rounds of ${SECONDS} s idle and ${SECONDS} s with a banned source, to ${SERVER}`);
  console.log(`sent ${sent} packets, ${spread(rates, 0)} a second; asked for ${RATE}`);
  console.log(`CPU of the daemon idle    ${spread(idle)} % of a core`);
  console.log(`CPU of the daemon flooded ${spread(flooded)} % of a core`);
  const differences = flooded.map((value, i) => value - idle[i]);
  console.log(`difference of the pairs   ${spread(differences)} % of a core (goal: nothing)`);
  console.log(`packets that reached the queue: ${queuedSoFar(child.pid) - queued} (goal: 0)`);
  console.log(`packets dropped by the kernel's rule: ${kernel}, ${((kernel / sent) * 100).toFixed(2)} % of those sent`);
} finally {
  await lab.clear();
  programs.clear();
}

/** CPU of a process while something happens, in % of a core. */
async function share(pid, what) {
  const began = performance.now();
  const before = cpuNanoseconds(pid);
  await what();
  return (cpuNanoseconds(pid) - before) / (performance.now() - began) / 1e4;
}

/** Packets that the rules of table raw dropped by the set of bans. */
function droppedByRule() {
  const text = lab.run(lab.server, 'iptables-save', '-c', '-t', 'raw');
  const match = /^\[(\d+):\d+\] .*--match-set barricata4 src.*-j DROP$/m.exec(text);
  return Number(match[1]);
}

/** Packets numbered by the queues of a process's network namespace. */
function queuedSoFar(pid) {
  const text = readFileSync(`/proc/${pid}/net/netfilter/nfnetlink_queue`, 'utf8');
  const lines = text.trim().split('\n');
  return lines.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[7]), 0);
}
