// What does a packet cost in the packet path, and how much of it is ours? A queue
// is filled with SYNs of random sources while nobody reads it, then emptied, by the
// real pipeline and by a loop that accepts everything (the floor: the same receive
// and verdict calls). Both in the same run, turn by turn; CPU time is that of this
// process, kernel work for the verdicts included. Needs root; runs in namespaces of
// its own.
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '../dist/config/load.js';
import { Pipeline } from '../dist/filter/pipeline.js';
import { libc } from '../dist/netlink/libc.js';
import { Nfqueue } from '../dist/netlink/nfqueue.js';
import { queueStatuses } from '../dist/netlink/nfqueue-status.js';
import { NetlinkSocket } from '../dist/netlink/socket.js';

const QUEUE = 100;
const PACKETS = 12_000;
const ROUNDS = Number(process.env.ROUNDS ?? 9);
const FILTER = parseConfig('', 'default').filter;

if (process.argv[2] !== 'inside') {
  const self = fileURLToPath(import.meta.url);
  process.exit(spawnSync('unshare', ['-n', process.execPath, self, 'inside'], { stdio: 'inherit' }).status ?? 1);
}

const run = (command, ...args) => execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
run('ip', 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
run('ip', 'address', 'add', '10.9.0.1/24', 'dev', 'near');
run('ip', 'link', 'set', 'near', 'up');
run('ip', 'link', 'set', 'far', 'up');
run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.near.rp_filter=0');
const wire = openWire();
const target = ['-j', 'NFQUEUE', '--queue-num', String(QUEUE), '--queue-bypass'];
run('iptables', '-t', 'mangle', '-A', 'PREROUTING', '-i', 'near', '-p', 'tcp', '--syn', ...target);
run('iptables', '-A', 'INPUT', '-i', 'near', '-j', 'DROP');

const socket = NetlinkSocket.open();
const queue = Nfqueue.open({ number: QUEUE, failOpen: false, backlog: 32_768, waitMs: 200 }, socket);
const pipeline = new Pipeline(FILTER, 1);
const results = { floor: [], pipeline: [] };
for (let round = 0; round < ROUNDS + 2; round++) {
  for (const name of round % 2 ? ['floor', 'pipeline'] : ['pipeline', 'floor']) {
    const ns = drain(queue, name === 'floor' ? null : pipeline);
    // Two rounds to warm up.
    if (round >= 2) results[name].push(ns);
  }
}
socket.close();
const floor = median(results.floor);
const ours = median(results.pipeline);
const line = (name, values) => {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const middle = median(values);
  return `${name.padEnd(28)} ${middle.toFixed(0).padStart(6)} ns/packet [${low.toFixed(0)}-${high.toFixed(0)}]  ${(1e6 / middle).toFixed(0).padStart(5)} k verdicts per CPU-second`;
};
console.log(
  `${ROUNDS} rounds of ${PACKETS} SYNs from random sources, emptied from a full queue; CPU time, medians [range]`,
);
console.log(line('accept everything (floor)', results.floor));
console.log(line('parse, detect, verdict', results.pipeline));
console.log(
  `ratio ${(ours / floor).toFixed(2)} x floor; parsing and detecting cost ${(ours - floor).toFixed(0)} ns a packet`,
);
console.log(`parsing and detecting alone, without the kernel: ${judgeOnly().toFixed(0)} ns a packet`);

function drain(queue, pipeline) {
  wire.send(PACKETS);
  const waiting = queueStatuses()[0].waiting;
  if (waiting < PACKETS / 2) throw new Error(`only ${waiting} packets were queued`);
  const judge = pipeline === null ? () => 1 : pipeline.judge;
  let done = 0;
  const before = process.cpuUsage();
  while (done < waiting) {
    pipeline?.tick(performance.now(), Date.now());
    done += queue.step(judge, false);
  }
  const { user, system } = process.cpuUsage(before);
  while (queue.step(() => 1, false) > 0);
  return ((user + system) * 1000) / done;
}

/** Puts SYNs of random sources on the wire, by a packet socket on the far end. */
function openWire() {
  const links = JSON.parse(execFileSync('ip', ['-j', 'link', 'show'], { encoding: 'utf8' }));
  const about = (name, field) => links.find((link) => link.ifname === name)[field];
  const system = libc();
  const fd = system.socket(17, 3, 0); // AF_PACKET, SOCK_RAW
  const address = new Uint8Array(20); // struct sockaddr_ll
  const view = new DataView(address.buffer);
  view.setUint16(0, 17, true);
  view.setUint16(2, 0x0800);
  view.setInt32(4, about('far', 'ifindex'), true);
  if (fd < 0 || system.bind(fd, address, 20) < 0) throw new Error(`packet socket: errno ${system.errno()}`);
  const frame = new Uint8Array(54);
  frame.set(Buffer.from(about('near', 'address').replaceAll(':', ''), 'hex'), 0);
  frame.set(Buffer.from(about('far', 'address').replaceAll(':', ''), 'hex'), 6);
  frame[12] = 8;
  const packet = frame.subarray(14);
  let seed = 0;
  return {
    send(count) {
      for (let i = 0; i < count; i++) {
        syn(packet, seed++);
        system.send(fd, frame, frame.length, 0);
      }
    },
  };
}

/** The same without a kernel: SYNs of 65,536 random sources, over and over. */
function judgeOnly() {
  const pool = 65_536;
  const bytes = new Uint8Array(pool * 64);
  for (let i = 0; i < pool; i++) syn(bytes.subarray(i * 64), i);
  const judged = new Pipeline(FILTER, 1);
  const times = [];
  for (let round = 0; round < 12; round++) {
    judged.tick(round * 1000, 0);
    const before = performance.now();
    for (let i = 0; i < pool; i++) judged.judge(bytes, i * 64, 40, 40);
    times.push(((performance.now() - before) * 1e6) / pool);
  }
  return median(times.slice(4));
}

/** Writes a SYN of 40 bytes, from an address outside every special range. */
function syn(bytes, seed) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(0, 0x45000028);
  view.setUint32(4, 0x00010000);
  view.setUint32(8, 0x40060000);
  view.setUint32(12, 0x0b000000 + (Math.imul(seed + 1, 2654435761) >>> 6));
  view.setUint32(16, 0x0a090001);
  view.setUint32(20, 0x9c400050);
  view.setUint32(32, 0x50022000);
  let sum = 0;
  view.setUint16(10, 0);
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
  view.setUint16(10, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
