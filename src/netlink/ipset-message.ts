/**
 * Messages of the ipset subsystem, encoded and decoded without a socket.
 * Source: linux/netfilter/ipset/ip_set.h (protocol 7), net/netfilter/ipset.
 * Numbers inside attributes are big-endian and say so by NLA_F_NET_BYTEORDER,
 * except a line number, which the kernel copies back as it came.
 */
import { type AddressWords, type Family, formatWords } from '../net/address.js';
import { type Prefix, widthOf } from '../net/prefix.js';
import {
  AF_INET,
  AF_INET6,
  NFNL_SUBSYS_IPSET,
  NLA_F_NESTED,
  NLA_F_NET_BYTEORDER,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
} from './constants.js';
import { ATTRIBUTES_AT, type AttributeReader, HEADER_LENGTH, type MessageWriter } from './message.js';

const PROTOCOL = 7;
/** IPSET_MAXNAMELEN without its NUL. */
export const LONGEST_NAME = 31;
/** The longest timeout that the kernel keeps (IPSET_MAX_TIMEOUT: UINT_MAX / 1000 / 2 seconds). */
export const LONGEST_TIMEOUT = 2_147_483;

export const Command = {
  create: 2,
  destroy: 3,
  flush: 4,
  rename: 5,
  swap: 6,
  list: 7,
  add: 9,
  delete: 10,
  test: 11,
  type: 13,
} as const;

/** Attributes of a command. */
const Attribute = {
  protocol: 1,
  setName: 2,
  typeName: 3,
  /** The second name of a rename or swap. */
  setName2: 3,
  revision: 4,
  family: 5,
  flags: 6,
  data: 7,
  adt: 8,
  line: 9,
} as const;

/** Attributes inside IPSET_ATTR_DATA: of an element, and of the making of a set. */
const Data = {
  ip: 1,
  cidr: 3,
  timeout: 6,
  flags: 8,
  line: 9,
  hashsize: 18,
  maxelem: 19,
  elements: 24,
  references: 25,
  bytes: 24,
  packets: 25,
} as const;

const IP_V4 = 1;
const IP_V6 = 2;
const FLAG_LIST_NAMES = 2;
const FLAG_LIST_HEADER = 4;
/** IPSET_FLAG_WITH_COUNTERS, among the flags of DATA. */
const FLAG_WITH_COUNTERS = 8;

const NUMBER = NLA_F_NET_BYTEORDER;
const addressFamily = (family: Family) => (family === 4 ? AF_INET : AF_INET6);

/** One element to add. */
export interface SetElement {
  readonly prefix: Prefix;
  /** Whole seconds, 1..LONGEST_TIMEOUT; 0 = permanent. */
  readonly timeout: number;
  /**
   * Begin the counters at 0. Without it an element that is there keeps its
   * counters, and so does one that has timed out but that the kernel has not
   * collected yet (which takes from one second to minutes).
   */
  readonly fresh?: boolean | undefined;
}

export interface CreateOptions {
  readonly family: Family;
  /** At most this many elements; the next is refused. */
  readonly maxelem: number;
  /** Buckets at the start. A set that rules add to cannot grow, so it needs all of them from the start. */
  readonly hashsize?: number;
  /** Count packets and bytes per element. */
  readonly counters: boolean;
  /** Default timeout of elements added without one, by rules for instance; 0 = permanent. */
  readonly timeout: number;
  readonly revision: number;
}

/** What the kernel says about a set, elements left out. */
export interface SetHeader {
  readonly name: string;
  readonly type: string;
  readonly family: Family;
  readonly revision: number;
  /** Default timeout in seconds; `null` when the set was made without timeouts. */
  readonly timeout: number | null;
  readonly counters: boolean;
  readonly maxelem: number;
  readonly hashsize: number;
  /** Elements that have not timed out. */
  readonly elements: number;
  /** Rules that use the set. */
  readonly references: number;
}

/** An element as a dump gives it. */
export interface ListedElement {
  /** Canonical text of the prefix. */
  readonly text: string;
  /** Seconds left; 0 = permanent. */
  readonly timeout: number;
  readonly packets: number;
  readonly bytes: number;
}

/** Says what is wrong with an element, or `null`. The kernel takes no /0 in a hash:net. */
export function elementProblem(prefix: Prefix, timeout: number): string | null {
  if (prefix.length === 0) return `${prefix.text}: a hash:net set cannot hold /0; write two /1 networks`;
  if (!Number.isInteger(timeout) || timeout < 0 || timeout > LONGEST_TIMEOUT) {
    return `${prefix.text}: timeout ${timeout} is not a whole number of seconds from 0 to ${LONGEST_TIMEOUT}`;
  }
  return null;
}

