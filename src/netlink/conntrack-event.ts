/**
 * What one event of connection tracking says, and the socket filter that keeps
 * all others in the kernel. Layout (linux/netfilter/nfnetlink_conntrack.h): a
 * netlink message with CTA_TUPLE_ORIG {IP {source, target}, PROTO {number, ports}},
 * CTA_STATUS be32 and CTA_PROTOINFO {TCP {state u8}}; other attributes are passed
 * over. Nested types carry NLA_F_NESTED.
 *
 * Two events matter. Measured on kernel 6.18:
 * - The third packet of a handshake makes an UPDATE with status SEEN_REPLY and
 *   ASSURED and state ESTABLISHED. A connection that is picked up in its middle
 *   becomes ASSURED too, but its state does not change and so is not in the
 *   event: who opened it is not known, and it is left out.
 * - An attempt, or an ACK out of nowhere, that is answered by RST is deleted at
 *   once: DESTROY in state CLOSE, without SEEN_REPLY. An attempt that was answered
 *   by SYN+ACK and then reset is deleted ten seconds later in state CLOSE too, but
 *   with SEEN_REPLY; one that was never answered, in state SYN_SENT.
 */
import { NFNL_SUBSYS_CTNETLINK } from './constants.js';
import { ATTRIBUTES_AT, AttributeReader, LITTLE_ENDIAN } from './message.js';

/** IPCTNL_MSG_CT_NEW, which also carries updates, and IPCTNL_MSG_CT_DELETE. */
const MSG_NEW = 0;
const MSG_DELETE = 2;

const TUPLE_ORIG = 1;
const STATUS = 3;
const PROTOINFO = 4;
const TUPLE_IP = 1;
const TUPLE_PROTO = 2;
const IP_V4_SOURCE = 1;
const IP_V4_TARGET = 2;
const IP_V6_SOURCE = 3;
const IP_V6_TARGET = 4;
const PROTO_NUMBER = 1;
const PROTO_SOURCE_PORT = 2;
const PROTO_TARGET_PORT = 3;
const PROTOINFO_TCP = 1;
const PROTOINFO_TCP_STATE = 1;

/** enum ip_conntrack_status. */
const SEEN_REPLY = 2;
const ASSURED = 4;
/** enum tcp_conntrack. */
const STATE_ESTABLISHED = 3;
const STATE_CLOSE = 8;
const TCP = 6;

/**
 * The two ends of a TCP connection as its first packet had them: the source
 * opened it, and the target is the address that it used, also where DNAT sends it
 * elsewhere. Words are signed, in network order; IPv4 uses only the first. One
 * object is filled again and again.
 */
export class Connection {
  family: 4 | 6 = 4;
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  target0 = 0;
  target1 = 0;
  target2 = 0;
  target3 = 0;
  sourcePort = 0;
  targetPort = 0;
}

export const EVENT = {
  /** Not of interest, or not readable. */
  OTHER: 0,
  /** Both ends finished the handshake. */
  COMPLETED: 1,
  /** Answered by RST only. */
  REFUSED: 2,
} as const;
type Event = (typeof EVENT)[keyof typeof EVENT];

/** Reads events out of one buffer; total over any bytes, and allocates nothing. */
export class EventReader {
  readonly connection = new Connection();
  readonly #view: DataView;
  readonly #message: AttributeReader;
  readonly #outer: AttributeReader;
  readonly #inner: AttributeReader;
  /** Which of source, target and the two ports were read: a bit each. */
  #seen = 0;
  #protocol = 0;

  constructor(buffer: Uint8Array) {
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    this.#message = new AttributeReader(buffer);
    this.#outer = new AttributeReader(buffer);
    this.#inner = new AttributeReader(buffer);
  }

