import { describe, expect, it } from 'vitest';
import { ConntrackEvents } from '../../../src/netlink/conntrack-events.js';
import type { NetlinkError } from '../../../src/netlink/errors.js';
import type { Libc } from '../../../src/netlink/libc.js';
import { NetlinkSocket } from '../../../src/netlink/socket.js';

const EAGAIN = 11;
const EINVAL = 22;
const EBADF = 9;
const ENOBUFS = 105;

/** A kernel that answers the question whether it tracks connections with `errno`, and then gives what `reads` says. */
class FakeKernel implements Libc {
  readonly options: string[] = [];
  readonly closed: number[] = [];
  reads: number[] = [];
  #lastErrno = 0;
  #sequence = 0;
  readonly #answer: number;

  constructor(answer: number) {
    this.#answer = answer;
  }

  socket = () => 9;
  bind = () => 0;
  getsockname = () => 0;
  errno = () => this.#lastErrno;
  address = () => 4096n;

  setsockopt(_fd: number, level: number, name: number, value: Uint8Array): number {
    this.options.push(`${level}/${name}${level === 270 ? `=${value[0]}` : ''}`);
    return 0;
  }

  send(_fd: number, buffer: Uint8Array, length: number): number {
    this.#sequence = new DataView(buffer.buffer, buffer.byteOffset).getUint32(8, true);
    return length;
  }

  recv(_fd: number, buffer: Uint8Array): number {
    const view = new DataView(buffer.buffer, buffer.byteOffset);
    view.setUint32(0, 36, true);
    view.setUint16(4, 2, true);
    view.setUint32(8, this.#sequence, true);
    view.setInt32(16, -this.#answer, true);
    return 36;
  }

  recvmmsg(): number {
    this.#lastErrno = this.reads.shift() ?? EAGAIN;
    return -1;
  }

  close(fd: number): number {
    this.closed.push(fd);
    return 0;
  }
}

const sink = { completed: () => expect.unreachable(), refused: () => expect.unreachable() };

describe('ConntrackEvents', () => {
  it('filters before it joins the group of updates, so that nothing else ever waits, and that of ends while it is wanted', () => {
    const kernel = new FakeKernel(0);
    const events = ConntrackEvents.open(kernel);
    expect(kernel.options).toEqual(['1/20', '1/33', '1/26', '270/1=2']);
    events.listenToRefusals(true);
    events.listenToRefusals(false);
    expect(kernel.options.slice(4)).toEqual(['270/1=3', '270/2=3']);
    expect(events.fd).toBe(9);
    events.close();
    expect(kernel.closed).toEqual([9]);
  });

  it('says that a kernel without connection tracking has none, and closes only a socket of its own', () => {
    const kernel = new FakeKernel(EINVAL);
    const failure = (given?: NetlinkSocket): NetlinkError => {
      try {
        ConntrackEvents.open(kernel, given);
      } catch (error) {
        return error as NetlinkError;
      }
      throw new Error('it opened');
    };
    expect(failure()).toMatchObject({ kind: 'unsupported', errno: EINVAL });
    expect(kernel.closed).toEqual([9]);
    expect(failure(NetlinkSocket.open(kernel)).kind).toBe('unsupported');
    expect(kernel.closed).toEqual([9]);
  });

  it('counts each time that the kernel had to drop events, and goes on', () => {
    const kernel = new FakeKernel(0);
    const events = ConntrackEvents.open(kernel);
    kernel.reads = [ENOBUFS, 4, EAGAIN, ENOBUFS];
    expect(events.read(sink)).toBe(0);
    expect(events.lost).toBe(1);
    expect(events.read(sink)).toBe(0);
    expect(events.lost).toBe(2);
    kernel.reads = Array(1000).fill(ENOBUFS);
    events.read(sink);
    expect(kernel.reads.length).toBeGreaterThan(900);
    kernel.reads = [EBADF];
    expect(() => events.read(sink)).toThrow(/read connection tracking events/);
  });
});
