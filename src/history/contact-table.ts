import type { EpochMs } from '../base/clock.js';
import { type AddressWords, parseWords, unmapped } from '../net/address.js';
import type { ContactRecord } from '../suricata/eve-contact.js';
import { HOUR_MS } from './segment.js';

/** Who opened flows to whom within one hour, summed. */
export interface OpenedContact {
  readonly hour: EpochMs;
  readonly opener: AddressWords;
  readonly responder: AddressWords;
  /** The server's port; 0 for protocols without ports. */
  readonly port: number;
  readonly flows: number;
  /** Of both directions. */
  readonly bytes: number;
  readonly replies: number;
}

/** Of a slot, in 32-bit words: a free one has port 0, so that ports are kept plus one. The bytes take the last two. */
const WORDS = 8;
const HOUR = 0;
const SRC = 1;
const DEST = 2;
const PORT = 3;
const FLOWS = 4;
const REPLIES = 5;
/** In doubles. */
const BYTES = 3;

/** Above the port: that end is a place in the list of IPv6 texts. */
const SRC_IS_TEXT = 1 << 17;
const DEST_IS_TEXT = 1 << 18;

/**
 * Sums contacts: a busy sensor writes 10,000 such records a second, and an
 * object for each would cost more than reading its line. A hash table of fixed
 * size with one cache line a slot, at most half full.
 */
export class ContactTable {
  readonly #capacity: number;
  readonly #mask: number;
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #texts = new Map<string, number>();
  #size = 0;

  /** @param slots a power of two */
  constructor(slots: number) {
    this.#capacity = slots / 2;
    this.#mask = slots - 1;
    this.#words = new Int32Array(slots * WORDS);
    this.#doubles = new Float64Array(this.#words.buffer);
  }

  get size(): number {
    return this.#size;
  }

  /** @returns whether there was room */
  add(record: ContactRecord): boolean {
    let port = record.port + 1;
    let src = record.srcWord;
    let dest = record.destWord;
    if (record.srcText !== null) {
      src = this.#placeOf(record.srcText);
      port |= SRC_IS_TEXT;
    }
    if (record.destText !== null) {
      dest = this.#placeOf(record.destText);
      port |= DEST_IS_TEXT;
    }
    // What nobody answered may be forged, and must not take the room of those who really spoke.
    const limit = record.answered ? this.#capacity : this.#capacity / 2;
    const slot = this.#find(record.hour / HOUR_MS, src, dest, port, limit);
    if (slot < 0) return false;
    const words = this.#words;
    const at = slot * WORDS;
    words[at + FLOWS] = (words[at + FLOWS] as number) + record.flows;
    words[at + REPLIES] = (words[at + REPLIES] as number) + record.replies;
    const bytes = slot * (WORDS / 2) + BYTES;
    this.#doubles[bytes] = (this.#doubles[bytes] as number) + record.bytes;
    return true;
  }

  #placeOf(text: string): number {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    // Without bound the texts of a full table would grow on; none beyond is found, so none is needed.
    if (this.#texts.size >= 2 * this.#capacity) return -1;
    this.#texts.set(text, this.#texts.size);
    return this.#texts.size - 1;
  }

  /** The slot of this key, taken when it is new; -1 when that would be more than `limit`. */
  #find(hour: number, src: number, dest: number, port: number, limit: number): number {
    const words = this.#words;
    let hash = Math.imul(src, 0x9e3779b1) ^ Math.imul(dest, 0x85ebca6b) ^ Math.imul(port, 0xc2b2ae35);
    hash ^= hash >>> 15;
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const at = slot * WORDS;
      const known = words[at + PORT];
      if (known === 0) {
        if (this.#size >= limit) return -1;
        this.#size += 1;
        words[at + HOUR] = hour;
        words[at + SRC] = src;
        words[at + DEST] = dest;
        words[at + PORT] = port;
        return slot;
      }
      if (known === port && words[at + SRC] === src && words[at + DEST] === dest && words[at + HOUR] === hour)
        return slot;
    }
  }

  /** All sums so far; empty afterwards. An end that is no address is left out. */
  take(): OpenedContact[] {
    const texts = [...this.#texts.keys()].map((text) => {
      const words = parseWords(text);
      return words === null ? null : unmapped(words);
    });
    const endOf = (word: number, isText: boolean): AddressWords | null =>
      isText ? (texts[word] ?? null) : { family: 4, w0: word, w1: 0, w2: 0, w3: 0 };
    const contacts: OpenedContact[] = [];
    const words = this.#words;
    for (let at = 0; at < words.length; at += WORDS) {
      const port = words[at + PORT] as number;
      if (port === 0) continue;
      const opener = endOf(words[at + SRC] as number, (port & SRC_IS_TEXT) !== 0);
      const responder = endOf(words[at + DEST] as number, (port & DEST_IS_TEXT) !== 0);
      if (opener === null || responder === null) continue;
      contacts.push({
        hour: (words[at + HOUR] as number) * HOUR_MS,
        opener,
        responder,
        port: (port & 0x1ffff) - 1,
        flows: words[at + FLOWS] as number,
        bytes: this.#doubles[at / 2 + BYTES] as number,
        replies: words[at + REPLIES] as number,
      });
    }
    words.fill(0);
    this.#texts.clear();
    this.#size = 0;
    return contacts;
  }
}
