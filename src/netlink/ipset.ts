import { type Family, formatWords } from '../net/address.js';
import type { Prefix } from '../net/prefix.js';
import { EBUSY, EEXIST, EINVAL, ENOENT, NLMSG_DONE, NLMSG_ERROR } from './constants.js';
import { NetlinkError, type NetlinkErrorKind } from './errors.js';
import {
  decodeElements,
  decodeFailedLine,
  decodeHeader,
  decodeRevision,
  type ListedElement,
  type SetHeader,
} from './ipset-decode.js';
import {
  type CreateOptions,
  elementProblem,
  encodeCreate,
  encodeElements,
  encodeList,
  encodeService,
  encodeSetCommand,
  encodeTest,
  encodeType,
  LONGEST_NAME,
  type ServiceElement,
  type SetElement,
  type SetType,
} from './ipset-message.js';
import { AttributeReader, MessageWriter } from './message.js';
import { kindOfErrno, NetlinkSocket } from './socket.js';

export type { ListedElement, SetHeader } from './ipset-decode.js';
export type { ServiceElement, SetElement, SetType } from './ipset-message.js';
export { LONGEST_TIMEOUT } from './ipset-message.js';

/** Elements in one message: 26 KB for IPv6, and more gain nothing (docs/adr/0001-netlink-through-koffi.md). */
export const ELEMENTS_PER_MESSAGE = 500;
/**
 * The revision of each type that is asked for at most: these have all that is used here
 * and every `ipset` program of the last ten years can list them; and the least that will do:
 * hash:net has counters since 3.
 */
const REVISIONS: Readonly<Record<SetType, readonly [least: number, most: number]>> = {
  'hash:net': [3, 6],
  'hash:ip': [0, 4],
  'hash:ip,port': [1, 5],
};

const IPSET_ERR_FIND_TYPE = 4098;
const IPSET_ERR_BUSY = 4100;
const IPSET_ERR_EXIST_SETNAME2 = 4101;
const IPSET_ERR_TYPE_MISMATCH = 4102;
const IPSET_ERR_EXIST = 4103;
const IPSET_ERR_INVALID_CIDR = 4104;
const IPSET_ERR_TIMEOUT = 4107;
const IPSET_ERR_REFERENCED = 4108;
const IPSET_ERR_COUNTER = 4111;
const IPSET_ERR_HASH_FULL = 4352;

const MEANING: Readonly<Record<number, readonly [NetlinkErrorKind, string]>> = {
  [ENOENT]: ['missing', 'the set does not exist'],
  [EEXIST]: ['exists', 'the set exists already'],
  [EBUSY]: ['refused', 'the set is in use'],
  [IPSET_ERR_FIND_TYPE]: ['unsupported', 'the kernel lacks this set type: load or install the modules ip_set_hash_*'],
  [IPSET_ERR_BUSY]: ['refused', 'the set is in use by a rule or a listing'],
  [IPSET_ERR_EXIST_SETNAME2]: ['missing', 'the second set does not exist'],
  [IPSET_ERR_TYPE_MISMATCH]: ['refused', 'the sets are of different type or family'],
  [IPSET_ERR_INVALID_CIDR]: ['refused', 'the kernel refuses this prefix length'],
  // Not the set that was made: for its users it is gone, and they make it anew.
  [IPSET_ERR_TIMEOUT]: ['missing', 'the set was replaced by one without timeouts'],
  [IPSET_ERR_COUNTER]: ['missing', 'the set was replaced by one without counters'],
  [IPSET_ERR_REFERENCED]: ['refused', 'the set is in use by a rule'],
  [IPSET_ERR_HASH_FULL]: ['full', 'the set is full'],
};

/** The error of an ipset command on a set (or on one element of it). */
function ipsetError(operation: string, subject: string, errno: number): NetlinkError {
  const [kind, meaning] = MEANING[errno] ?? [kindOfErrno(errno), kindOfErrno(errno).replaceAll('_', ' ')];
  const hint = kind === 'not_permitted' ? ': run as root or with CAP_NET_ADMIN' : '';
  return new NetlinkError(`ipset ${operation}`, errno, kind, `${subject}: ${meaning}${hint}`);
}

function serviceText(name: string, { address, port }: ServiceElement): string {
  return `${formatWords(address)} port ${port} of set ${name}`;
}

/** An element that was not added or deleted; all others of the call were. */
export interface ElementFailure {
  readonly prefix: Prefix;
  readonly error: NetlinkError;
}

/**
 * Sets of the kernel by netlink. Every method blocks for as long as the kernel
 * works (about 0.2 ms for 500 elements) and is complete when it returns; callers
 * with more work give the event loop a turn between calls. One client is for
 * one thread, and a worker opens its own.
 */
