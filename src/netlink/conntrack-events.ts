import { type Connection, EVENT, EventReader, filterProgram } from './conntrack-event.js';
import {
  EAGAIN,
  EINTR,
  EINVAL,
  ENOBUFS,
  MSG_DONTWAIT,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_DROP_MEMBERSHIP,
  NFNL_SUBSYS_CTNETLINK,
  NLM_F_ACK,
  NLM_F_REQUEST,
  SO_ATTACH_FILTER,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOL_NETLINK,
  SOL_SOCKET,
} from './constants.js';
import { NetlinkError } from './errors.js';
import { type Libc, libc } from './libc.js';
import { LITTLE_ENDIAN, MessageWriter } from './message.js';
import { kindOfErrno, NetlinkSocket } from './socket.js';

// linux/netfilter/nfnetlink_conntrack.h, linux/netfilter/nfnetlink_compat.h
const MSG_GET_STATS = (NFNL_SUBSYS_CTNETLINK << 8) | 5;
const GROUP_UPDATE = 2;
const GROUP_DESTROY = 3;

/** Events taken with one system call. */
const BATCH = 64;
/** System calls of one `read`, so that a storm of events cannot keep the caller from its packets. */
const MOST_BATCHES = 32;
/** An event is 196 bytes (IPv4) or 244 (IPv6); labels and a security context make it longer, behind what is read. */
const STRIDE = 512;
const MMSGHDR = 64;
/** An event charges under 1 KB of the receive buffer (skb truesize), so this holds about ten thousand. */
const RECEIVE_BUFFER = 8 << 20;

/** Is told what happened; the connection is filled again for the next event. */
export interface ConnectionSink {
  /** Both ends finished the handshake: the source is not forged. */
  completed(connection: Connection): void;
  /** A first packet was answered by RST only: the port is closed, or there is no such connection. */
  refused(connection: Connection): void;
}

/**
 * What connection tracking reports, read without waiting. The kernel filters: it
 * hands over completed handshakes and refusals and nothing else (see
 * `conntrack-event`). Connections are tracked only in a network namespace where a
 * rule asks for their state, and report events only when they began while
 * somebody listened. Nothing is allocated per event.
 */
export class ConntrackEvents {
  /** Times that the kernel had more events than the receive buffer holds and dropped some. */
  lost = 0;

  readonly #libc: Libc;
  readonly #socket: NetlinkSocket;
  readonly #in = new Uint8Array(BATCH * STRIDE);
  readonly #reader = new EventReader(this.#in);
  /** struct iovec and struct mmsghdr (64-bit), one of each per buffer; referenced because the kernel writes to them. */
  readonly #iovecs = new BigUint64Array(2 * BATCH);
  readonly #headers = new Uint8Array(BATCH * MMSGHDR);
  readonly #headers32 = new Uint32Array(this.#headers.buffer);