function begin(out: MessageWriter, command: number, flags: number, sequence: number, family = 0): void {
  out.clear();
  out.begin({ type: (NFNL_SUBSYS_IPSET << 8) | command, flags: NLM_F_REQUEST | flags, sequence, family });
  out.u8(Attribute.protocol, PROTOCOL);
}

/** Encodes a command on a set as a whole: destroy, flush; or, with `other`, rename and swap. */
export function encodeSetCommand(
  out: MessageWriter,
  command: 'destroy' | 'flush' | 'rename' | 'swap',
  sequence: number,
  name: string,
  other?: string,
): number {
  // Without NLM_F_EXCL newer kernels call destroying a missing set a success.
  begin(out, Command[command], NLM_F_ACK | NLM_F_EXCL, sequence);
  out.text(Attribute.setName, name);
  if (other !== undefined) out.text(Attribute.setName2, other);
  return out.finish();
}

/** Encodes the making of a hash:net; it fails with EEXIST when the name is taken. */
export function encodeCreate(out: MessageWriter, sequence: number, name: string, options: CreateOptions): number {
  const family = addressFamily(options.family);
  begin(out, Command.create, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sequence, family);
  out.text(Attribute.setName, name);
  out.text(Attribute.typeName, 'hash:net');
  out.u8(Attribute.revision, options.revision);
  out.u8(Attribute.family, family);
  const data = out.open(Attribute.data | NLA_F_NESTED);
  out.be32(Data.timeout | NUMBER, options.timeout);
  if (options.hashsize !== undefined) out.be32(Data.hashsize | NUMBER, options.hashsize);
  out.be32(Data.maxelem | NUMBER, options.maxelem);
  if (options.counters) out.be32(Data.flags | NUMBER, FLAG_WITH_COUNTERS);
  out.close(data);
  return out.finish();
}

/**
 * Encodes adding or deleting `elements[from..to)` in one message. Each element
 * carries its number (1 for the first of the message) as line, so that a
 * failure names it. Adding refreshes an element that exists; deleting one
 * that does not exist succeeds.
 */
export function encodeElements(
  out: MessageWriter,
  command: 'add' | 'delete',
  sequence: number,
  name: string,
  family: Family,
  elements: readonly SetElement[],
  from: number,
  to: number,
): number {
  begin(out, Command[command], NLM_F_ACK, sequence, addressFamily(family));
  out.text(Attribute.setName, name);
  out.u32(Attribute.line, 0);
  const adt = out.open(Attribute.adt | NLA_F_NESTED);
  for (let at = from; at < to; at++) {
    const { prefix, timeout, fresh } = elements[at] as SetElement;
    const data = out.open(Attribute.data | NLA_F_NESTED);
    encodeAddress(out, prefix);
    if (command === 'add') out.be32(Data.timeout | NUMBER, timeout);
    if (fresh === true) {
      out.be64(Data.bytes | NUMBER, 0);
      out.be64(Data.packets | NUMBER, 0);
    }
    out.u32(Data.line, at - from + 1);
    out.close(data);
  }
  out.close(adt);
  return out.finish();
}

/** Encodes the question whether an element exists. For a host the kernel also says yes when a listed network holds it. */
export function encodeTest(out: MessageWriter, sequence: number, name: string, prefix: Prefix): number {
  begin(out, Command.test, NLM_F_ACK, sequence, addressFamily(prefix.family));
  out.text(Attribute.setName, name);
  const data = out.open(Attribute.data | NLA_F_NESTED);
  encodeAddress(out, prefix);
  out.close(data);
  return out.finish();
}

function encodeAddress(out: MessageWriter, prefix: Prefix): void {
  const ip = out.open(Data.ip | NLA_F_NESTED);
  out.words((prefix.family === 4 ? IP_V4 : IP_V6) | NUMBER, prefix.family, prefix.w0, prefix.w1, prefix.w2, prefix.w3);
  out.close(ip);
  if (prefix.length !== widthOf(prefix.family)) out.u8(Data.cidr, prefix.length);
}

/** Encodes a dump: of one set with its elements, of its header alone, or (no name) of the names of all sets. */
export function encodeList(
  out: MessageWriter,
  sequence: number,
  what: { readonly name: string; readonly headerOnly: boolean } | 'names',
): number {
  begin(out, Command.list, NLM_F_DUMP | NLM_F_ACK, sequence);
  if (what === 'names') out.be32(Attribute.flags | NUMBER, FLAG_LIST_NAMES);
  else {
    out.text(Attribute.setName, what.name);
    if (what.headerOnly) out.be32(Attribute.flags | NUMBER, FLAG_LIST_HEADER);
  }
  return out.finish();
}

