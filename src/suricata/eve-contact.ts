import type { EpochMs } from '../base/clock.js';
import { parseTimestamp } from './timestamp.js';

/**
 * What one `flow`, `http` or `tls` record says of who spoke to whom. The object
 * is used again for the next record: take what is needed before returning.
 */
export interface ContactRecord {
  /** Start of the hour of the record, UTC. */
  readonly hour: EpochMs;
  /** Who opened the flow: four octets as a signed 32-bit word, or the text of an IPv6 address as logged. */
  readonly srcWord: number;
  readonly srcText: string | null;
  readonly destWord: number;
  readonly destText: string | null;
  /** The server's port; 0 for protocols without ports. */
  readonly port: number;
  /** 1 for a `flow` record, else 0; bytes of both directions, of `flow` records only. */
  readonly flows: number;
  readonly bytes: number;
  /** 1 when the server answered as asked: an HTTP status of 200 to 399, a TLS session that came about. */
  readonly replies: number;
  /** Whether anything came back; a flow that nobody answered may have been opened in a forged name. */
  readonly answered: boolean;
}

const SRC_IP = Buffer.from('"src_ip"');
const DEST_IP = Buffer.from('"dest_ip"');
const DEST_PORT = Buffer.from('"dest_port"');
const TO_SERVER = Buffer.from('"bytes_toserver"');
const TO_CLIENT = Buffer.from('"bytes_toclient"');
const STATUS = Buffer.from('"status"');
const TIMESTAMP = Buffer.from('"timestamp"');

/** The header comes before anything that an attacker writes; beyond this many bytes it is not looked for. */
const NEAR = 120;
/** `app_proto` and its variants stand between the header and the counters of a flow. */
const WITHIN_FLOW = 500;
/** Bytes that stand at least between them: the protocol, and the counts of packets. */
const BEFORE_COUNTERS = 50;
/** From the digits of the year to those of the minute; the offset of Suricata's own form follows 26 bytes in. */
const MINUTE = 16;
const OFFSET_AT = 26;
const OFFSET_END = 31;

/**
 * Reads the few fields of `flow`, `http` and `tls` records that contacts are
 * made of, from the bytes and without parsing JSON: there may be 20,000 such
 * records a second. A record in any other shape is passed over and counted: contacts are
 * for people to weigh a decision by, and never decide.
 */
export class ContactReader implements ContactRecord {
  hour = 0;
  srcWord = 0;
  srcText: string | null = null;
  destWord = 0;
  destText: string | null = null;
  port = 0;
  flows = 0;
  bytes = 0;
  replies = 0;
  answered = false;
  /** Records of these types that could not be read. */
  unreadable = 0;
  readonly #sink: (record: ContactRecord) => void;
  readonly #minute = Buffer.alloc(OFFSET_END);
  #minuteHour = 0;
  /** Where the last read ended. */
  #at = 0;
  #word = 0;
  #text: string | null = null;

  constructor(sink: (record: ContactRecord) => void) {
    this.#sink = sink;
  }

  /**
   * Takes one line.
   * @param value the first byte of the value of `event_type`; the line is `buffer[start, end)`
   */
  read(buffer: Buffer, start: number, value: number, end: number): void {
    const type = buffer[value];
    if (type === 102) {
      if (buffer[value + 1] === 108 && buffer[value + 4] === 34) this.#count(this.#flow(buffer, start, value + 5, end));
    } else if (type === 104) {
      if (buffer[value + 1] === 116 && buffer[value + 4] === 34) this.#count(this.#http(buffer, start, value + 5, end));
    } else if (type === 116) {
      if (buffer[value + 1] === 108 && buffer[value + 3] === 34) this.#count(this.#tls(buffer, start, value + 4, end));
    }
  }

