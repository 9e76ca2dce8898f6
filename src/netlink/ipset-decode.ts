/** What the ipset subsystem answers, decoded without a socket. See `ipset-message` for the source of the layout. */
import { type AddressWords, type Family, formatWords } from '../net/address.js';
import { widthOf } from '../net/prefix.js';
import { AF_INET6 } from './constants.js';
import { Attribute, Data, FLAG_WITH_COUNTERS, IP_V4, IP_V6 } from './ipset-message.js';
import { ATTRIBUTES_AT, type AttributeReader, HEADER_LENGTH } from './message.js';

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
  /** Bits in which the addresses of one element agree; `null` when they are whole. */
  readonly netmask: number | null;
  /** Elements that have not timed out. */
  readonly elements: number;
  /** Rules that use the set. */
  readonly references: number;
}

/** An element as a dump gives it. */
export interface ListedElement {
  /** Canonical text of the prefix; of a service `198.51.100.1,tcp:80`. */
  readonly text: string;
  /** Seconds left; 0 = permanent. */
  readonly timeout: number;
  readonly packets: number;
  readonly bytes: number;
}

/** The highest revision in the answer to `encodeType`; -1 when there is none. */
export function decodeRevision(attributes: AttributeReader, start: number, end: number): number {
  attributes.over(start + 4, end);
  while (attributes.next()) if (attributes.type === Attribute.revision) return attributes.u8();
  return -1;
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
    netmask: null as number | null,
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
    else if (attributes.type === Data.netmask) header.netmask = attributes.u8();
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
  let port = -1;
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
      case Data.port:
        port = data.be16();
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
  const suffix = port < 0 ? '' : `,tcp:${port}`;
  return { text: `${whole ? address : `${address}/${length}`}${suffix}`, timeout, packets, bytes };
}

/** The line of the element that an NLMSG_ERROR at `start` is about; 0 when it is about the whole message. */
export function decodeFailedLine(attributes: AttributeReader, start: number, end: number): number {
  // The error code, then the request as it was sent, its line number replaced by that of the element.
  attributes.over(start + 4 + ATTRIBUTES_AT, end);
  if (end - start < 4 + HEADER_LENGTH) return 0;
  while (attributes.next()) if (attributes.type === Attribute.line) return attributes.u32();
  return 0;
}