export class IpsetClient {
  readonly #socket: NetlinkSocket;
  readonly #out = new MessageWriter(new Uint8Array(0x10000));
  readonly #attributes: AttributeReader;
  readonly #revisions = new Map<string, number>();

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
    this.#attributes = new AttributeReader(socket.buffer);
  }

  /** @throws NetlinkError kind `ffi_unavailable`, `unsupported` or `not_permitted` */
  static open(): IpsetClient {
    return new IpsetClient(NetlinkSocket.open());
  }

  close(): void {
    this.#socket.close();
  }

  /**
   * The revision to make sets of a type with: the highest that the kernel and this program know.
   * @throws NetlinkError kind `unsupported` when the kernel has no such type, or no hash:net with counters
   */
  revision(family: Family, type: SetType = 'hash:net'): number {
    const key = `${type} ${family}`;
    const known = this.#revisions.get(key);
    if (known !== undefined) return known;
    const sequence = this.#socket.nextSequence();
    this.#socket.send(this.#out.buffer, encodeType(this.#out, sequence, type, family));
    let highest = -1;
    for (;;) {
      const answer = this.#socket.answer(sequence);
      if (answer.type === NLMSG_ERROR) {
        const errno = answer.errno() ?? EINVAL;
        if (errno !== 0) throw ipsetError('type', type, errno);
        break;
      }
      highest = decodeRevision(this.#attributes, answer.start, answer.end);
    }
    const [least, most] = REVISIONS[type];
    if (highest < least) throw ipsetError('type', type, IPSET_ERR_FIND_TYPE);
    const revision = Math.min(highest, most);
    this.#revisions.set(key, revision);
    return revision;
  }

  /**
   * Makes a set, of type hash:net unless another is named.
   * @throws NetlinkError kind `exists`, `unsupported`, `not_permitted` or `refused`
   */
  create(name: string, options: Omit<CreateOptions, 'revision'>): void {
    if (name.length === 0 || name.length > LONGEST_NAME) throw ipsetError('create', name, EINVAL);
    const revision = this.revision(options.family, options.type);
    const sequence = this.#socket.nextSequence();
    const length = encodeCreate(this.#out, sequence, name, { ...options, revision });
    this.#check('create', name, this.#socket.request(this.#out.buffer, length, sequence));
  }

  /**
   * Destroys a set; `false` when there was none.
   * @throws NetlinkError kind `refused` while a rule uses it
   */
  destroy(name: string): boolean {
    const errno = this.#command('destroy', name);
    if (errno === ENOENT) return false;
    this.#check('destroy', name, errno);
    return true;
  }

  flush(name: string): void {
    this.#check('flush', name, this.#command('flush', name));
  }

  /** Exchanges the contents of two sets at once; rules keep to the name. */
  swap(name: string, other: string): void {
    this.#check('swap', `${name} with ${other}`, this.#command('swap', name, other));
  }

  /**
   * Adds elements of one family, or gives those that exist the new timeout
   * (their packet counters stay).
   * @returns the elements that the kernel (or the check before it) refused; all others are in the set
   * @throws NetlinkError about the set as a whole: kind `missing`, `not_permitted`
   */
  add(name: string, family: Family, elements: readonly SetElement[]): ElementFailure[] {
    return this.#elements('add', name, family, elements);
  }

  /** Deletes elements of one family; one that is not there is no failure. Otherwise as `add`. */
  delete(name: string, family: Family, prefixes: readonly Prefix[]): ElementFailure[] {
    return this.#elements(
      'delete',
      name,
      family,
      prefixes.map((prefix) => ({ prefix, timeout: 0 })),
    );
  }

  /**
   * Adds a TCP service to a hash:ip,port, or gives it the new timeout. Like `deleteService` and
   * `testService` it encodes into memory that is there already: for the packet thread.
   * @throws NetlinkError kind `missing`, `full`, `refused` or `not_permitted`
   */
  addService(name: string, service: ServiceElement): void {
    const errno = this.#service('add', name, service);
    if (errno !== 0) throw ipsetError('add', serviceText(name, service), errno);
  }

  /** Deletes a service; one that is not there is no failure. */
  deleteService(name: string, service: ServiceElement): void {
    const errno = this.#service('delete', name, service);
    if (errno !== 0 && errno !== IPSET_ERR_EXIST) throw ipsetError('delete', serviceText(name, service), errno);
  }

  testService(name: string, service: ServiceElement): boolean {
    const errno = this.#service('test', name, service);
    if (errno === IPSET_ERR_EXIST) return false;
    if (errno !== 0) throw ipsetError('test', serviceText(name, service), errno);
    return true;
  }

  /** Whether the set holds this prefix; for a host, also whether it holds a network around it. */
  test(name: string, prefix: Prefix): boolean {
    const sequence = this.#socket.nextSequence();
    const length = encodeTest(this.#out, sequence, name, prefix);
    const errno = this.#socket.request(this.#out.buffer, length, sequence);
    if (errno === IPSET_ERR_EXIST) return false;
    this.#check('test', name, errno);
    return true;
  }

  /** What the kernel says of the set without its elements; `null` when there is no such set. */
  header(name: string): SetHeader | null {
    let header: SetHeader | null = null;
    const errno = this.#list({ name, headerOnly: true }, (start, end) => {
      header ??= decodeHeader(this.#attributes, start, end);
    });
    if (errno === ENOENT) return null;
    this.#check('list', name, errno);
    return header;
  }

  /** Renames a set that no rule uses. */
  rename(name: string, to: string): void {
    this.#check('rename', `${name} to ${to}`, this.#command('rename', name, to));
  }

  #check(operation: string, subject: string, errno: number): void {
    if (errno !== 0) throw ipsetError(operation, subject, errno);
  }

  #command(command: 'destroy' | 'flush' | 'rename' | 'swap', name: string, other?: string): number {
    const sequence = this.#socket.nextSequence();
    return this.#socket.request(
      this.#out.buffer,
      encodeSetCommand(this.#out, command, sequence, name, other),
      sequence,
    );
  }

  #service(command: 'add' | 'delete' | 'test', name: string, service: ServiceElement): number {
    const sequence = this.#socket.nextSequence();
    const length = encodeService(this.#out, command, sequence, name, service);
    return this.#socket.request(this.#out.buffer, length, sequence);
  }

  #list(what: Parameters<typeof encodeList>[2], each: (start: number, end: number) => void): number {
    const sequence = this.#socket.nextSequence();
    this.#socket.send(this.#out.buffer, encodeList(this.#out, sequence, what));
    let answer = this.#socket.answer(sequence);
    for (;;) {
      do {
        if (answer.sequence !== sequence) continue;
        if (answer.type === NLMSG_ERROR || answer.type === NLMSG_DONE) return answer.errno() ?? 0;
        each(answer.start, answer.end);
      } while (answer.next());
      answer = this.#socket.answer(sequence);
    }
  }

  /**
   * The kernel applies the elements of a message in order and stops at the
   * first that it refuses, naming it. What follows goes into further messages,
   * one element at first and then growing again, so that a full set costs one
   * small message an element and a single bad one costs almost nothing.
   */
  #elements(command: 'add' | 'delete', name: string, family: Family, wanted: readonly SetElement[]): ElementFailure[] {
    const failures: ElementFailure[] = [];
    const elements: SetElement[] = [];
    for (const element of wanted) {
      const problem =
        element.prefix.family === family
          ? elementProblem(element.prefix, element.timeout)
          : `${element.prefix.text}: not of the family of set ${name}`;
      if (problem === null) elements.push(element);
      else {
        const error = new NetlinkError(`ipset ${command}`, EINVAL, 'refused', problem);
        failures.push({ prefix: element.prefix, error });
      }
    }
    let size = ELEMENTS_PER_MESSAGE;
    for (let from = 0; from < elements.length; ) {
      const to = Math.min(elements.length, from + size);
      const sequence = this.#socket.nextSequence();
      const length = encodeElements(this.#out, command, sequence, name, family, elements, from, to);
      const errno = this.#socket.request(this.#out.buffer, length, sequence);
      if (errno === 0) {
        from = to;
        size = Math.min(ELEMENTS_PER_MESSAGE, size * 4);
        continue;
      }
      const { reader } = this.#socket;
      const line = decodeFailedLine(this.#attributes, reader.start, reader.end);
      const failed = line > 0 ? elements[from + line - 1] : undefined;
      if (failed === undefined || from + line > to) throw ipsetError(command, name, errno);
      const error = ipsetError(command, failed.prefix.text, errno);
      if (error.kind === 'missing') throw ipsetError(command, name, errno);
      failures.push({ prefix: failed.prefix, error });
      from += line;
      size = 1;
    }
    return failures;
  }
}

