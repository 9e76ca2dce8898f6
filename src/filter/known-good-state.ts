import { createHash } from 'node:crypto';
import { FILTERS, type KnownGoodMemory, keyOf, PERIOD_MS, rekey } from './known-good.js';

/**
 * The known good clients as bytes, to be kept over a restart: words in host order
 * (magic, length of a period, key, periods, filters), then the SHA-256 of them.
 * Connections are not kept: what proves an alert is minutes old at most.
 */
const MAGIC = 0x31474b42;
const HEAD = 4;
const DIGEST = 32;

/** A copy; the writer may go on meanwhile. */
export function savedState(memory: KnownGoodMemory): Uint8Array {
  const { periods, clients } = memory;
  const words = new Int32Array(HEAD + FILTERS + clients.length);
  words.set([MAGIC, PERIOD_MS, ...keyOf(memory)]);
  // Periods first: a filter that is cleared for a new period meanwhile is then kept under its old one, which is over.
  words.set(periods, HEAD);
  words.set(clients, HEAD + FILTERS);
  const bytes = new Uint8Array(words.byteLength + DIGEST);
  bytes.set(new Uint8Array(words.buffer));
  bytes.set(digestOf(bytes.subarray(0, words.byteLength)), words.byteLength);
  return bytes;
}

/**
 * Takes up what `savedState` gave, but for filters that are over; before anybody
 * reads or writes the memory.
 * @returns what is wrong with the bytes, of which nothing was taken then; else `null`
 */
export function restoreState(memory: KnownGoodMemory, bytes: Uint8Array, nowMs: number): string | null {
  const { periods, clients } = memory;
  const length = 4 * (HEAD + FILTERS + clients.length);
  if (bytes.length !== length + DIGEST) return `${bytes.length} bytes instead of ${length + DIGEST}`;
  if (!digestOf(bytes.subarray(0, length)).equals(bytes.subarray(length))) return 'the checksum is wrong';
  const words = new Int32Array(bytes.slice(0, length).buffer);
  if (words[0] !== MAGIC || words[1] !== PERIOD_MS) return 'made by another version';
  rekey(memory, [words[2] as number, words[3] as number]);
  const current = Math.floor(nowMs / PERIOD_MS);
  const size = clients.length / FILTERS;
  for (let filter = 0; filter < FILTERS; filter++) {
    const period = words[HEAD + filter] as number;
    const age = current - period;
    if (period % FILTERS !== filter || age < 0 || age >= FILTERS) continue;
    const at = HEAD + FILTERS + filter * size;
    periods[filter] = period;
    clients.set(words.subarray(at, at + size), filter * size);
  }
  return null;
}

/** The checksum at the end of saved bytes, as a copy. */
export function checksumOf(saved: Uint8Array): Uint8Array {
  return saved.slice(-DIGEST);
}

function digestOf(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