/** Encodes the question which revisions of a set type the kernel knows. */
export function encodeType(out: MessageWriter, sequence: number, typeName: string, family: Family): number {
  begin(out, Command.type, NLM_F_ACK, sequence, addressFamily(family));
  out.text(Attribute.typeName, typeName);
  out.u8(Attribute.family, addressFamily(family));
  return out.finish();
}

/** The highest revision in the answer to `encodeType`; -1 when there is none. */
export function decodeRevision(attributes: AttributeReader, start: number, end: number): number {
  attributes.over(start + 4, end);
  while (attributes.next()) if (attributes.type === Attribute.revision) return attributes.u8();
  return -1;
}

/** The name of the set that a listing message is about. */
export function decodeName(attributes: AttributeReader, start: number, end: number): string {
  attributes.over(start + 4, end);
  while (attributes.next()) if (attributes.type === Attribute.setName) return attributes.text();
  return '';
}

/** The header in a listing message. */
export function decodeHeader(attributes: AttributeReader, start: number, end: number): SetHeader {
  const header = {
    name: '',
    type: '',
    family: 4 as Family,
    revision: 0,
    timeout: null as number | null,
    counters: false,
    maxelem: 0,
    hashsize: 0,
    elements: 0,
    references: 0,
  };
  attributes.over(start + 4, end);
  let data: readonly [number, number] | null = null;
  while (attributes.next()) {
    if (attributes.type === Attribute.setName) header.name = attributes.text();
    else if (attributes.type === Attribute.typeName) header.type = attributes.text();
    else if (attributes.type === Attribute.revision) header.revision = attributes.u8();
    else if (attributes.type === Attribute.family) header.family = attributes.u8() === AF_INET6 ? 6 : 4;
    else if (attributes.type === Attribute.data) data = [attributes.start, attributes.end];
  }
  if (data === null) return header;
  attributes.over(data[0], data[1]);
  while (attributes.next()) {
    if (attributes.type === Data.timeout) header.timeout = attributes.be32();
    else if (attributes.type === Data.flags) header.counters = (attributes.be32() & FLAG_WITH_COUNTERS) !== 0;
    else if (attributes.type === Data.maxelem) header.maxelem = attributes.be32();
    else if (attributes.type === Data.hashsize) header.hashsize = attributes.be32();
    else if (attributes.type === Data.elements) header.elements = attributes.be32();
    else if (attributes.type === Data.references) header.references = attributes.be32();
  }
  return header;
}

/** Appends the elements in a listing message to `into`; the readers stand on the same bytes. */
export function decodeElements(
  readers: readonly [AttributeReader, AttributeReader, AttributeReader, AttributeReader],
  start: number,
  end: number,
  into: ListedElement[],
): void {
  const [message, adt, data, ip] = readers;
  message.over(start + 4, end);
  while (message.next()) {
    if (message.type !== Attribute.adt) continue;
    adt.over(message.start, message.end);
    while (adt.next()) if (adt.type === Attribute.data) into.push(decodeElement(data.over(adt.start, adt.end), ip));
  }
}

function decodeElement(data: AttributeReader, ip: AttributeReader): ListedElement {
  let words: AddressWords = { family: 4, w0: 0, w1: 0, w2: 0, w3: 0 };
  let length = -1;
  let timeout = 0;
  let packets = 0;
  let bytes = 0;
  while (data.next()) {
    switch (data.type) {
      case Data.ip:
        ip.over(data.start, data.end);
        while (ip.next()) {
          if (ip.type === IP_V4) words = { family: 4, w0: ip.word(0), w1: 0, w2: 0, w3: 0 };
          else if (ip.type === IP_V6) {
            words = { family: 6, w0: ip.word(0), w1: ip.word(1), w2: ip.word(2), w3: ip.word(3) };
          }
        }
        break;
      case Data.cidr:
        length = data.u8();
        break;
      case Data.timeout:
        timeout = data.be32();
        break;
      case Data.packets:
        packets = data.be64();
        break;
      case Data.bytes:
        bytes = data.be64();
        break;
    }
  }
  const address = formatWords(words);
  const whole = length < 0 || length === widthOf(words.family);
  return { text: whole ? address : `${address}/${length}`, timeout, packets, bytes };
}

/** The line of the element that an NLMSG_ERROR at `start` is about; 0 when it is about the whole message. */
export function decodeFailedLine(attributes: AttributeReader, start: number, end: number): number {
  // The error code, then the request as it was sent, its line number replaced by that of the element.
  attributes.over(start + 4 + ATTRIBUTES_AT, end);
  if (end - start < 4 + HEADER_LENGTH) return 0;
  while (attributes.next()) if (attributes.type === Attribute.line) return attributes.u32();
  return 0;
}
