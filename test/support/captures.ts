/** Writes captures in every form that programs write: both byte orders, pcap and pcapng, link types. */

export interface Written {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** From the first byte of the IP header. */
  readonly bytes: Uint8Array;
}

/** What stands before the IP packet, by LINKTYPE number. */
export function framed(link: number, bytes: Uint8Array, vlans = 0): Buffer {
  const type = (bytes[0] as number) >> 4 === 6 ? [0x86, 0xdd] : [8, 0];
  const tags = new Array<number[]>(vlans).fill([0x81, 0, 0, 100]).flat();
  const heads: Record<number, number[]> = {
    0: [0, 0, 0, 2],
    1: [...new Array<number>(12).fill(0x11), ...tags, ...type],
    101: [],
    113: [0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, ...tags, ...type],
    276: [...type, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0],
  };
  return Buffer.from([...(heads[link] as number[]), ...bytes]);
}

export interface Form {
  readonly little?: boolean;
  readonly link?: number;
  readonly vlans?: number;
  /** Nanoseconds instead of microseconds. */
  readonly nano?: boolean;
}

export function pcap(packets: readonly Written[], form: Form = {}): Buffer {
  const { little = true, link = 1, vlans = 0, nano = false } = form;
  const words = (...values: number[]) => u32s(little, values);
  const version = little ? Buffer.from([2, 0, 4, 0]) : Buffer.from([0, 2, 0, 4]);
  const records = packets.flatMap(({ at, bytes }) => {
    const frame = framed(link, bytes, vlans);
    const part = Math.round((at % 1000) * (nano ? 1e6 : 1e3));
    return [words(Math.floor(at / 1000), part, frame.length, frame.length), frame];
  });
  return Buffer.concat([words(nano ? 0xa1b23c4d : 0xa1b2c3d4), version, words(0, 0, 262_144, link), ...records]);
}

export function pcapng(packets: readonly Written[], form: Form = {}): Buffer {
  const { little = true, link = 1, vlans = 0, nano = false } = form;
  const words = (...values: number[]) => u32s(little, values);
  const half = (value: number) => (little ? [value & 255, value >> 8] : [value >> 8, value & 255]);
  const block = (type: number, body: Buffer) => {
    const padded = Buffer.concat([body, Buffer.alloc(-body.length & 3)]);
    return Buffer.concat([words(type, padded.length + 12), padded, words(padded.length + 12)]);
  };
  const section = Buffer.concat([
    words(0x1a2b3c4d),
    Buffer.from([...half(1), ...half(0)]),
    words(0xffffffff, 0xffffffff),
  ]);
  const resolution = nano ? [...half(9), ...half(1), 9, 0, 0, 0, ...half(0), ...half(0)] : [];
  const about = Buffer.from([...half(link), ...half(0), ...words(0), ...resolution]);
  const records = packets.map(({ at, bytes }) => {
    const frame = framed(link, bytes, vlans);
    const units = BigInt(Math.round(at * 1000)) * (nano ? 1000n : 1n);
    const head = words(0, Number(units >> 32n), Number(units & 0xffffffffn), frame.length, frame.length);
    return block(6, Buffer.concat([head, frame]));
  });
  // An unknown block, name resolution, is passed over.
  return Buffer.concat([block(0x0a0d0d0a, section), block(1, about), block(4, Buffer.alloc(7)), ...records]);
}

function u32s(little: boolean, values: readonly number[]): Buffer {
  const out = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => {
    if (little) out.writeUInt32LE(value, i * 4);
    else out.writeUInt32BE(value, i * 4);
  });
  return out;
}
