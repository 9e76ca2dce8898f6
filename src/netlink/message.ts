/**
 * The form of nfnetlink messages, without a socket: `MessageWriter` encodes into
 * memory that it is given, `MessageReader` and `AttributeReader` walk what the
 * kernel sent. Readers are total: on lengths that cannot be they stop and set
 * `malformed`, they never read outside the bytes that they were given.
 *
 * Layout (linux/netlink.h, linux/netfilter/nfnetlink.h): struct nlmsghdr is 16
 * bytes in host order (length u32, type u16, flags u16, sequence u32, port u32),
 * struct nfgenmsg 4 (family u8, version u8, resource id be16), then attributes
 * of length u16, type u16 and payload, each padded to 4 bytes.
 */
import { endianness } from 'node:os';

export const HEADER_LENGTH = 16;
/** Offset of the first attribute: nlmsghdr and nfgenmsg. */
export const ATTRIBUTES_AT = 20;
const ATTRIBUTE_HEADER = 4;
const LONGEST_ATTRIBUTE = 0xffff;
/** `nla_type` without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const TYPE_MASK = 0x3fff;

/** Whether this machine stores the low byte first; netlink headers are in host order. */
export const LITTLE_ENDIAN = endianness() === 'LE';

const align = (length: number) => (length + 3) & ~3;

export interface MessageHeader {
  /** `subsystem << 8 | message`. */
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** AF_INET, AF_INET6 or 0. */
  readonly family: number;
  /** `res_id`: the queue number of NFQUEUE messages, else 0. */
  readonly resource?: number;
}

/**
 * Encodes messages one after the other into one buffer.
 * Every method throws RangeError when the buffer or the 16-bit length of a nest is too small.
 */
export class MessageWriter {
  readonly buffer: Uint8Array;
  readonly #view: DataView;
  #start = 0;
  #end = 0;

