/**
 * The attacker of the self-test, a process inside its namespace: takes attacks as
 * lines of JSON on standard input, puts their packets on the wire through a packet
 * socket, and answers each by how many it sent. `stop` ends the one under way.
 */

import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { libc } from '../../../netlink/libc.js';
import { packetOf, type Shots } from '../packets.js';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETHERNET_IP = 0x0800;
/** Packets between two looks at standard input. */
const BURST = 64;

const [device = '', gateway = ''] = process.argv.slice(2);
const system = libc();
const fd = system.socket(AF_PACKET, SOCK_RAW, 0);
const sys = (name: string) => readFileSync(`/sys/class/net/${device}/${name}`, 'utf8').trim();
const mac = (text: string) => Buffer.from(text.replaceAll(':', ''), 'hex');
// struct sockaddr_ll: family u16, protocol be16, index i32, and what a sender leaves 0.
const address = Buffer.alloc(20);
address.writeUInt16LE(AF_PACKET, 0);
address.writeUInt16BE(ETHERNET_IP, 2);
address.writeInt32LE(Number(sys('ifindex')), 4);
if (fd < 0 || system.bind(fd, address, address.length) < 0) {
  process.stderr.write(`packet socket: errno ${system.errno()}\n`);
  process.exit(1);
}
const header = Buffer.concat([mac(gateway), mac(sys('address')), Buffer.from([ETHERNET_IP >> 8, ETHERNET_IP & 255])]);
let stopped = false;

async function shoot(shots: Shots): Promise<number> {
  stopped = false;
  const began = performance.now();
  let sent = 0;
  while (sent < shots.count && !stopped) {
    const due = Math.min(
      shots.count,
      Math.ceil(((performance.now() - began) / 1000) * shots.perSecond) + 1,
      sent + BURST,
    );
    for (; sent < due; sent++) {
      const frame = Buffer.concat([header, packetOf(shots, sent, randomInt(2 ** 32))]);
      system.send(fd, frame, frame.length, 0);
    }
    await new Promise((resolve) => (sent % BURST === 0 ? setImmediate(resolve) : setTimeout(resolve, 1)));
  }
  return sent;
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  if (line === 'stop') stopped = true;
  else void shoot(JSON.parse(line) as Shots).then((sent) => process.stdout.write(`${sent}\n`));
});
lines.on('close', () => process.exit(0));
process.stdout.write('ready\n');