  private constructor(socket: NetlinkSocket, library: Libc) {
    this.#socket = socket;
    this.#libc = library;
    const base = library.address(this.#in);
    const iovecs = library.address(this.#iovecs);
    const headers = new BigUint64Array(this.#headers.buffer);
    for (let i = 0; i < BATCH; i++) {
      this.#iovecs[2 * i] = base + BigInt(i * STRIDE);
      this.#iovecs[2 * i + 1] = BigInt(STRIDE);
      // struct mmsghdr: msg_iov at 16, msg_iovlen at 24, msg_len at 56.
      headers[i * 8 + 2] = iovecs + BigInt(16 * i);
      headers[i * 8 + 3] = 1n;
    }
  }

  /**
   * Listens to completed connections from now on; to refusals when `listenToRefusals` says so.
   * @param given a fresh socket, which after a failure stays the caller's to close
   * @throws NetlinkError kind `unsupported` when the kernel has no connection tracking, `not_permitted` without
   *   CAP_NET_ADMIN
   */
  static open(library: Libc = libc(), given?: NetlinkSocket): ConntrackEvents {
    const socket = given ?? NetlinkSocket.open(library);
    try {
      requireConntrack(socket);
      // The kernel doubles what it is given, for its own accounting.
      const half = RECEIVE_BUFFER >> 1;
      if (!socket.option(SOL_SOCKET, SO_RCVBUFFORCE, half)) socket.option(SOL_SOCKET, SO_RCVBUF, half);
      const events = new ConntrackEvents(socket, library);
      events.#attachFilter();
      if (!socket.option(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, GROUP_UPDATE)) {
        throw failure('listen to', library.errno());
      }
      return events;
    } catch (error) {
      if (given === undefined) socket.close();
      throw error;
    }
  }

  get fd(): number {
    return this.#socket.fd;
  }

  /**
   * Begins or ends to listen to refusals. While somebody listens the kernel writes an event for each connection that
   * ends, whether the filter lets it through or not.
   * @throws NetlinkError when the kernel refuses
   */
  listenToRefusals(isWanted: boolean): void {
    const option = isWanted ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP;
    if (!this.#socket.option(SOL_NETLINK, option, GROUP_DESTROY)) throw failure('listen to', this.#libc.errno());
  }

  /**
   * Takes what is there, up to about two thousand events, and returns their number.
   * @throws NetlinkError when the socket fails
   */
  read(sink: ConnectionSink): number {
    let events = 0;
    for (let batch = 0; batch < MOST_BATCHES; batch++) {
      const received = this.#libc.recvmmsg(this.#socket.fd, this.#headers, BATCH, MSG_DONTWAIT, null);
      if (received < 0) {
        const errno = this.#libc.errno();
        if (errno === EAGAIN) return events;
        if (errno === ENOBUFS) this.lost += 1;
        else if (errno !== EINTR) throw failure('read', errno);
        continue;
      }
      for (let i = 0; i < received; i++) {
        const event = this.#reader.read(i * STRIDE, this.#headers32[(i * MMSGHDR + 56) >> 2] as number);
        if (event === EVENT.COMPLETED) sink.completed(this.#reader.connection);
        else if (event === EVENT.REFUSED) sink.refused(this.#reader.connection);
      }
      events += received;
      if (received < BATCH) return events;
    }
    return events;
  }

  close(): void {
    this.#socket.close();
  }

  #attachFilter(): void {
    const program = filterProgram();
    // struct sock_fprog of 64-bit kernels: length u16, padding, pointer u64.
    const argument = new Uint8Array(16);
    const view = new DataView(argument.buffer);
    view.setUint16(0, program.length / 8, LITTLE_ENDIAN);
    view.setBigUint64(8, this.#libc.address(program), LITTLE_ENDIAN);
    if (this.#libc.setsockopt(this.#socket.fd, SOL_SOCKET, SO_ATTACH_FILTER, argument, argument.length) !== 0) {
      throw failure('filter', this.#libc.errno());
    }
  }
}

/** Joining the groups succeeds on every kernel; only a request tells whether somebody stands behind them. */
function requireConntrack(socket: NetlinkSocket): void {
  const request = new MessageWriter(new Uint8Array(32));
  const sequence = socket.nextSequence();
  request.begin({ type: MSG_GET_STATS, flags: NLM_F_REQUEST | NLM_F_ACK, sequence, family: 0 });
  const errno = socket.request(request.buffer, request.finish(), sequence);
  if (errno !== 0) throw failure('find', errno);
}

function failure(what: string, errno: number): NetlinkError {
  const operation = `${what} connection tracking events`;
  // EINVAL: no subsystem of that number (nfnetlink.c).
  if (errno !== EINVAL) return new NetlinkError(operation, errno, kindOfErrno(errno));
  return new NetlinkError(
    operation,
    errno,
    'unsupported',
    'the kernel has no connection tracking (nf_conntrack_netlink)',
  );
}
