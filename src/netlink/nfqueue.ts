import { REJECT_MARK } from '../net/mark.js';
import {
  EAGAIN,
  EBUSY,
  EINTR,
  ENOBUFS,
  EPERM,
  ETIMEDOUT,
  MSG_DONTWAIT,
  MSG_WAITFORONE,
  NETLINK_NO_ENOBUFS,
  NFNL_SUBSYS_QUEUE,
  NLM_F_ACK,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOL_NETLINK,
  SOL_SOCKET,
} from './constants.js';
import { NetlinkError } from './errors.js';
import { type Libc, libc } from './libc.js';
import { ATTRIBUTES_AT, LITTLE_ENDIAN, MessageWriter } from './message.js';
import { hasNetAdmin, processName, queueStatuses } from './nfqueue-status.js';
import { kindOfErrno, type NetlinkSocket } from './socket.js';

// linux/netfilter/nfnetlink_queue.h
const MSG_PACKET = (NFNL_SUBSYS_QUEUE << 8) | 0;
const MSG_CONFIG = (NFNL_SUBSYS_QUEUE << 8) | 2;
const MSG_VERDICT_BATCH = (NFNL_SUBSYS_QUEUE << 8) | 3;
const CFG_CMD = 1;
const CFG_PARAMS = 2;
const CFG_QUEUE_MAXLEN = 3;
const CFG_MASK = 4;
const CFG_FLAGS = 5;
const CMD_BIND = 1;
const COPY_PACKET = 2;
const FLAG_FAIL_OPEN = 1;
const FLAG_GSO = 4;
const VERDICT_HDR = 2;
const MARK = 3;
const PAYLOAD = 10;
const CAP_LEN = 13;

/** Packets taken with one system call; more gain little. */
export const BATCH = 64;
/** Bytes of each packet that are copied: room for IPv6, eleven short extension headers and TCP. */
const COPY_RANGE = 128;
/** A packet message: header, attributes (about 200 bytes at most) and the copied bytes. */
const STRIDE = 512;
const MMSGHDR = 64;
const VERDICT_LENGTH = 32;
/** A verdict with a mark: one attribute of four bytes more. */
const MARKED_LENGTH = 40;
/** A queued first packet charges about this much of the receive buffer (skb truesize). */
const CHARGE = 1024;

/** The most packets that can wait in a queue with this backlog; far more than its receive buffer holds. */
export function longestQueue(backlog: number): number {
  return backlog * 4;
}

/**
 * Judges `bytes[start .. start + captured)` of a packet of `wireLength` bytes: 0 drops (NF_DROP), 1 accepts
 * (NF_ACCEPT), 2 accepts with `REJECT_MARK` as the packet's mark.
 */
export type Judge = (bytes: Uint8Array, start: number, captured: number, wireLength: number) => 0 | 1 | 2;

export interface QueueOptions {
  /** Queue number, 0 to 65535. */
  readonly number: number;
  /** When more packets wait than fit: let them pass unfiltered (true), or drop them. */
  readonly failOpen: boolean;
  /** Packets that may wait to be received, 64 to 32768. */
  readonly backlog: number;
  /** How long `step` waits for a first packet. */
  readonly waitMs: number;
}

export const QUEUE_DEFAULTS = { backlog: 8192, waitMs: 200 } as const;

/**
 * One bound queue of the kernel (NFQUEUE). `step` receives what is there, up to
 * `BATCH` packets with one system call, asks for the verdict of each, and answers
 * all with one more. A batch verdict of the kernel holds for every waiting packet
 * up to its id, so one message goes out per run of equal verdicts, in order: the
 * effect is that of one verdict a packet. Nothing is allocated per packet.
 *
 * Overload. The kernel lets packets pass unfiltered (fail-open) in two cases: when
 * `QUEUE_MAXLEN` packets wait for a verdict, which leaves no trace anywhere, and
 * when the receive buffer is full, which uses up a packet id. The receive buffer
 * is therefore made to fill first (the queue is four times as long as the buffer
 * holds), and gaps between ids are exactly the packets that passed unfiltered, or
 * without fail-open were dropped.
 */
export class Nfqueue {
  /** Packets given a verdict, and of those the dropped and rejected. */
  packets = 0;
  dropped = 0;
  /** Times that the judge threw; the packet was accepted. */
  exceptions = 0;
  /**
   * Packets that the kernel numbered but could not hand over: passed unfiltered, or dropped without fail-open.
   * They are seen when the next packet comes.
   */
  missed = 0;