  #count(readable: boolean): void {
    if (readable) this.#sink(this);
    else this.unreadable += 1;
  }

  #flow(buffer: Buffer, start: number, from: number, end: number): boolean {
    if (!this.#header(buffer, start, from, end)) return false;
    const toServer = this.#number(buffer, TO_SERVER, this.#at + BEFORE_COUNTERS, Math.min(end, this.#at + WITHIN_FLOW));
    const toClient = toServer < 0 ? -1 : this.#number(buffer, TO_CLIENT, this.#at, Math.min(end, this.#at + NEAR));
    if (toClient < 0) return false;
    this.flows = 1;
    this.bytes = toServer + toClient;
    this.replies = 0;
    this.answered = toClient > 0;
    return true;
  }

  #http(buffer: Buffer, start: number, from: number, end: number): boolean {
    if (!this.#header(buffer, start, from, end)) return false;
    // The status is among the last fields of the record, behind whatever the client wrote.
    const status = this.#numberAt(buffer, lastValueOf(buffer, STATUS, this.#at, end));
    this.flows = 0;
    this.bytes = 0;
    this.replies = status >= 200 && status < 400 ? 1 : 0;
    this.answered = true;
    return true;
  }

  #tls(buffer: Buffer, start: number, from: number, end: number): boolean {
    if (!this.#header(buffer, start, from, end)) return false;
    this.flows = 0;
    this.bytes = 0;
    this.replies = 1;
    this.answered = true;
    return true;
  }

  /** Time, ends and port. */
  #header(buffer: Buffer, start: number, from: number, end: number): boolean {
    const near = Math.min(end, from + NEAR);
    if (!this.#time(buffer, start, Math.min(end, start + NEAR)) || !this.#address(buffer, SRC_IP, from, near))
      return false;
    this.srcWord = this.#word;
    this.srcText = this.#text;
    if (!this.#address(buffer, DEST_IP, this.#at, Math.min(end, this.#at + NEAR))) return false;
    this.destWord = this.#word;
    this.destText = this.#text;
    const at = this.#at;
    // The port follows its address, or there is none.
    const port = this.#number(buffer, DEST_PORT, at, Math.min(end, at + 24));
    this.port = port < 0 ? 0 : port;
    if (port < 0) this.#at = at;
    return true;
  }

  #time(buffer: Buffer, start: number, near: number): boolean {
    let at = start + 14;
    if (buffer[at - 1] !== 34 || buffer[start + 1] !== 34) {
      at = valueAfter(buffer, TIMESTAMP, start, near) + 1;
      if (at <= 0) return false;
    }
    const known = this.#minute;
    let same = 0;
    while (same < MINUTE && buffer[at + same] === known[same]) same += 1;
    if (same === MINUTE) {
      same = OFFSET_AT;
      while (same < OFFSET_END && buffer[at + same] === known[same]) same += 1;
      if (same === OFFSET_END) {
        this.hour = this.#minuteHour;
        return true;
      }
    }
    const close = buffer.indexOf(34, at);
    const time = close < 0 || close - at > 40 ? null : parseTimestamp(buffer.toString('latin1', at, close));
    if (time === null) return false;
    this.hour = Math.floor(time / 3_600_000) * 3_600_000;
    this.#minuteHour = this.hour;
    // Any other form of a time is parsed each time.
    if (close - at === OFFSET_END) buffer.copy(known, 0, at, at + OFFSET_END);
    return true;
  }

  #address(buffer: Buffer, key: Buffer, from: number, to: number): boolean {
    const quote = valueAfter(buffer, key, from, to);
    if (quote < 0 || buffer[quote] !== 34) return false;
    let word = 0;
    let octet = 0;
    let octets = 0;
    let i = quote + 1;
    for (; i < to + 48; i++) {
      const byte = buffer[i] as number;
      if (byte >= 48 && byte <= 57) octet = octet * 10 + byte - 48;
      else if (byte === 46) {
        word = (word << 8) | octet;
        octets += 1;
        octet = 0;
      } else break;
    }
    this.#text = null;
    if (buffer[i] !== 34 || octets !== 3) {
      const close = buffer.indexOf(34, i);
      if (close < 0 || close - quote > 46) return false;
      this.#text = buffer.toString('latin1', quote + 1, close);
      i = close;
    }
    this.#word = (word << 8) | octet;
    this.#at = i + 1;
    return true;
  }

  /** The digits after a key; -1 when it is not there. */
  #number(buffer: Buffer, key: Buffer, from: number, to: number): number {
    return this.#numberAt(buffer, valueAfter(buffer, key, from, to));
  }

  #numberAt(buffer: Buffer, place: number): number {
    if (place < 0) return -1;
    let at = place;
    let value = 0;
    for (let byte = buffer[at] as number; byte >= 48 && byte <= 57; byte = buffer[at] as number) {
      value = value * 10 + byte - 48;
      at += 1;
    }
    this.#at = at;
    return value;
  }
}

/** The first byte of the value of a key with its quotes, within `[from, to)`; -1 when it is not there. */
function valueAfter(buffer: Buffer, key: Buffer, from: number, to: number): number {
  const last = to - key.length;
  const second = key[1];
  const third = key[2];
  for (let at = from; at <= last; at++) {
    if (buffer[at] !== 34 || buffer[at + 1] !== second || buffer[at + 2] !== third) continue;
    const value = valueAt(buffer, key, at);
    if (value >= 0) return value;
  }
  return -1;
}

/** The same, from the end. */
function lastValueOf(buffer: Buffer, key: Buffer, from: number, to: number): number {
  const second = key[1];
  const third = key[2];
  for (let at = to - key.length; at >= from; at--) {
    if (buffer[at] !== 34 || buffer[at + 1] !== second || buffer[at + 2] !== third) continue;
    const value = valueAt(buffer, key, at);
    if (value >= 0) return value;
  }
  return -1;
}

/** Where the value begins when this key is at `at`. Inside a JSON string its quotes would be escaped. */
function valueAt(buffer: Buffer, key: Buffer, at: number): number {
  let same = 3;
  while (same < key.length && buffer[at + same] === key[same]) same += 1;
  if (same < key.length) return -1;
  let i = at + key.length;
  while (buffer[i] === 32 || buffer[i] === 58) i += 1;
  return i;
}