  /** Reads the message at `start`; `connection` is valid unless the result is `OTHER`. */
  read(start: number, length: number): Event {
    const limit = Math.min(start + length, this.#view.byteLength);
    if (start < 0 || start + ATTRIBUTES_AT > limit) return EVENT.OTHER;
    const said = this.#view.getUint32(start, LITTLE_ENDIAN);
    if (said < ATTRIBUTES_AT || start + said > limit) return EVENT.OTHER;
    const type = this.#view.getUint16(start + 4, LITTLE_ENDIAN);
    if (type >> 8 !== NFNL_SUBSYS_CTNETLINK) return EVENT.OTHER;
    const attributes = this.#message.over(start + ATTRIBUTES_AT, start + said);
    this.#seen = 0;
    this.#protocol = 0;
    let status = -1;
    let state = -1;
    while (attributes.next()) {
      if (attributes.type === TUPLE_ORIG) this.#tuple(attributes.start, attributes.end);
      else if (attributes.type === STATUS && attributes.length >= 4) status = attributes.be32();
      else if (attributes.type === PROTOINFO) state = this.#state(attributes.start, attributes.end);
    }
    if (attributes.malformed || status < 0 || this.#seen !== 15 || this.#protocol !== TCP) return EVENT.OTHER;
    return eventOf(type & 0xff, status & (SEEN_REPLY | ASSURED), state);
  }

  #tuple(start: number, end: number): void {
    const outer = this.#outer.over(start, end);
    while (outer.next()) {
      if (outer.type === TUPLE_IP) this.#addresses(outer.start, outer.end);
      else if (outer.type === TUPLE_PROTO) this.#ports(outer.start, outer.end);
    }
  }

  #addresses(start: number, end: number): void {
    const inner = this.#inner.over(start, end);
    const it = this.connection;
    while (inner.next()) {
      const { type } = inner;
      const isV6 = type === IP_V6_SOURCE || type === IP_V6_TARGET;
      if (type > IP_V6_TARGET || inner.length < (isV6 ? 16 : 4)) continue;
      it.family = isV6 ? 6 : 4;
      if (type === IP_V4_SOURCE || type === IP_V6_SOURCE) {
        it.source0 = inner.word(0);
        it.source1 = isV6 ? inner.word(1) : 0;
        it.source2 = isV6 ? inner.word(2) : 0;
        it.source3 = isV6 ? inner.word(3) : 0;
        this.#seen |= 1;
      } else if (type === IP_V4_TARGET || type === IP_V6_TARGET) {
        it.target0 = inner.word(0);
        it.target1 = isV6 ? inner.word(1) : 0;
        it.target2 = isV6 ? inner.word(2) : 0;
        it.target3 = isV6 ? inner.word(3) : 0;
        this.#seen |= 2;
      }
    }
  }

  #ports(start: number, end: number): void {
    const inner = this.#inner.over(start, end);
    while (inner.next()) {
      if (inner.type === PROTO_NUMBER) this.#protocol = inner.u8();
      else if (inner.type === PROTO_SOURCE_PORT && inner.length >= 2) {
        this.connection.sourcePort = inner.be16();
        this.#seen |= 4;
      } else if (inner.type === PROTO_TARGET_PORT && inner.length >= 2) {
        this.connection.targetPort = inner.be16();
        this.#seen |= 8;
      }
    }
  }

  #state(start: number, end: number): number {
    const outer = this.#outer.over(start, end);
    while (outer.next()) {
      if (outer.type !== PROTOINFO_TCP) continue;
      const inner = this.#inner.over(outer.start, outer.end);
      while (inner.next()) if (inner.type === PROTOINFO_TCP_STATE && inner.length >= 1) return inner.u8();
    }
    return -1;
  }
}

function eventOf(message: number, status: number, state: number): Event {
  if (message === MSG_NEW && status === (SEEN_REPLY | ASSURED) && state === STATE_ESTABLISHED) return EVENT.COMPLETED;
  if (message === MSG_DELETE && status === 0 && state === STATE_CLOSE) return EVENT.REFUSED;
  return EVENT.OTHER;
}