  readonly #libc: Libc;
  readonly #socket: NetlinkSocket;
  /** BATCH receive buffers of STRIDE bytes, and views of the same memory. */
  readonly #in = new Uint8Array(BATCH * STRIDE);
  readonly #in16 = new Uint16Array(this.#in.buffer);
  readonly #in32 = new Int32Array(this.#in.buffer);
  readonly #inView = new DataView(this.#in.buffer);
  /** struct iovec and struct mmsghdr (64-bit), one of each per buffer; referenced because the kernel writes to them. */
  readonly #iovecs = new BigUint64Array(2 * BATCH);
  readonly #headers = new Uint8Array(BATCH * MMSGHDR);
  readonly #headers32 = new Uint32Array(this.#headers.buffer);
  readonly #out = new Uint8Array(BATCH * MARKED_LENGTH);
  readonly #out32 = new Int32Array(this.#out.buffer);
  /** Words of one verdict message with its mark, complete but for length, verdict and id. */
  readonly #message = new Int32Array(MARKED_LENGTH / 4);
  #lastId = 0;
  /** Sequence number and answer of the configuration request under way. */
  #asked = 0;
  #answer = -1;

  private constructor(socket: NetlinkSocket, library: Libc, queue: number) {
    this.#socket = socket;
    this.#libc = library;
    this.#layOut(queue);
  }

  /**
   * Binds a queue through `socket`, which stays the caller's to close (closing it
   * unbinds the queue; packets then still waiting are dropped by the kernel).
   * Everything is configured with one acknowledged message, so that there is no
   * moment at which the queue is bound and does not yet take packets.
   *
   * @throws NetlinkError kind `exists` when another program owns the queue, `not_permitted` without CAP_NET_ADMIN,
   *   `unsupported` when the kernel has no NFQUEUE
   */
  static open(options: QueueOptions, socket: NetlinkSocket, library: Libc = libc()): Nfqueue {
    const queue = new Nfqueue(socket, library, options.number);
    const buffer = options.backlog * CHARGE;
    // The kernel doubles what it is given, for its own accounting.
    if (!socket.option(SOL_SOCKET, SO_RCVBUFFORCE, buffer >> 1)) socket.option(SOL_SOCKET, SO_RCVBUF, buffer >> 1);
    socket.option(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1);
    socket.receiveTimeout(options.waitMs);
    queue.#configure(options);
    return queue;
  }

