/**
 * Packets for the parser and the detectors: valid ones of every kind, and what
 * becomes of them when somebody means harm. All are written into one buffer, so
 * that a campaign of millions costs no memory.
 */

export const LONGEST = 1400;
const TYPES = [0, 3, 8, 11, 13, 128, 129, 133, 135, 136, 2];
const FLAGS = [0, 1, 2, 2, 2, 2, 3, 4, 16, 18, 20, 24, 41, 0xc2, 0xff];
const PROTOCOLS = [6, 6, 6, 6, 17, 17, 1, 58, 132, 136, 47, 50, 59, 89, 255];
const EXTENSIONS = [0, 43, 44, 51, 60];
/** Numbers at which length fields go wrong. */
const EDGES = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 19, 20, 39, 40, 41, 127, 128, 129, 254, 255];

export class Packets {
  /** `bytes[0 .. captured)` is the packet, of which `wire` bytes were on the wire. */
  bytes = new Uint8Array(LONGEST);
  captured = 0;
  wire = 0;
  #random;
  #seeds;
  #before = new Uint8Array(0);

  /** @param seeds captured packets to begin from, each `{ bytes, wireLength }` */
  constructor(random, seeds) {
    this.#random = random;
    this.#seeds = seeds;
  }

  /** Makes the next one. */
  next() {
    const r = this.#random;
    const kind = r.below(20);
    if (kind < 2 && this.#seeds.length > 0) this.#take(r.pick(this.#seeds));
    else if (kind === 2) this.#noise();
    else if (kind < 12) this.#v4();
    else this.#v6();
    if (r.once(8)) this.#before = this.bytes.slice(0, this.captured);
    const changes = r.pick([0, 0, 0, 1, 1, 2, 4]);
    for (let i = 0; i < changes; i++) this.#mutate();
  }

  #take({ bytes, wireLength }) {
    this.captured = Math.min(bytes.length, LONGEST);
    this.bytes.set(bytes.subarray(0, this.captured));
    this.wire = wireLength;
  }