// Classic BPF (linux/filter.h): a load reads the message in network order.
const LOAD = 0x00;
const LOAD_X = 0x01;
const WORD = 0x00;
const BYTE = 0x10;
const IMMEDIATE = 0x00;
const ABSOLUTE = 0x20;
const INDIRECT = 0x40;
const AND_CONSTANT = 0x54;
const JUMP_EQUAL = 0x15;
const RETURN = 0x06;
const A_TO_X = 0x07;
/** SKF_AD_OFF + SKF_AD_NLATTR: from offset A on, the offset of the attribute of type X, or 0. */
const FIND = 0xfffff000 + 12;
/** SKF_AD_OFF + SKF_AD_NLATTR_NEST: the same inside the attribute at offset A. */
const FIND_INSIDE = 0xfffff000 + 16;
const ATTRIBUTE_HEADER = 4;

type Instruction = readonly [code: number, constant: number];

const find = (type: number, how: number): Instruction[] => [
  [LOAD_X | IMMEDIATE, type],
  [LOAD | WORD | ABSOLUTE, how],
];

/**
 * The socket filter as `struct sock_filter` (code u16, jumps u8 u8, constant u32 in
 * host order): takes what `EventReader` calls `COMPLETED` or `REFUSED`, apart from
 * the tuple, which it does not look at.
 */
export function filterProgram(): Uint8Array {
  // The state, and leaves when there is none (offset 0).
  const state: Instruction[] = [
    [LOAD | IMMEDIATE, ATTRIBUTES_AT],
    ...find(PROTOINFO, FIND),
    [JUMP_EQUAL, 0],
    ...find(PROTOINFO_TCP, FIND_INSIDE),
    [JUMP_EQUAL, 0],
    ...find(PROTOINFO_TCP_STATE, FIND_INSIDE),
    [JUMP_EQUAL, 0],
    [A_TO_X, 0],
    [LOAD | BYTE | INDIRECT, ATTRIBUTE_HEADER],
  ];
  const status: Instruction[] = [
    [LOAD | IMMEDIATE, ATTRIBUTES_AT],
    ...find(STATUS, FIND),
    [JUMP_EQUAL, 0],
    [A_TO_X, 0],
    [LOAD | WORD | INDIRECT, ATTRIBUTE_HEADER],
    [AND_CONSTANT, SEEN_REPLY | ASSURED],
  ];
  return assemble(status, state);
}

/**
 * message kind → (status, state) of that kind → take; everything else → leave.
 * `[JUMP_EQUAL, 0]` inside the parts above leaves when equal.
 */
function assemble(status: readonly Instruction[], state: readonly Instruction[]): Uint8Array {
  // The low byte of the type, which is in host order.
  const kind: Instruction = [LOAD | BYTE | ABSOLUTE, LITTLE_ENDIAN ? 4 : 5];
  const branch = status.length + 1 + state.length + 1;
  const length = 3 + 2 * branch + 2;
  const take = length - 2;
  const leave = length - 1;
  const bytes = new Uint8Array(8 * length);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const emit = ([code, constant]: Instruction, whenTrue = 0, whenFalse = 0): void => {
    view.setUint16(8 * at, code, LITTLE_ENDIAN);
    view.setUint8(8 * at + 2, whenTrue);
    view.setUint8(8 * at + 3, whenFalse);
    view.setUint32(8 * at + 4, constant, LITTLE_ENDIAN);
    at += 1;
  };
  const emitBranch = (wantedStatus: number, wantedState: number): void => {
    const part = (instructions: readonly Instruction[]): void => {
      for (const instruction of instructions) {
        emit(instruction, instruction[0] === JUMP_EQUAL ? leave - at - 1 : 0);
      }
    };
    part(status);
    emit([JUMP_EQUAL, wantedStatus], 0, leave - at - 1);
    part(state);
    emit([JUMP_EQUAL, wantedState], take - at - 1, leave - at - 1);
  };
  emit(kind);
  emit([JUMP_EQUAL, MSG_NEW], 1, 0);
  emit([JUMP_EQUAL, MSG_DELETE], branch, leave - at - 1);
  emitBranch(SEEN_REPLY | ASSURED, STATE_ESTABLISHED);
  emitBranch(0, STATE_CLOSE);
  emit([RETURN, 0xffffffff]);
  emit([RETURN, 0]);
  return bytes;
}
