/**
 * Messages to the ipset subsystem, encoded without a socket; `ipset-decode` reads the answers.
 * Source: linux/netfilter/ipset/ip_set.h (protocol 7), net/netfilter/ipset.
 * Numbers inside attributes are big-endian and say so by NLA_F_NET_BYTEORDER,
 * except a line number, which the kernel copies back as it came.
 */
import type { AddressWords, Family } from '../net/address.js';
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
import { MessageWriter } from './message.js';

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
export const Attribute = {
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
export const Data = {
  ip: 1,
  cidr: 3,
  port: 4,
  timeout: 6,
  proto: 7,
  flags: 8,
  line: 9,
  hashsize: 18,
  maxelem: 19,
  netmask: 20,
  elements: 24,
  references: 25,
  bytes: 24,
  packets: 25,
} as const;

export const IP_V4 = 1;
export const IP_V6 = 2;
const FLAG_LIST_HEADER = 4;
/** IPSET_FLAG_WITH_COUNTERS, among the flags of DATA. */
export const FLAG_WITH_COUNTERS = 8;

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

/** The kinds of set that are made here. */
export type SetType = 'hash:net' | 'hash:ip' | 'hash:ip,port';

export interface CreateOptions {
  /** hash:net when absent. */
  readonly type?: SetType;
  readonly family: Family;
  /** Of hash:ip: addresses that agree in so many bits are one element. */
  readonly netmask?: number;
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

/** Encodes the making of a set; it fails with EEXIST when the name is taken. */
export function encodeCreate(out: MessageWriter, sequence: number, name: string, options: CreateOptions): number {
  const family = addressFamily(options.family);
  begin(out, Command.create, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sequence, family);
  out.text(Attribute.setName, name);
  out.text(Attribute.typeName, options.type ?? 'hash:net');
  out.u8(Attribute.revision, options.revision);
  out.u8(Attribute.family, family);
  const data = out.open(Attribute.data | NLA_F_NESTED);
  out.be32(Data.timeout | NUMBER, options.timeout);
  if (options.hashsize !== undefined) out.be32(Data.hashsize | NUMBER, options.hashsize);
  out.be32(Data.maxelem | NUMBER, options.maxelem);
  if (options.netmask !== undefined) out.u8(Data.netmask, options.netmask);
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
    const form = formOf(family, prefix.length !== widthOf(family), command === 'add', fresh === true);
    const start = out.append(form.bytes);
    out.putBe32(start + ADDRESS_AT, prefix.w0);
    if (family === 6) {
      out.putBe32(start + ADDRESS_AT + 4, prefix.w1);
      out.putBe32(start + ADDRESS_AT + 8, prefix.w2);
      out.putBe32(start + ADDRESS_AT + 12, prefix.w3);
    }
    if (form.lengthAt > 0) out.put8(start + form.lengthAt, prefix.length);
    if (form.timeoutAt > 0) out.putBe32(start + form.timeoutAt, timeout);
    out.put32(start + form.lineAt, at - from + 1);
  }
  out.close(adt);
  return out.finish();
}

/** The bytes of an element with zeros for its values, and the offsets of those; 0 for what it does not have. */
interface ElementForm {
  readonly bytes: Uint8Array;
  readonly lengthAt: number;
  readonly timeoutAt: number;
  readonly lineAt: number;
}

/** Offset of the address: after the headers of DATA, of IP and of the address attribute. */
const ADDRESS_AT = 12;
const forms: (ElementForm | undefined)[] = [];

/** There are sixteen kinds of element; each is encoded once, and copied and filled in ever after. */
function formOf(family: Family, hasLength: boolean, hasTimeout: boolean, fresh: boolean): ElementForm {
  const key = (family === 6 ? 8 : 0) | (hasLength ? 4 : 0) | (hasTimeout ? 2 : 0) | (fresh ? 1 : 0);
  const known = forms[key];
  if (known !== undefined) return known;
  const form = encodeForm(new MessageWriter(new Uint8Array(128)), family, hasLength, hasTimeout, fresh);
  forms[key] = form;
  return form;
}

function encodeForm(
  out: MessageWriter,
  family: Family,
  hasLength: boolean,
  hasTimeout: boolean,
  fresh: boolean,
): ElementForm {
  const data = out.open(Attribute.data | NLA_F_NESTED);
  encodeAddress(out, family, 0, 0, 0, 0);
  // The payload of an attribute of 4 bytes or fewer is the last four bytes written.
  if (hasLength) out.u8(Data.cidr, 0);
  const lengthAt = hasLength ? out.length - 4 : 0;
  if (hasTimeout) out.be32(Data.timeout | NUMBER, 0);
  const timeoutAt = hasTimeout ? out.length - 4 : 0;
  if (fresh) {
    out.be64(Data.bytes | NUMBER, 0);
    out.be64(Data.packets | NUMBER, 0);
  }
  out.u32(Data.line, 0);
  out.close(data);
  return { bytes: out.buffer.slice(0, out.length), lengthAt, timeoutAt, lineAt: out.length - 4 };
}

const IPPROTO_TCP = 6;

/** A TCP port of one address, an element of a hash:ip,port. */
export interface ServiceElement {
  readonly address: AddressWords;
  readonly port: number;
  /** Whole seconds, 1..LONGEST_TIMEOUT; 0 = permanent. */
  readonly timeout: number;
}

/** Encodes adding (or giving a new timeout), deleting or testing one service. Deleting one that is not there succeeds. */
export function encodeService(
  out: MessageWriter,
  command: 'add' | 'delete' | 'test',
  sequence: number,
  name: string,
  { address, port, timeout }: ServiceElement,
): number {
  const { family, w0, w1, w2, w3 } = address;
  begin(out, Command[command], NLM_F_ACK, sequence, addressFamily(family));
  out.text(Attribute.setName, name);
  const data = out.open(Attribute.data | NLA_F_NESTED);
  encodeAddress(out, family, w0, w1, w2, w3);
  out.be16(Data.port | NUMBER, port);
  out.u8(Data.proto, IPPROTO_TCP);
  if (command === 'add') out.be32(Data.timeout | NUMBER, timeout);
  out.u32(Data.line, 0);
  out.close(data);
  return out.finish();
}

/** Encodes the question whether an element exists. For a host the kernel also says yes when a listed network holds it. */
export function encodeTest(out: MessageWriter, sequence: number, name: string, prefix: Prefix): number {
  begin(out, Command.test, NLM_F_ACK, sequence, addressFamily(prefix.family));
  out.text(Attribute.setName, name);
  const data = out.open(Attribute.data | NLA_F_NESTED);
  encodeAddress(out, prefix.family, prefix.w0, prefix.w1, prefix.w2, prefix.w3);
  if (prefix.length !== widthOf(prefix.family)) out.u8(Data.cidr, prefix.length);
  out.close(data);
  return out.finish();
}

function encodeAddress(out: MessageWriter, family: Family, w0: number, w1: number, w2: number, w3: number): void {
  const ip = out.open(Data.ip | NLA_F_NESTED);
  out.words((family === 4 ? IP_V4 : IP_V6) | NUMBER, family, w0, w1, w2, w3);
  out.close(ip);
}

/** Encodes a dump of one set with its elements, or of its header alone. */
export function encodeList(
  out: MessageWriter,
  sequence: number,
  what: { readonly name: string; readonly headerOnly: boolean },
): number {
  begin(out, Command.list, NLM_F_DUMP | NLM_F_ACK, sequence);
  out.text(Attribute.setName, what.name);
  if (what.headerOnly) out.be32(Attribute.flags | NUMBER, FLAG_LIST_HEADER);
  return out.finish();
}

/** Encodes the question which revisions of a set type the kernel knows. */
export function encodeType(out: MessageWriter, sequence: number, typeName: string, family: Family): number {
  begin(out, Command.type, NLM_F_ACK, sequence, addressFamily(family));
  out.text(Attribute.typeName, typeName);
  out.u8(Attribute.family, addressFamily(family));
  return out.finish();
}