  #noise() {
    const r = this.#random;
    this.captured = this.wire = r.below(r.pick([4, 24, 64, 300]));
    for (let i = 0; i < this.captured; i++) this.bytes[i] = r.word();
    if (!r.once(4)) this.bytes[0] = r.pick([0x45, 0x46, 0x4f, 0x60, 0x44]);
  }

  /** Half of the sources are a few, so that counts go over their limits. */
  #address(at, width) {
    const r = this.#random;
    const known = r.once(2);
    for (let i = 0; i < width; i++) this.bytes[at + i] = known ? 10 + i : r.word();
    if (known) this.bytes[at + width - 1] = r.below(r.pick([2, 24]));
  }

  #v4() {
    const r = this.#random;
    const b = this.bytes;
    const options = r.once(4) ? r.below(11) * 4 : 0;
    b.fill(0, 0, 20);
    b[0] = 0x45 + options / 4;
    b[8] = 64;
    b[9] = r.pick(PROTOCOLS);
    this.#address(12, 4);
    if (r.once(64)) b.copyWithin(16, 12, 16);
    else this.#address(16, 4);
    for (let i = 0; i < options; i++) b[20 + i] = r.pick([0, 1, 7, 68, 130, r.below(256)]);
    if (r.once(12)) this.#short(6, r.pick([0x2000, 0x4000, 1, 0x2001, r.below(65_536)]));
    this.captured = this.#transport(20 + options, b[9]);
    this.#short(2, this.captured);
    this.#size();
  }

  #v6() {
    const r = this.#random;
    const b = this.bytes;
    b.fill(0, 0, 40);
    b[0] = 0x60;
    b[7] = 64;
    this.#address(8, 16);
    if (r.once(64)) b.copyWithin(24, 8, 24);
    else this.#address(24, 16);
    let field = 6;
    let at = 40;
    const count = r.once(3) ? r.pick([1, 1, 1, 2, 3, 6, 12, 13, 14]) : 0;
    for (let i = 0; i < count; i++) {
      const kind = r.pick(EXTENSIONS);
      b[field] = kind;
      const units = r.once(8) ? r.below(6) : 0;
      const size = kind === 44 ? 8 : kind === 51 ? (units + 3) * 4 : (units + 1) * 8;
      b.fill(0, at, at + size);
      b[at + 1] = kind === 44 ? 0 : kind === 51 ? units + 1 : units;
      if (kind === 44 && r.once(4)) this.#short(at + 2, r.pick([1, 8, 9, 0xfff8, r.below(65_536)]));
      field = at;
      at += size;
    }
    b[field] = r.pick(PROTOCOLS);
    this.captured = this.#transport(at, b[field]);
    this.#short(4, this.captured - 40);
    this.#size();
  }

  /** Writes a transport header and some data; gives the end. */
  #transport(at, protocol) {
    const r = this.#random;
    const b = this.bytes;
    const data = r.pick([0, 0, 0, 4, 20, 60]);
    let size = protocol === 6 ? 20 : protocol === 132 ? 12 : 8;
    if (protocol === 6 && r.once(4)) size += r.below(11) * 4;
    for (let i = 0; i < size + data; i++) b[at + i] = r.word();
    if ([6, 17, 132, 136].includes(protocol)) {
      this.#short(at, r.once(2) ? 40_000 : r.below(65_536));
      this.#short(at + 2, r.once(2) ? r.pick([80, 80, 80, 80, 22, 443, 53, 0, 65_535]) : r.below(2048));
    }
    if (protocol === 6) {
      b[at + 12] = (size / 4) << 4;
      b[at + 13] = r.once(4) ? r.below(256) : r.pick(FLAGS);
    } else if (protocol === 17 || protocol === 136) this.#short(at + 4, size + data);
    else if (protocol === 1 || protocol === 58) {
      b[at] = r.once(4) ? r.below(256) : r.pick(TYPES);
      b[at + 1] = r.once(4) ? r.below(256) : 0;
    }
    return at + size + data;
  }

  /** The length on the wire: what was copied, a larger packet that was cut, or a segment that has no length in its header. */
  #size() {
    const r = this.#random;
    const lengthAt = this.bytes[0] >>> 4 === 4 ? 2 : 4;
    this.wire = this.captured;
    if (r.once(10)) {
      this.wire = this.captured + r.below(60_000);
      this.#short(lengthAt, Math.min(65_535, lengthAt === 2 ? this.wire : this.wire - 40));
    } else if (r.once(30)) {
      this.wire = this.captured + 65_536 + r.below(400_000);
      this.#short(lengthAt, 0);
    }
    // Padding of the frame.
    if (r.once(30)) this.captured += r.below(26);
    // What the queue copies of a packet.
    if (r.once(4)) this.captured = Math.min(this.captured, 128);
  }

  #mutate() {
    const r = this.#random;
    const b = this.bytes;
    const n = this.captured;
    const at = r.below(Math.max(1, Math.min(n, r.pick([8, 48, 1400]))));
    switch (r.below(10)) {
      case 0:
      case 1:
        b[at] ^= 1 << r.below(8);
        return;
      case 2:
        b[at] = r.pick(EDGES);
        return;
      case 3:
        b[at] = r.word();
        return;
      case 4: // a lie about a length
        this.#short(r.pick([2, 4]), r.once(2) ? r.pick(EDGES) : n + r.below(9) - 4);
        return;
      case 5:
        b[0] = (b[0] & 0xf0) | r.below(16);
        return;
      case 6: // cut on the way
        this.captured = r.below(n + 1);
        return;
      case 7:
        b.copyWithin(at, Math.min(n, at + 1 + r.below(8)), n);
        return;
      case 8: {
        // The head of this one on the tail of another.
        const { length } = this.#before;
        if (at < length) b.set(this.#before.subarray(at), at);
        this.captured = Math.max(n, length);
        return;
      }
      default:
        this.wire = r.pick([0, n, 1, 40, 65_535, 65_536, r.below(70_000)]);
    }
  }

  #short(at, value) {
    this.bytes[at] = value >>> 8;
    this.bytes[at + 1] = value & 255;
  }
}
