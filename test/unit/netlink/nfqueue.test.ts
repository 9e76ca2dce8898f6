import { beforeEach, describe, expect, it } from 'vitest';
import { NetlinkError } from '../../../src/netlink/errors.js';
import type { Libc } from '../../../src/netlink/libc.js';
import { type Judge, Nfqueue } from '../../../src/netlink/nfqueue.js';
import { NetlinkSocket } from '../../../src/netlink/socket.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const le32 = (n: number) => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, n >>> 24];
const be32 = (n: number) => le32(n).reverse();

/** Only the socket is replaced: what was sent is kept, what `incoming` holds is received. */
class FakeKernel implements Libc {
  readonly sent: Uint8Array[] = [];
  readonly options: string[] = [];
  incoming: (number[][] | number)[] = [];
  lastErrno = 0;
  readonly #memory = new Map<bigint, ArrayBufferView>();

  socket = () => 9;
  bind = () => 0;
  getsockname = () => 0;
  recv = () => this.#fail(11);
  close = () => 0;
  errno = () => this.lastErrno;

  setsockopt(_fd: number, level: number, name: number): number {
    this.options.push(`${level}/${name}`);
    return 0;
  }

  send(_fd: number, buffer: Uint8Array, length: number): number {
    this.sent.push(buffer.slice(0, length));
    return length;
  }

  address(memory: ArrayBufferView): bigint {
    const at = BigInt(this.#memory.size + 1) << 32n;
    this.#memory.set(at, memory);
    return at;
  }

  recvmmsg(_fd: number, headers: Uint8Array, count: number): number {
    const next = this.incoming.shift();
    if (next === undefined) return this.#fail(11);
    if (typeof next === 'number') return this.#fail(next);
    expect(next.length).toBeLessThanOrEqual(count);
    const header = new DataView(headers.buffer);
    next.forEach((message, i) => {
      expect(header.getBigUint64(i * 64 + 24, true)).toBe(1n);
      const iovec = this.#at(header.getBigUint64(i * 64 + 16, true));
      expect(iovec.getBigUint64(8, true)).toBeGreaterThanOrEqual(BigInt(message.length));
      const memory = this.#at(iovec.getBigUint64(0, true));
      message.forEach((value, k) => {
        memory.setUint8(k, value);
      });
      header.setUint32(i * 64 + 56, message.length, true);
    });
    return next.length;
  }

  #at(pointer: bigint): DataView {
    const { buffer, byteOffset } = this.#memory.get(pointer & ~0xffffffffn) as ArrayBufferView;
    return new DataView(buffer, byteOffset + Number(pointer & 0xffffffffn));
  }

  #fail(errno: number): number {
    this.lastErrno = errno;
    return -1;
  }
}

const message = (type: number, body: number[], sequence = 0) => [
  ...le32(16 + body.length),
  ...[type & 255, type >> 8, 0, 0],
  ...le32(sequence),
  ...le32(0),
  ...body,
];
const attribute = (type: number, value: number[]) => [
  ...[(value.length + 4) & 255, (value.length + 4) >> 8, type, 0],
  ...value,
  ...new Array<number>((4 - (value.length % 4)) % 4).fill(0),
];
/** A packet message as nfqnl_build_packet_message lays it out, with attributes between header and payload. */
const packet = (id: number, payload: number[], between: number[] = attribute(5, be32(2))) =>
  message(0x300, [
    2,
    0,
    0,
    100,
    ...attribute(1, [...be32(id), 8, 0, 0, 0]).slice(0, 12),
    ...between,
    ...attribute(10, payload),
  ]);
const answer = (errno: number, sequence = 1) =>
  message(2, [...le32(-errno), ...new Array<number>(16).fill(0)], sequence);

const verdict = (value: 0 | 1, id: number) =>
  `20000000 0303 0100 00000000 00000000 00 00 0064 0c00 0200 0000000${value} ${id.toString(16).padStart(8, '0')}`.replaceAll(
    ' ',
    '',
  );

let kernel: FakeKernel;
beforeEach(() => {
  kernel = new FakeKernel();
});

function open(failOpen = true): Nfqueue {
  kernel.incoming.unshift([answer(0)]);
  const queue = Nfqueue.open({ number: 100, failOpen, backlog: 8192, waitMs: 200 }, NetlinkSocket.open(kernel), kernel);
  return queue;
}