  #configure(options: QueueOptions): void {
    const message = new MessageWriter(new Uint8Array(128));
    this.#asked = this.#socket.nextSequence();
    message.begin({
      type: MSG_CONFIG,
      flags: NLM_F_REQUEST | NLM_F_ACK,
      sequence: this.#asked,
      family: 0,
      resource: options.number,
    });
    message.bytes(CFG_CMD, Uint8Array.of(CMD_BIND, 0, 0, 0));
    // struct nfqnl_msg_config_params is packed: range be32, mode u8.
    message.bytes(CFG_PARAMS, Uint8Array.of(0, 0, 0, COPY_RANGE, COPY_PACKET));
    message.be32(CFG_QUEUE_MAXLEN, longestQueue(options.backlog));
    message.be32(CFG_MASK, FLAG_GSO | FLAG_FAIL_OPEN);
    message.be32(CFG_FLAGS, FLAG_GSO | (options.failOpen ? FLAG_FAIL_OPEN : 0));
    this.#socket.send(message.buffer, message.finish());
    // Packets may come before the acknowledgement; they pass.
    for (let tries = 0; this.#answer < 0 && tries < 64; tries++) this.step(() => 1);
    if (this.#answer < 0) throw new NetlinkError('bind queue', ETIMEDOUT, 'refused', 'the kernel did not answer');
    if (this.#answer > 0) throw bindError(options.number, this.#answer);
  }

  /**
   * Receives one batch and gives every packet its verdict. A judge that throws
   * accepts.
   *
   * @param wait for a first packet up to the time of `QueueOptions.waitMs`, or return at once
   * @returns packets given a verdict; 0 when none came
   * @throws NetlinkError when the socket fails; packets may then be without verdict until it is closed
   */
  step(judge: Judge, wait = true): number {
    const flags = wait ? MSG_WAITFORONE : MSG_DONTWAIT;
    const received = this.#libc.recvmmsg(this.#socket.fd, this.#headers, BATCH, flags, null);
    if (received < 0) {
      const errno = this.#libc.errno();
      if (errno === EAGAIN || errno === EINTR || errno === ENOBUFS) return 0;
      throw new NetlinkError('receive queued packets', errno, kindOfErrno(errno));
    }
    let packets = 0;
    let end = 0;
    let runVerdict = -1;
    let runId = 0;
    for (let i = 0; i < received; i++) {
      const at = i * STRIDE;
      const last = at + (this.#headers32[(i * MMSGHDR + 56) >> 2] as number);
      if (this.#in16[(at + 4) >> 1] !== MSG_PACKET || last < at + 32) {
        this.#other(at, last);
        continue;
      }
      const verdict = this.#judge(judge, at, last);
      packets += 1;
      if (verdict !== 1) this.dropped += 1;
      if (verdict !== runVerdict) {
        if (runVerdict >= 0) end = this.#write(end, runVerdict, runId);
        runVerdict = verdict;
      }
      // The packet header is always the first attribute; its id is copied to the verdict in the order it came.
      runId = this.#in32[(at + 24) >> 2] as number;
      this.#follow(this.#inView.getInt32(at + 24));
    }
    if (packets === 0) return 0;
    this.#socket.send(this.#out, this.#write(end, runVerdict, runId));
    this.packets += packets;
    return packets;
  }

  /** Walks to the payload, which is always last, and asks for the verdict. */
  #judge(judge: Judge, at: number, end: number): 0 | 1 | 2 {
    let attribute = at + 32;
    let wireLength = -1;
    while (attribute + 4 <= end) {
      const length = this.#in16[attribute >> 1] as number;
      const type = (this.#in16[(attribute >> 1) + 1] as number) & 0x3fff;
      if (length < 4 || attribute + length > end) break;
      if (type === CAP_LEN && length >= 8) wireLength = this.#inView.getUint32(attribute + 4);
      else if (type === PAYLOAD) {
        try {
          return judge(this.#in, attribute + 4, length - 4, wireLength < 0 ? length - 4 : wireLength);
        } catch {
          this.exceptions += 1;
          return 1;
        }
      }
      attribute += (length + 3) & ~3;
    }
    return 1;
  }

  /** Ids go up by one; a gap is a packet that never came. */
  #follow(id: number): void {
    const gap = (id - this.#lastId - 1) | 0;
    if (gap > 0) this.missed += gap;
    this.#lastId = id;
  }

  /** Appends the verdict of a run at a byte offset and gives the end. */
  #write(at: number, verdict: number, id: number): number {
    const out = this.#out32;
    const length = verdict === 2 ? MARKED_LENGTH : VERDICT_LENGTH;
    const word = at >> 2;
    for (let i = 0; i < length >> 2; i++) out[word + i] = this.#message[i] as number;
    out[word] = length;
    // The verdict is in network order: 1 as be32.
    out[word + 6] = verdict === 0 ? 0 : LITTLE_ENDIAN ? 0x01000000 : 1;
    out[word + 7] = id;
    return at + length;
  }

  /** The answer to the configuration; an error about a verdict (an id that is gone) needs no answer. */
  #other(at: number, end: number): void {
    if (this.#in16[(at + 4) >> 1] !== NLMSG_ERROR || end < at + ATTRIBUTES_AT) return;
    if (this.#inView.getUint32(at + 8, LITTLE_ENDIAN) === this.#asked) {
      this.#answer = Math.abs(this.#inView.getInt32(at + 16, LITTLE_ENDIAN));
    }
  }

  #layOut(queue: number): void {
    const base = this.#libc.address(this.#in);
    const iovecs = this.#libc.address(this.#iovecs);
    const headers = new BigUint64Array(this.#headers.buffer);
    for (let i = 0; i < BATCH; i++) {
      this.#iovecs[2 * i] = base + BigInt(i * STRIDE);
      this.#iovecs[2 * i + 1] = BigInt(STRIDE);
      // struct mmsghdr: msg_iov at 16, msg_iovlen at 24, msg_len at 56.
      headers[i * 8 + 2] = iovecs + BigInt(16 * i);
      headers[i * 8 + 3] = 1n;
    }
    const out = new MessageWriter(new Uint8Array(this.#message.buffer));
    out.begin({ type: MSG_VERDICT_BATCH, flags: NLM_F_REQUEST, sequence: 0, family: 0, resource: queue });
    out.bytes(VERDICT_HDR, new Uint8Array(8));
    out.be32(MARK, REJECT_MARK);
  }
}

/** The kernel answers EPERM both to the unprivileged and for a queue that somebody else has bound. */
function bindError(number: number, errno: number): NetlinkError {
  const operation = `bind queue ${number}`;
  if (errno !== EPERM && errno !== EBUSY) return new NetlinkError(operation, errno, kindOfErrno(errno));
  const owner = queueStatuses().find((queue) => queue.number === number);
  if (owner === undefined && hasNetAdmin() === false) {
    const detail = 'not permitted: run as root or with CAP_NET_ADMIN';
    return new NetlinkError(operation, errno, 'not_permitted', detail);
  }
  const name = owner === undefined ? '' : processName(owner.port);
  const who = owner === undefined ? '' : name ? ` (${name}, process ${owner.port})` : ` (netlink port ${owner.port})`;
  const detail = `another program${who} owns queue ${number}: stop it, or choose another number under queue.numbers`;
  return new NetlinkError(operation, errno, 'exists', detail);
}
