import {
  AF_NETLINK,
  EAGAIN,
  EEXIST,
  EINTR,
  ENOENT,
  EOPNOTSUPP,
  EPERM,
  EPROTONOSUPPORT,
  ETIMEDOUT,
  NETLINK_NETFILTER,
  NLMSG_ERROR,
  SO_RCVTIMEO,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
} from './constants.js';
import { NetlinkError, type NetlinkErrorKind } from './errors.js';
import { type Libc, libc } from './libc.js';
import { LITTLE_ENDIAN, MessageReader } from './message.js';

/** Holds the largest netlink message, and the echo of one inside an error message. */
const RECEIVE_BUFFER = 0x10000 + 0x1000;
/** The kernel answers a netfilter request before `send` returns; a second means that something is very wrong. */
const ANSWER_WITHIN_MS = 5000;

/** The kind of an errno that any subsystem may give. */
export function kindOfErrno(errno: number): NetlinkErrorKind {
  switch (errno) {
    case EPERM:
      return 'not_permitted';
    case ENOENT:
      return 'missing';
    case EEXIST:
      return 'exists';
    case EPROTONOSUPPORT:
    case EOPNOTSUPP:
      return 'unsupported';
    default:
      return 'refused';
  }
}

/**
 * One NETLINK_NETFILTER socket. It knows how to send and receive and what an
 * acknowledgement is, and nothing of what the messages say. All calls block the
 * thread; the kernel handles a request inside `send`, so that its answer is
 * there when `send` returns.
 */
export class NetlinkSocket {
  readonly #libc: Libc;
  readonly fd: number;
  /** What `receive` fills; valid until the next call. */
  readonly buffer = new Uint8Array(RECEIVE_BUFFER);
  readonly reader = new MessageReader(this.buffer);
  #sequence = 0;
  #closed = false;

  private constructor(library: Libc, fd: number) {
    this.#libc = library;
    this.fd = fd;
  }

  /**
   * Opens and binds a socket to the kernel's choice of port.
   * @throws NetlinkError kind `ffi_unavailable`, `unsupported` (no nfnetlink), `not_permitted` or `refused`
   */
  static open(library: Libc = libc()): NetlinkSocket {
    const fd = library.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0) throw systemError('open netlink socket', library.errno());
    const socket = new NetlinkSocket(library, fd);
    try {
      socket.receiveTimeout(ANSWER_WITHIN_MS);
      // struct sockaddr_nl: family u16, padding u16, port u32 (0: the kernel chooses), groups u32.
      const address = new Uint8Array(12);
      new DataView(address.buffer).setUint16(0, AF_NETLINK, LITTLE_ENDIAN);
      if (library.bind(fd, address, address.length) < 0) throw systemError('bind netlink socket', library.errno());
      return socket;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** A number for the next request; the answer carries it. Never 0, which unasked messages carry. */
  nextSequence(): number {
    this.#sequence = (this.#sequence % 0xffffffff) + 1;
    return this.#sequence;
  }

  /** Sets an integer option. Returns false when the kernel refuses (such as *FORCE options without CAP_NET_ADMIN). */
  option(level: number, name: number, value: number): boolean {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, value, LITTLE_ENDIAN);
    return this.#libc.setsockopt(this.fd, level, name, bytes, 4) === 0;
  }

  /** Lets a blocking receive give up after this long. */
  receiveTimeout(ms: number): void {
    // struct timeval of 64-bit kernels: seconds i64, microseconds i64.
    const time = new Uint8Array(16);
    const view = new DataView(time.buffer);
    view.setBigInt64(0, BigInt(Math.floor(ms / 1000)), LITTLE_ENDIAN);
    view.setBigInt64(8, BigInt((ms % 1000) * 1000), LITTLE_ENDIAN);
    if (this.#libc.setsockopt(this.fd, SOL_SOCKET, SO_RCVTIMEO, time, 16) !== 0) {
      throw systemError('set netlink receive timeout', this.#libc.errno());
    }
  }

  /** @throws NetlinkError when the kernel takes less than the whole of `length` bytes */
  send(bytes: Uint8Array, length: number = bytes.length): void {
    for (;;) {
      const sent = this.#libc.send(this.fd, bytes, length, 0);
      if (sent === length) return;
      const errno = sent < 0 ? this.#libc.errno() : 0;
      if (errno !== EINTR) throw systemError('send netlink message', errno);
    }
  }

  /**
   * Receives one datagram into `buffer` and returns its length; 0 when nothing
   * came (timeout, or nothing there with MSG_DONTWAIT).
   * @throws NetlinkError, with errno ENOBUFS when the kernel had to drop answers
   */
  receive(flags = 0): number {
    for (;;) {
      const got = this.#libc.recv(this.fd, this.buffer, this.buffer.length, flags);
      if (got >= 0) return got;
      const errno = this.#libc.errno();
      if (errno === EAGAIN) return 0;
      if (errno !== EINTR) throw systemError('receive netlink message', errno);
    }
  }

  /**
   * Sends one message that asks for an acknowledgement and waits for it.
   * @returns the positive errno of the answer, 0 for success; after a failure
   *   `reader` stands on the NLMSG_ERROR message
   * @throws NetlinkError when no answer comes or the socket fails
   */
  request(bytes: Uint8Array, length: number, sequence: number): number {
    this.send(bytes, length);
    for (;;) {
      const answer = this.answer(sequence);
      if (answer.type !== NLMSG_ERROR) continue;
      return answer.errno() ?? 0;
    }
  }

  /**
   * Receives until a message with this sequence number stands in `reader`;
   * older answers (of a request that timed out) are passed over.
   */
  answer(sequence: number): MessageReader {
    for (;;) {
      const got = this.receive();
      if (got === 0) throw new NetlinkError('netlink request', ETIMEDOUT, 'refused', 'the kernel did not answer');
      this.reader.over(got);
      while (this.reader.next()) if (this.reader.sequence === sequence) return this.reader;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#libc.close(this.fd);
  }
}

function systemError(operation: string, errno: number): NetlinkError {
  const kind = kindOfErrno(errno);
  const detail = kind === 'not_permitted' ? 'not permitted: run as root or with CAP_NET_ADMIN' : '';
  return new NetlinkError(operation, errno, kind, detail);
}
