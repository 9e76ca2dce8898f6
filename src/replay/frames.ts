import { ReplayError } from './errors.js';

/** One frame of a capture; `bytes` is good until the next is asked for. */
export interface Frame {
  /** Milliseconds since 1970, with a fraction. */
  readonly at: number;
  /** As tcpdump numbers them: LINKTYPE_*. */
  readonly link: number;
  readonly bytes: Buffer;
  /** Bytes on the wire. */
  readonly length: number;
}

/** Frames and options larger than this are damage. */
const LARGEST = 1 << 20;

const PCAP = new Map<number, { readonly little: boolean; readonly nano: boolean }>([
  [0xa1b2c3d4, { little: false, nano: false }],
  [0xd4c3b2a1, { little: true, nano: false }],
  [0xa1b23c4d, { little: false, nano: true }],
  [0x4d3cb2a1, { little: true, nano: true }],
]);
const PCAPNG = 0x0a0d0d0a;

/** Whether a file that begins so is a capture. */
export function isCapture(head: Buffer): boolean {
  if (head.length < 4) return false;
  const magic = head.readUInt32BE(0);
  return magic === PCAPNG || PCAP.has(magic);
}

/**
 * The frames of a pcap or pcapng file in either byte order. A file that was cut
 * ends where it was cut.
 * @throws ReplayError `unreadable` when it is damaged
 */
export async function* framesOf(name: string, pieces: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  const stream = new Pieces(pieces);
  const head = await stream.take(4);
  if (head === null) return;
  const magic = head.readUInt32BE(0);
  const classic = PCAP.get(magic);
  if (classic !== undefined) yield* pcap(name, stream, classic.little, classic.nano);
  else if (magic === PCAPNG) yield* pcapng(name, stream);
  else throw damaged(name, 'it does not begin as a capture does');
}

async function* pcap(name: string, stream: Pieces, little: boolean, nano: boolean): AsyncGenerator<Frame> {
  const header = await stream.take(20);
  if (header === null) return;
  const u32 = (bytes: Buffer, at: number) => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const link = u32(header, 16) & 0xffff;
  for (;;) {
    const record = await stream.take(16);
    if (record === null) return;
    const at = u32(record, 0) * 1000 + u32(record, 4) / (nano ? 1e6 : 1e3);
    const captured = u32(record, 8);
    const length = u32(record, 12);
    if (captured > LARGEST) throw damaged(name, `a packet of ${captured} bytes`);
    const bytes = await stream.take(captured);
    if (bytes === null) return;
    yield { at, link, bytes, length };
  }
}

interface Interface {
  readonly link: number;
  /** Milliseconds a unit of its timestamps. */
  readonly unit: number;
  /** Milliseconds to add. */
  readonly offset: number;
}

const BLOCK = { SECTION: 0x0a0d0d0a, INTERFACE: 1, SIMPLE: 3, ENHANCED: 6 } as const;

/** The block type of the first section was read already. */
async function* pcapng(name: string, stream: Pieces): AsyncGenerator<Frame> {
  let little = true;
  let interfaces: Interface[] = [];
  let type: number = BLOCK.SECTION;
  for (let first = true; ; first = false) {
    if (!first) {
      const word = await stream.take(4);
      if (word === null) return;
      type = little ? word.readUInt32LE(0) : word.readUInt32BE(0);
      if (word.readUInt32BE(0) === BLOCK.SECTION) type = BLOCK.SECTION;
    }
    const start = await stream.take(type === BLOCK.SECTION ? 8 : 4);
    if (start === null) return;
    if (type === BLOCK.SECTION) {
      const order = start.readUInt32BE(4);
      if (order !== 0x1a2b3c4d && order !== 0x4d3c2b1a) throw damaged(name, 'a section without a byte order');
      little = order === 0x4d3c2b1a;
      interfaces = [];
    }
    const length = little ? start.readUInt32LE(0) : start.readUInt32BE(0);
    const rest = length - 4 - start.length;
    if (rest < 4 || length % 4 !== 0 || length > LARGEST) throw damaged(name, `a block of ${length} bytes`);
    const body = await stream.take(rest);
    if (body === null) return;
    if (type === BLOCK.INTERFACE) interfaces.push(interfaceOf(name, body, little));
    else if (type === BLOCK.ENHANCED || type === BLOCK.SIMPLE) {
      const frame = frameOf(body, little, type === BLOCK.SIMPLE, interfaces);
      if (frame !== null) yield frame;
    }
  }
}

