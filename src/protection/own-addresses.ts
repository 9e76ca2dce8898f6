import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { type Address, formatWords, parseAddress, unmapped } from '../net/address.js';
import {
  AF_NETLINK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  SO_RCVTIMEO,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
} from '../netlink/constants.js';
import { NetlinkError } from '../netlink/errors.js';
import { type Libc, libc } from '../netlink/libc.js';
import { AttributeReader, LITTLE_ENDIAN, MessageReader } from '../netlink/message.js';

/** linux/rtnetlink.h, linux/if_addr.h */
const NETLINK_ROUTE = 0;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const NLMSGHDR = 16;
/** struct ifaddrmsg: family u8, prefix length u8, flags u8, scope u8, interface u32. */
const IFADDRMSG = 8;
const AF_INET = 2;
const AF_INET6 = 10;

/**
 * Reads every address of every interface from the kernel, secondary ones and
 * those of interfaces that are down included (which Node leaves out), in one
 * dump whose cost follows the number of addresses alone.
 */
export class AddressDump {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(0x10000);
  readonly #messages = new MessageReader(this.#buffer);
  readonly #attributes = new AttributeReader(this.#buffer);
  #sequence = 0;

  private constructor(library: Libc, fd: number) {
    this.#libc = library;
    this.#fd = fd;
  }

  /** @throws NetlinkError when libc or a netlink socket is not to be had */
  static open(library: Libc = libc()): AddressDump {
    const fd = library.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) throw failure('open route socket', library.errno());
    // struct timeval: two seconds; the kernel answers at once.
    const timeout = new Uint8Array(16);
    new DataView(timeout.buffer).setBigInt64(0, 2n, LITTLE_ENDIAN);
    library.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length);
    return new AddressDump(library, fd);
  }

  /** @throws NetlinkError when the kernel does not answer */
  read(): Address[] {
    this.#sequence += 1;
    const request = new Uint8Array(NLMSGHDR + IFADDRMSG);
    const view = new DataView(request.buffer);
    view.setUint32(0, request.length, LITTLE_ENDIAN);
    view.setUint16(4, RTM_GETADDR, LITTLE_ENDIAN);
    view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, LITTLE_ENDIAN);
    view.setUint32(8, this.#sequence, LITTLE_ENDIAN);
    if (this.#libc.send(this.#fd, request, request.length, 0) < 0) throw failure('dump addresses', this.#libc.errno());
    const found: Address[] = [];
    for (;;) {
      const length = this.#libc.recv(this.#fd, this.#buffer, this.#buffer.length, 0);
      if (length <= 0) throw failure('dump addresses', this.#libc.errno());
      this.#messages.over(length);
      while (this.#messages.next()) {
        const { type, sequence, start, end } = this.#messages;
        if (sequence !== this.#sequence) continue;
        if (type === NLMSG_DONE) return found;
        if (type === NLMSG_ERROR) throw failure('dump addresses', this.#messages.errno() ?? 0);
        if (type === RTM_NEWADDR) this.#take(start, end, found);
      }
    }
  }

  #take(at: number, end: number, found: Address[]): void {
    const kernelFamily = this.#buffer[at];
    if (kernelFamily !== AF_INET && kernelFamily !== AF_INET6) return;
    const family = kernelFamily === AF_INET ? 4 : 6;
    const size = family === 4 ? 4 : 16;
    this.#attributes.over(at + IFADDRMSG, end);
    let own: Address | null = null;
    while (this.#attributes.next()) {
      const { type, length } = this.#attributes;
      // On a point-to-point link IFA_ADDRESS is the other end and IFA_LOCAL this one.
      if (length < size || !(type === IFA_LOCAL || (type === IFA_ADDRESS && own === null))) continue;
      const word = (index: number) => (index === 0 || family === 6 ? this.#attributes.word(index) : 0);
      own = formatWords(unmapped({ family, w0: word(0), w1: word(1), w2: word(2), w3: word(3) })) as Address;
    }
    if (own !== null) found.push(own);
  }

  close(): void {
    this.#libc.close(this.#fd);
  }
}

function failure(operation: string, errno: number): NetlinkError {
  return new NetlinkError(
    operation,
    errno,
    'refused',
    'the addresses of this machine could not be read from the kernel',
  );
}

/** The local addresses in the text of /proc/net/fib_trie: `|-- ADDRESS` followed by `/32 host LOCAL`. */
export function localAddresses(fibTrie: string): Address[] {
  const found = new Set<Address>();
  for (const [, text] of fibTrie.matchAll(/\|-- (\S+)\n(?:\s+\/\d+ (?!32 )[^\n]*\n)*\s+\/32 host LOCAL/g)) {
    const address = parseAddress(text);
    if (address !== null) found.add(address);
  }
  return [...found];
}

/** The addresses in the text of /proc/net/if_inet6: 32 hexadecimal digits begin each line. */
export function inet6Addresses(text: string): Address[] {
  return text.split('\n').flatMap((line) => {
    const hex = /^[0-9a-f]{32}(?= )/.exec(line)?.[0];
    const address = hex === undefined ? null : addressOfHex(hex);
    return address === null ? [] : [address];
  });
}

/** 32 hexadecimal digits in network order, as the IPv6 files of /proc/net write addresses. */
export function addressOfHex(hex: string): Address | null {
  return parseAddress(hex.replace(/(.{4})(?!$)/g, '$1:'));
}

/** What Node and /proc know, for where the kernel cannot be asked. The cost follows the length of the routing table. */
export function addressesWithoutNetlink(proc = '/proc'): Address[] {
  const found = new Set<Address>();
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) {
      const own = parseAddress(address);
      if (own !== null) found.add(own);
    }
  }
  for (const address of localAddresses(textOf(`${proc}/net/fib_trie`))) found.add(address);
  for (const address of inet6Addresses(textOf(`${proc}/net/if_inet6`))) found.add(address);
  return [...found];
}

/** The text of a file of /proc, empty where there is none. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
