/**
 * netlink: the kernel, spoken to directly. `libc` is the only file that uses
 * the foreign function interface; above it `message` encodes and decodes without
 * a socket, `socket` sends and receives without knowing what, and one file per
 * subsystem (`ipset`, `nfqueue`) knows the messages of that subsystem.
 * Measured facts and layouts: docs/adr/0001-netlink-through-koffi.md.
 */
import { createRequire } from 'node:module';
import { NetlinkError } from './errors.js';

/** Memory that the kernel may read or write during a call. */
export type Bytes = Uint8Array;

/** The system calls that Barricata needs; a native addon could take the place of this one interface. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Bytes, length: number): number;
  setsockopt(fd: number, level: number, name: number, value: Bytes, length: number): number;
  getsockname(fd: number, address: Bytes, length: Bytes): number;
  recv(fd: number, buffer: Bytes, length: number, flags: number): number;
  /** Receives many datagrams; `headers` is an array of `struct mmsghdr` (64 bytes each on 64-bit). */
  recvmmsg(fd: number, headers: Bytes, count: number, flags: number, timeout: null): number;
  send(fd: number, buffer: Bytes, length: number, flags: number): number;
  close(fd: number): number;
  /** errno of the call made just before; read it at once. */
  errno(): number;
  /** The address of a typed array's memory; keep the array referenced while the kernel may use it. */
  address(memory: ArrayBufferView): bigint;
}

interface Koffi {
  load(name: string): { func(prototype: string): (...args: unknown[]) => number };
  errno(): number;
  address(memory: ArrayBufferView): bigint;
}

let loaded: Libc | null = null;

/**
 * Loads libc once.
 * @throws NetlinkError kind `ffi_unavailable` when koffi or libc cannot be loaded
 */
export function libc(): Libc {
  if (loaded !== null) return loaded;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const library = loadFirst(koffi, ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1']);
    loaded = {
      socket: library.func('int socket(int, int, int)'),
      bind: library.func('int bind(int, void *, uint32_t)'),
      setsockopt: library.func('int setsockopt(int, int, int, void *, uint32_t)'),
      getsockname: library.func('int getsockname(int, void *, void *)'),
      recv: library.func('long recv(int, void *, size_t, int)'),
      recvmmsg: library.func('int recvmmsg(int, void *, unsigned int, int, void *)'),
      send: library.func('long send(int, void *, size_t, int)'),
      close: library.func('int close(int)'),
      errno: () => koffi.errno(),
      address: (memory) => koffi.address(memory),
    };
    return loaded;
  } catch (cause) {
    throw new NetlinkError(
      'load libc',
      0,
      'ffi_unavailable',
      'the foreign function interface (koffi) did not load',
      cause,
    );
  }
}

function loadFirst(koffi: Koffi, names: readonly string[]): ReturnType<Koffi['load']> {
  let last: unknown;
  for (const name of names) {
    try {
      return koffi.load(name);
    } catch (error) {
      last = error;
    }
  }
  throw last;
}