describe('a queue', () => {
  it('is bound and wholly configured by one message that asks for its answer', () => {
    open();
    expect(kernel.sent.map(hex)).toEqual([
      [
        '40000000 0203 0500 01000000 00000000 00 00 0064',
        '0800 0100 01 00 0000',
        '0900 0200 00000080 02 000000',
        '0800 0300 00008000',
        '0800 0400 00000005',
        '0800 0500 00000005',
      ]
        .join('')
        .replaceAll(' ', ''),
    ]);
    // The receive buffer beyond the system's limit, no ENOBUFS, a timeout.
    expect(kernel.options).toEqual(expect.arrayContaining(['1/33', '270/5', '1/20']));
  });

  it('is not fail-open when told to drop on overload', () => {
    open(false);
    expect(hex(kernel.sent[0] as Uint8Array).slice(-8)).toBe('00000004');
  });

  it('says that another program owns it, or passes on what else the kernel answers', () => {
    for (const [errno, kind] of [
      [1, 'exists'],
      [93, 'unsupported'],
      [12, 'refused'],
    ] as const) {
      kernel.incoming = [[answer(errno)]];
      const attempt = () =>
        Nfqueue.open({ number: 65_000, failOpen: true, backlog: 64, waitMs: 1 }, NetlinkSocket.open(kernel), kernel);
      expect(attempt).toThrow(expect.objectContaining({ kind, errno }) as NetlinkError);
    }
  });

  it('lets packets pass that come before the answer', () => {
    kernel.incoming = [[packet(1, [1]), answer(0)]];
    Nfqueue.open({ number: 100, failOpen: true, backlog: 64, waitMs: 1 }, NetlinkSocket.open(kernel), kernel);
    expect(kernel.sent.slice(1).map(hex)).toEqual([verdict(1, 1)]);
  });
});

describe('a batch', () => {
  const byFirstByte: Judge = (bytes, start) => (bytes[start] === 0xbad % 256 ? 0 : 1);
  const good = [1, 2, 3];
  const bad = [0xbad % 256];

  it('is answered by one message per run of equal verdicts, in order, in one call', () => {
    const queue = open();
    kernel.incoming = [[1, 2, 3, 4, 5, 6].map((id) => packet(id, [3, 4, 6].includes(id) ? bad : good))];
    expect(queue.step(byFirstByte)).toBe(6);
    expect(kernel.sent.slice(1).map(hex)).toEqual([verdict(1, 2) + verdict(0, 4) + verdict(1, 5) + verdict(0, 6)]);
    expect(queue).toMatchObject({ packets: 6, dropped: 3, exceptions: 0, missed: 0 });
  });

  it('hands over the copied bytes and the length on the wire, whatever attributes lie between', () => {
    const queue = open();
    const seen: unknown[] = [];
    const judge: Judge = (bytes, start, captured, wireLength) => {
      seen.push([...bytes.slice(start, start + captured)], wireLength);
      return 1;
    };
    const timestamp = attribute(4, new Array<number>(16).fill(7));
    kernel.incoming = [
      [packet(1, good, timestamp), packet(2, bad, [...attribute(3, be32(9)), ...attribute(13, be32(1500))])],
    ];
    queue.step(judge);
    expect(seen).toEqual([good, 3, bad, 1500]);
  });

  it('accepts the packet on which the judge throws, and no other for it', () => {
    const queue = open();
    kernel.incoming = [[packet(1, bad), packet(2, good), packet(3, bad)]];
    queue.step((bytes, start) => {
      if (bytes[start] === 1) throw new Error('a defect');
      return 0;
    });
    expect(kernel.sent.slice(1).map(hex)).toEqual([verdict(0, 1) + verdict(1, 2) + verdict(0, 3)]);
    expect(queue.exceptions).toBe(1);
  });

  it('gives a verdict also for a packet without payload, or with an attribute of a length that cannot be', () => {
    const queue = open();
    const broken = packet(2, good);
    broken.splice(32, 2, 0xff, 0x7f);
    kernel.incoming = [[message(0x300, [2, 0, 0, 100, ...attribute(1, [...be32(1), 8, 0, 0, 0])]), broken]];
    expect(
      queue.step(() => {
        throw new Error('not asked');
      }),
    ).toBe(2);
    expect(kernel.sent.slice(1).map(hex)).toEqual([verdict(1, 2)]);
    expect(queue.exceptions).toBe(0);
  });

  it('counts the ids that were skipped, also where they pass 2^31 and 2^32', () => {
    const queue = open();
    kernel.incoming = [[packet(1, good), packet(5, good)], [packet(6, good)]];
    queue.step(() => 1);
    queue.step(() => 1);
    expect(queue.missed).toBe(3);
    const far = open();
    kernel.incoming = [[0x7fffffff, 0x80000001, 0xffffffff, 0, 1, 3].map((id) => packet(id, good))];
    far.step(() => 1);
    expect(far.missed).toBe(0x7ffffffe + 1 + 0x7ffffffd + 1);
  });

  it('passes over error messages about verdicts', () => {
    const queue = open();
    kernel.incoming = [[answer(2, 0), packet(1, bad), answer(2, 0)], [answer(2, 0)]];
    expect(queue.step(byFirstByte)).toBe(1);
    expect(queue.step(byFirstByte)).toBe(0);
    expect(kernel.sent.slice(1).map(hex)).toEqual([verdict(0, 1)]);
  });

  it('is nothing when the wait ends, is interrupted, or the kernel ran out of buffers; other failures are errors', () => {
    const queue = open();
    kernel.incoming = [11, 4, 105, 9];
    for (let i = 0; i < 3; i++) expect(queue.step(byFirstByte)).toBe(0);
    expect(() => queue.step(byFirstByte)).toThrow(NetlinkError);
    expect(kernel.sent.length).toBe(1);
  });
});
