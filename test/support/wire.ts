import { libc } from '../../src/netlink/libc.js';
import { run } from './netns.js';

const AF_PACKET = 17;
const SOCK_RAW = 3;

/**
 * A cable with one end in this namespace (`near`, with addresses) and nothing but
 * a packet socket at the other: whatever is sent arrives as from a machine there,
 * with any source. Works inside `enterPrivateNetns`.
 */
export class Wire {
  readonly near: string;
  readonly #fd: number;
  readonly #frame = new Uint8Array(2048);
  static #count = 0;

  constructor(addresses: readonly string[]) {
    Wire.#count += 1;
    this.near = `near${Wire.#count}`;
    const far = `far${Wire.#count}`;
    run('ip', 'link', 'add', this.near, 'type', 'veth', 'peer', 'name', far);
    for (const address of addresses) {
      run('ip', 'address', 'add', address, 'dev', this.near, ...(address.includes(':') ? ['nodad'] : []));
    }
    for (const link of [this.near, far]) run('ip', 'link', 'set', link, 'up');
    run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', `net.ipv4.conf.${this.near}.rp_filter=0`);
    const links = JSON.parse(run('ip', '-j', 'link', 'show')) as { ifname: string; ifindex: number; address: string }[];
    const link = (name: string) => {
      const found = links.find(({ ifname }) => ifname === name);
      if (found === undefined) throw new Error(`no interface ${name}`);
      return found;
    };
    const address = new Uint8Array(20);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, 0x0800);
    view.setInt32(4, link(far).ifindex, true);
    const system = libc();
    this.#fd = system.socket(AF_PACKET, SOCK_RAW, 0);
    if (this.#fd < 0 || system.bind(this.#fd, address, address.length) < 0)
      throw new Error(`packet socket: errno ${system.errno()}`);
    this.#frame.set(Buffer.from(link(this.near).address.replaceAll(':', ''), 'hex'), 0);
    this.#frame.set(Buffer.from(link(far).address.replaceAll(':', ''), 'hex'), 6);
  }

  /** Puts one IP packet on the wire, its checksums made right. */
  send(packet: Uint8Array): void {
    const frame = this.#frame;
    frame.set(packet, 14);
    const six = packet[0] === 0x60;
    frame[12] = six ? 0x86 : 0x08;
    frame[13] = six ? 0xdd : 0x00;
    fixChecksums(frame.subarray(14, 14 + packet.length));
    libc().send(this.#fd, frame, 14 + packet.length, 0);
  }

  close(): void {
    libc().close(this.#fd);
    run('ip', 'link', 'delete', this.near);
  }
}

function fixChecksums(packet: Uint8Array): void {
  const six = packet[0] === 0x60;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const head = six ? 40 : 20;
  if (!six) {
    view.setUint16(10, 0);
    view.setUint16(10, folded(sum(view, 0, 20)));
  }
  const protocol = packet[six ? 6 : 9] ?? 0;
  const at = { 6: 16, 17: 6, 1: 2, 58: 2 }[protocol];
  if (at === undefined || packet.length < head + at + 2) return;
  const length = packet.length - head;
  const pseudo = protocol === 1 ? 0 : sum(view, six ? 8 : 12, head) + protocol + length;
  view.setUint16(head + at, 0);
  view.setUint16(head + at, folded(pseudo + sum(view, head, packet.length)));
}

function sum(view: DataView, from: number, to: number): number {
  let total = 0;
  for (let i = from; i < to; i += 2) total += i + 1 < to ? view.getUint16(i) : view.getUint8(i) << 8;
  return total;
}

function folded(total: number): number {
  let rest = total;
  while (rest > 0xffff) rest = (rest & 0xffff) + (rest >>> 16);
  return ~rest & 0xffff;
}