  constructor(buffer: Uint8Array) {
    this.buffer = buffer;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  /** Bytes written, of all messages since `clear`. */
  get length(): number {
    return this.#end;
  }

  clear(): void {
    this.#start = 0;
    this.#end = 0;
  }

  /** Starts a message; close it with `finish`. */
  begin(header: MessageHeader): void {
    const at = this.#end;
    const view = this.#view;
    view.setUint16(at + 4, header.type, LITTLE_ENDIAN);
    view.setUint16(at + 6, header.flags, LITTLE_ENDIAN);
    view.setUint32(at + 8, header.sequence, LITTLE_ENDIAN);
    // Port 0: the kernel answers the port of the socket.
    view.setUint32(at + 12, 0, LITTLE_ENDIAN);
    view.setUint8(at + 16, header.family);
    view.setUint8(at + 17, 0);
    view.setUint16(at + 18, header.resource ?? 0, false);
    this.#start = at;
    this.#end = at + ATTRIBUTES_AT;
  }

  /** Writes the length of the message into its header and returns the bytes written since `clear`. */
  finish(): number {
    this.#view.setUint32(this.#start, this.#end - this.#start, LITTLE_ENDIAN);
    return this.#end;
  }

  u8(type: number, value: number): void {
    const at = this.#attribute(type, 1);
    this.#view.setUint32(at, 0);
    this.#view.setUint8(at, value);
  }

  /** A 16-bit number in network order, as `be32`. */
  be16(type: number, value: number): void {
    const at = this.#attribute(type, 2);
    this.#view.setUint32(at, 0);
    this.#view.setUint16(at, value, false);
  }

  /** A 32-bit number in network order; the caller adds NLA_F_NET_BYTEORDER to `type` where the subsystem asks for it. */
  be32(type: number, value: number): void {
    this.#view.setUint32(this.#attribute(type, 4), value, false);
  }

  /** A 64-bit number in network order, exact up to 2^53. */
  be64(type: number, value: number): void {
    const at = this.#attribute(type, 8);
    this.#view.setUint32(at, Math.floor(value / 2 ** 32), false);
    this.#view.setUint32(at + 4, value >>> 0, false);
  }

  /** A 32-bit number in the order of this machine. */
  u32(type: number, value: number): void {
    this.#view.setUint32(this.#attribute(type, 4), value, LITTLE_ENDIAN);
  }

  /** Latin-1 text with its closing NUL. */
  text(type: number, value: string): void {
    const at = this.#attribute(type, value.length + 1);
    for (let i = 0; i < value.length; i++) this.buffer[at + i] = value.charCodeAt(i);
    this.buffer.fill(0, at + value.length, this.#end);
  }

  bytes(type: number, value: Uint8Array): void {
    const at = this.#attribute(type, value.length);
    this.buffer.set(value, at);
    this.buffer.fill(0, at + value.length, this.#end);
  }

  /** The four words of an address, or the first only: an attribute of 16 or 4 bytes in network order. */
  words(type: number, family: 4 | 6, w0: number, w1: number, w2: number, w3: number): void {
    const at = this.#attribute(type, family === 4 ? 4 : 16);
    const view = this.#view;
    view.setInt32(at, w0);
    if (family === 4) return;
    view.setInt32(at + 4, w1);
    view.setInt32(at + 8, w2);
    view.setInt32(at + 12, w3);
  }

  /** Appends attributes that were encoded before and returns where they begin, for the `put` methods. */
  append(attributes: Uint8Array): number {
    const at = this.#end;
    this.buffer.set(attributes, at);
    this.#end = at + attributes.length;
    return at;
  }

  put8(at: number, value: number): void {
    this.#view.setUint8(at, value);
  }

  putBe32(at: number, value: number): void {
    this.#view.setInt32(at, value, false);
  }

  put32(at: number, value: number): void {
    this.#view.setUint32(at, value, LITTLE_ENDIAN);
  }

  /** Starts a nest and returns its mark for `close`; the caller adds NLA_F_NESTED to `type` where wanted. */
  open(type: number): number {
    return this.#attribute(type, 0) - ATTRIBUTE_HEADER;
  }

  close(mark: number): void {
    const length = this.#end - mark;
    if (length > LONGEST_ATTRIBUTE) throw new RangeError(`a nest of ${length} bytes exceeds a netlink attribute`);
    this.#view.setUint16(mark, length, LITTLE_ENDIAN);
  }

  #attribute(type: number, length: number): number {
    const at = this.#end;
    const end = at + ATTRIBUTE_HEADER + align(length);
    if (end > this.buffer.length || length > LONGEST_ATTRIBUTE - ATTRIBUTE_HEADER) {
      throw new RangeError(`netlink message: ${length} bytes do not fit after ${at} of ${this.buffer.length}`);
    }
    this.#view.setUint16(at, ATTRIBUTE_HEADER + length, LITTLE_ENDIAN);
    this.#view.setUint16(at + 2, type, LITTLE_ENDIAN);
    this.#end = end;
    return at + ATTRIBUTE_HEADER;
  }
}

/** Walks the messages of one received datagram: `while (reader.next()) ...`. Reusable through `over`. */
export class MessageReader {
  readonly buffer: Uint8Array;
  readonly #view: DataView;
  #next = 0;
  #limit = 0;
  malformed = false;
  type = 0;
  flags = 0;
  sequence = 0;
  /** Offset of the payload: of nfgenmsg, or of the code of an NLMSG_ERROR. */
  start = 0;
  /** Offset after the payload, padding left out. */
  end = 0;

  constructor(buffer: Uint8Array) {
    this.buffer = buffer;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  /** Begins again at offset 0, with this many bytes. */
  over(length: number): this {
    this.#next = 0;
    this.#limit = Math.min(length, this.buffer.length);
    this.malformed = false;
    return this;
  }

  next(): boolean {
    const at = this.#next;
    if (this.malformed || at >= this.#limit) return false;
    const length = at + HEADER_LENGTH <= this.#limit ? this.#view.getUint32(at, LITTLE_ENDIAN) : 0;
    if (length < HEADER_LENGTH || length > this.#limit - at) {
      this.malformed = true;
      return false;
    }
    this.type = this.#view.getUint16(at + 4, LITTLE_ENDIAN);
    this.flags = this.#view.getUint16(at + 6, LITTLE_ENDIAN);
    this.sequence = this.#view.getUint32(at + 8, LITTLE_ENDIAN);
    this.start = at + HEADER_LENGTH;
    this.end = at + length;
    this.#next = at + align(length);
    return true;
  }

  /** Of an NLMSG_ERROR: the errno, positive; 0 is an acknowledgement; `null` when the message is too short. */
  errno(): number | null {
    return this.end - this.start < 4 ? null : Math.abs(this.#view.getInt32(this.start, LITTLE_ENDIAN));
  }
}

/** Walks attributes between two offsets: `while (attributes.next()) ...`. Reusable through `over`. */
export class AttributeReader {
  readonly buffer: Uint8Array;
  readonly #view: DataView;
  #next = 0;
  #limit = 0;
  malformed = false;
  /** Without the flag bits for nests and byte order. */
  type = 0;
  start = 0;
  end = 0;

  constructor(buffer: Uint8Array) {
    this.buffer = buffer;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  over(start: number, end: number): this {
    this.#next = start;
    this.#limit = Math.min(end, this.buffer.length);
    this.malformed = false;
    return this;
  }

  next(): boolean {
    const at = this.#next;
    if (this.malformed || at >= this.#limit) return false;
    const length = at + ATTRIBUTE_HEADER <= this.#limit ? this.#view.getUint16(at, LITTLE_ENDIAN) : 0;
    if (length < ATTRIBUTE_HEADER || length > this.#limit - at) {
      this.malformed = true;
      return false;
    }
    this.type = this.#view.getUint16(at + 2, LITTLE_ENDIAN) & TYPE_MASK;
    this.start = at + ATTRIBUTE_HEADER;
    this.end = at + length;
    this.#next = at + align(length);
    return true;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** The readers below give 0 when the attribute is too short for the number asked for. */
  u8(): number {
    return this.length < 1 ? 0 : this.#view.getUint8(this.start);
  }

  be16(): number {
    return this.length < 2 ? 0 : this.#view.getUint16(this.start, false);
  }

  be32(): number {
    return this.length < 4 ? 0 : this.#view.getUint32(this.start, false);
  }

  u32(): number {
    return this.length < 4 ? 0 : this.#view.getUint32(this.start, LITTLE_ENDIAN);
  }

  /** Exact up to 2^53. */
  be64(): number {
    if (this.length < 8) return 0;
    return this.#view.getUint32(this.start, false) * 2 ** 32 + this.#view.getUint32(this.start + 4, false);
  }

  /** Word `index` of an address, signed. */
  word(index: number): number {
    const at = this.start + 4 * index;
    return at + 4 > this.end ? 0 : this.#view.getInt32(at, false);
  }

  /** Latin-1 text up to its NUL. */
  text(): string {
    let text = '';
    for (let i = this.start; i < this.end && this.buffer[i] !== 0; i++) {
      text += String.fromCharCode(this.buffer[i] as number);
    }
    return text;
  }
}
