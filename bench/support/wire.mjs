// Puts SYNs of random sources on a wire by a packet socket: slower than the C
// generator, and there where no compiler is.
import { execFileSync } from 'node:child_process';
import { libc } from '../../dist/netlink/libc.js';

/** @param from, to the two ends of the wire */
export function openWire(from, to) {
  const links = JSON.parse(execFileSync('ip', ['-j', 'link', 'show'], { encoding: 'utf8' }));
  const about = (name, field) => links.find((link) => link.ifname === name)[field];
  const system = libc();
  const fd = system.socket(17, 3, 0); // AF_PACKET, SOCK_RAW
  const address = new Uint8Array(20); // struct sockaddr_ll
  const view = new DataView(address.buffer);
  view.setUint16(0, 17, true);
  view.setUint16(2, 0x0800);
  view.setInt32(4, about(from, 'ifindex'), true);
  if (fd < 0 || system.bind(fd, address, 20) < 0) throw new Error(`packet socket: errno ${system.errno()}`);
  const frame = new Uint8Array(54);
  frame.set(Buffer.from(about(to, 'address').replaceAll(':', ''), 'hex'), 0);
  frame.set(Buffer.from(about(from, 'address').replaceAll(':', ''), 'hex'), 6);
  frame[12] = 8;
  const packet = frame.subarray(14);
  let seed = 0;
  return {
    send(count, target) {
      for (let i = 0; i < count; i++) {
        writeSyn(packet, seed++, target);
        system.send(fd, frame, frame.length, 0);
      }
    },
  };
}

/** Writes a SYN of 40 bytes, from an address outside every special range. */
function writeSyn(bytes, seed, target) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(0, 0x45000028);
  view.setUint32(4, 0x00010000);
  view.setUint32(8, 0x40060000);
  view.setUint32(12, 0x0b000000 + (Math.imul(seed + 1, 2654435761) >>> 6));
  for (const [i, part] of target.split('.').entries()) view.setUint8(16 + i, Number(part));
  view.setUint32(20, 0x9c400050);
  view.setUint32(32, 0x50022000);
  let sum = 0;
  view.setUint16(10, 0);
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
  view.setUint16(10, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
}
