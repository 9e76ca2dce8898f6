// First packets of random sources, without a kernel: SYNs over IPv4 and IPv6, pings,
// UDP, all to random ports, each written over the last. Some come from sources that
// come again, so that thresholds are passed and detections reported.

const KINDS = 8;
/** One IPv4 packet in `ONE_IN` is of one of `SOURCES_AGAIN` sources. */
const ONE_IN = 16;
const SOURCES_AGAIN = 64;

export class RandomPackets {
  /** The packet made last. */
  bytes = new Uint8Array(128);
  #view = new DataView(this.bytes.buffer);
  #state = 2463534242;

  /** Makes the next packet and gives its length. */
  next() {
    const kind = this.#random() % KINDS;
    if (kind === 0) return this.#ipv6();
    if (kind === 1) return this.#ipv4(1, 28 + (this.#random() % 64));
    if (kind === 2) return this.#ipv4(17, 128);
    return this.#ipv4(6, 40);
  }

  #random() {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  #ipv4(protocol, length) {
    const view = this.#view;
    view.setUint32(0, 0x45000000 | length);
    view.setUint32(4, 0);
    view.setUint32(8, 0x40000000 | (protocol << 16));
    const again = this.#random() % ONE_IN === 0;
    view.setUint32(12, again ? 0xcb007000 + (this.#random() % SOURCES_AGAIN) : this.#random());
    view.setUint32(16, 0xc0a8320a);
    this.#transport(20, protocol);
    return length;
  }

  #ipv6() {
    const view = this.#view;
    view.setUint32(0, 0x60000000);
    view.setUint32(4, (20 << 16) | (6 << 8) | 64);
    view.setUint32(8, 0x20010db8);
    for (let at = 12; at < 24; at += 4) view.setUint32(at, this.#random());
    view.setUint32(24, 0x20010db8);
    for (let at = 28; at < 40; at += 4) view.setUint32(at, 1);
    this.#transport(40, 6);
    return 60;
  }

  #transport(at, protocol) {
    const view = this.#view;
    if (protocol === 1) {
      view.setUint32(at, 0x08000000);
      view.setUint32(at + 4, this.#random());
      return;
    }
    view.setUint32(at, this.#random());
    if (protocol !== 6) return;
    view.setUint32(at + 4, this.#random());
    view.setUint32(at + 8, 0);
    view.setUint32(at + 12, 0x50022000);
    view.setUint32(at + 16, 0);
  }
}
