// How much memory does the filter add to the process, and does it stay at that? Two
// daemons with every detector on, one in mode `off` (no worker, no tables), one in
// mode `enforce`: resident memory a minute after the start, and a minute after a flood
// of random sources through the real queue has touched every page of the tables. Then
// the pipeline alone, in a process of its own, takes 100 million packets of random
// sources: its memory has to be flat once the tables are full.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '../dist/config/load.js';
import { newPipeline } from './support/filter.mjs';
import { compileOrSay } from './support/floor.mjs';
import { Lab, rssMegabytes, sleep, until } from './support/lab.mjs';
import { RandomPackets } from './support/random-packets.mjs';

const PACKETS = Number(process.env.PACKETS ?? 100_000_000);
const FLOOD = Number(process.env.FLOOD ?? 3_000_000);
const SETTLE = Number(process.env.SETTLE ?? 60) * 1000;
const STEPS = 10;
/** Between them they use every table. The last address given counts, so IPv6 goes to one of its own. */
const KINDS = [
  ['-k', 'syn', '-f', '11.0.0.0'],
  ['-k', 'icmp', '-f', '11.0.0.0'],
  ['-k', 'syn6', '-f', '2001:db8::', '-d', '2001:db8:9::1'],
];
/** Every detector that is off as shipped. */
const ALL_ON = { udp: { more_than: '2000/s per source', during: '3s', then: 'ban 10m' } };

if (process.argv[2] === 'pipeline') {
  pipelineAlone();
  process.exit(0);
}
await daemons();
const self = fileURLToPath(import.meta.url);
process.exit(spawnSync(process.execPath, ['--expose-gc', self, 'pipeline'], { stdio: 'inherit' }).status ?? 1);

async function daemons() {
  const programs = compileOrSay();
  const labs = { off: new Lab('mem-off'), enforce: new Lab('mem-on') };
  try {
    const daemon = {};
    for (const [mode, lab] of Object.entries(labs)) {
      writeFileSync(`${lab.folder}/eve.json`, '');
      // Behind the filter, so that nothing answers the flood.
      lab.run(lab.server, 'iptables', '-w', '-A', 'INPUT', '-i', 'bq0', '-j', 'DROP');
      const config = lab.config({ mode, filter: ALL_ON });
      const { child } = await lab.daemon(config);
      if (mode === 'enforce') await until('the queue is bound', () => lab.status(config).queue.bound);
      daemon[mode] = { pid: child.pid, config };
    }
    const both = () => ({ off: rssMegabytes(daemon.off.pid), enforce: rssMegabytes(daemon.enforce.pid) });
    const say = (when, { off, enforce }) =>
      console.log(
        `${when.padEnd(34)} without ${off.toFixed(1)} MB, with ${enforce.toFixed(1)} MB: the filter adds ${(enforce - off).toFixed(1)} MB`,
      );
    await sleep(SETTLE);
    say(`${SETTLE / 1000} s after the start`, both());
    // The same to both: in mode off the packets pass. Ports enough that no service of them is flooded.
    const much = ['-n', '0', '-p', '1000', '-q', '5000', '-r', '80000', '-c', String(Math.ceil(FLOOD / 3))];
    let sent = 0;
    for (const lab of Object.values(labs)) {
      sent = 0;
      for (const kind of KINDS) sent += (await lab.flood(programs.flood, [...kind, ...much]).done).sent;
    }
    await sleep(SETTLE);
    say(`${SETTLE / 1000} s after ${sent} packets`, both());
    const { packets, unfiltered } = labs.enforce.status(daemon.enforce.config).queue;
    console.log(`judged ${packets}, unfiltered ${unfiltered}; goal: the filter adds at most 40 MB`);
  } finally {
    for (const lab of Object.values(labs)) await lab.clear();
    programs.clear();
  }
}

/** Resident memory while the worker's pipeline judges packets of random sources. */
function pipelineAlone() {
  const { filter } = parseConfig(JSON.stringify({ filter: ALL_ON }), 'bench');
  const packets = new RandomPackets();
  const pipeline = newPipeline(filter);
  const memory = [];
  let detections = 0;
  let drops = 0;
  // A clock of its own: 100,000 packets a second, whatever the machine does.
  let now = 1000;
  const began = performance.now();
  const judge = (count) => {
    for (let i = 0; i < count; i++) {
      if (i % 100 === 0) pipeline.tick(now++, 0);
      const length = packets.next();
      if (pipeline.judge(packets.bytes, 0, Math.min(length, 128), length) === 0) drops += 1;
    }
    if (pipeline.hasDetections) detections += pipeline.take().length;
  };
  const step = PACKETS / STEPS;
  for (let i = 0; i < STEPS; i++) {
    for (let done = 0; done < step; done += 1e6) judge(Math.min(1e6, step - done));
    globalThis.gc();
    memory.push(rssMegabytes(process.pid));
  }
  const ns = ((performance.now() - began) * 1e6) / PACKETS;
  console.log(`\nthe pipeline alone, ${PACKETS} packets of random sources, ${ns.toFixed(0)} ns each with making them`);
  console.log(`dropped ${drops}, detections ${detections}, evictions ${pipeline.evictions}`);
  console.log(`VmRSS after each tenth: ${memory.map((mb) => mb.toFixed(0)).join(' ')} MB`);
  console.log(`growth from the first tenth to the last: ${(memory.at(-1) - memory[0]).toFixed(1)} MB (goal: flat)`);
}