/**
 * Reads a whole set, a page for each datagram of the kernel (some hundred
 * elements), on a socket of its own, so that other requests go on meanwhile.
 * Between pages the event loop gets a turn whenever 4 ms have passed. Elements
 * added or deleted meanwhile may or may not be among them.
 * @throws NetlinkError kind `missing` when there is no such set
 */
export async function* dumpSet(name: string): AsyncGenerator<readonly ListedElement[], void, void> {
  const socket = NetlinkSocket.open();
  try {
    const { buffer } = socket;
    const reader = () => new AttributeReader(buffer);
    const readers = [reader(), reader(), reader(), reader()] as const;
    const out = new MessageWriter(new Uint8Array(128));
    const sequence = socket.nextSequence();
    socket.send(out.buffer, encodeList(out, sequence, { name, headerOnly: false }));
    let breath = performance.now();
    for (;;) {
      const answer = socket.answer(sequence);
      const page: ListedElement[] = [];
      let done = false;
      do {
        if (answer.sequence !== sequence) continue;
        if (answer.type === NLMSG_ERROR || answer.type === NLMSG_DONE) {
          const errno = answer.errno() ?? 0;
          if (errno !== 0) throw ipsetError('list', name, errno);
          done = true;
        } else decodeElements(readers, answer.start, answer.end, page);
      } while (!done && answer.next());
      if (page.length > 0) yield page;
      if (done) return;
      if (performance.now() - breath > 4) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        breath = performance.now();
      }
    }
  } finally {
    socket.close();
  }
}