function interfaceOf(name: string, body: Buffer, little: boolean): Interface {
  if (body.length < 12) throw damaged(name, 'an interface that is cut');
  const u16 = (at: number) => (little ? body.readUInt16LE(at) : body.readUInt16BE(at));
  let unit = 1e-3;
  let offset = 0;
  for (let at = 8; at + 8 <= body.length; ) {
    const code = u16(at);
    const size = u16(at + 2);
    if (code === 0) break;
    // if_tsresol: a power of ten, or of two with the highest bit; if_tsoffset: seconds.
    if (code === 9 && size === 1) {
      const power = body.readUInt8(at + 4);
      unit = 1000 / ((power & 0x80) === 0 ? 10 ** power : 2 ** (power & 0x7f));
    } else if (code === 14 && size === 8 && at + 12 <= body.length) {
      offset = 1000 * Number(little ? body.readBigInt64LE(at + 4) : body.readBigInt64BE(at + 4));
    }
    at += 4 + ((size + 3) & ~3);
  }
  return { link: u16(0), unit, offset };
}

/** `null` for a packet of an interface that nothing was said of, and for one that is cut. */
function frameOf(body: Buffer, little: boolean, simple: boolean, interfaces: readonly Interface[]): Frame | null {
  const header = simple ? 4 : 20;
  if (body.length < header + 4) return null;
  const u32 = (at: number) => (little ? body.readUInt32LE(at) : body.readUInt32BE(at));
  const about = interfaces[simple ? 0 : u32(0)];
  if (about === undefined) return null;
  // A simple packet has no time.
  const at = simple ? 0 : (u32(4) * 2 ** 32 + u32(8)) * about.unit + about.offset;
  const length = u32(simple ? 0 : 16);
  const captured = simple ? Math.min(length, body.length - 8) : u32(12);
  if (header + captured > body.length - 4) return null;
  return { at, link: about.link, bytes: body.subarray(header, header + captured), length };
}

function damaged(name: string, why: string): ReplayError {
  return new ReplayError('read a capture', 'unreadable', `${name} is damaged: ${why}`);
}

/** Takes so many bytes at a time from a stream of pieces. */
class Pieces {
  readonly #pieces: AsyncIterator<Buffer>;
  #piece: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(pieces: AsyncIterable<Buffer>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** `null` when the stream ends before. */
  async take(length: number): Promise<Buffer | null> {
    while (this.#piece.length - this.#at < length) {
      const { value, done } = await this.#pieces.next();
      if (done === true) return null;
      const rest = this.#piece.subarray(this.#at);
      this.#piece = rest.length === 0 ? value : Buffer.concat([rest, value]);
      this.#at = 0;
    }
    const from = this.#at;
    this.#at += length;
    return this.#piece.subarray(from, this.#at);
  }
}

const ETHERNET = 1;
/** Loopback of BSD, PPP, Linux cooked (both), raw IP: where the packet begins. */
const HEADER = new Map([
  [0, 4],
  [12, 0],
  [14, 0],
  [101, 0],
  [108, 4],
  [113, 16],
  [228, 0],
  [229, 0],
  [276, 20],
]);
const VLAN: readonly number[] = [0x8100, 0x88a8, 0x9100];
const IP: readonly number[] = [0x0800, 0x86dd];

/** Where the IP packet of a frame begins; -1 when it holds none that is known here. */
export function packetStart({ link, bytes }: Frame): number {
  const fixed = HEADER.get(link);
  let at = fixed ?? 14;
  if (fixed === undefined && link !== ETHERNET) return -1;
  if (link === ETHERNET || link === 113) {
    if (bytes.length < at) return -1;
    let type = bytes.readUInt16BE(at - 2);
    while (VLAN.includes(type) && bytes.length >= at + 4) {
      type = bytes.readUInt16BE(at + 2);
      at += 4;
    }
    if (type === 0x8864 && bytes.length >= at + 8) return at + 8;
    if (!IP.includes(type)) return -1;
  } else if (link === 276) {
    if (bytes.length < 20) return -1;
    let type = bytes.readUInt16BE(0);
    while (VLAN.includes(type) && bytes.length >= at + 4) {
      type = bytes.readUInt16BE(at + 2);
      at += 4;
    }
    if (!IP.includes(type)) return -1;
  }
  return bytes.length > at ? at : -1;
}
