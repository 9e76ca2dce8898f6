/**
 * Reads numbers in network order out of a part of a larger buffer and never
 * outside it. A read that would pass the end gives 0 and sets `overrun`, so that
 * a parser over hostile bytes is total: it cannot throw, cannot see what lies
 * behind the packet, and cannot mistake a missing byte (`undefined`, `NaN`) for a
 * value. Whoever reads looks at `overrun` before trusting what was read. One
 * reader is reused for every packet.
 */
export class ByteReader {
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #length = 0;
  /** Whether a read since `reset` passed the end. */
  overrun = false;

  /** Reads from now on `bytes[start .. start + length)`; a part that does not lie inside `bytes` is cut to it. */
  reset(bytes: Uint8Array, start: number, length: number): void {
    this.#bytes = bytes;
    this.#start = Math.max(start, 0);
    const room = bytes.length - this.#start;
    this.#length = length < room ? Math.max(0, length) : Math.max(0, room);
    this.overrun = false;
  }

  /** Bytes that may be read. */
  get length(): number {
    return this.#length;
  }

  /** Ends the part earlier; it is never made longer. */
  shorten(length: number): void {
    if (length < this.#length) this.#length = Math.max(0, length);
  }

  u8(at: number): number {
    if (at < 0 || at >= this.#length) {
      this.overrun = true;
      return 0;
    }
    return this.#bytes[this.#start + at] as number;
  }

  u16(at: number): number {
    if (at < 0 || at + 2 > this.#length) {
      this.overrun = true;
      return 0;
    }
    const i = this.#start + at;
    return ((this.#bytes[i] as number) << 8) | (this.#bytes[i + 1] as number);
  }

  /** A signed 32-bit word, as `AddressWords` holds addresses. */
  i32(at: number): number {
    if (at < 0 || at + 4 > this.#length) {
      this.overrun = true;
      return 0;
    }
    const i = this.#start + at;
    return (
      ((this.#bytes[i] as number) << 24) |
      ((this.#bytes[i + 1] as number) << 16) |
      ((this.#bytes[i + 2] as number) << 8) |
      (this.#bytes[i + 3] as number)
    );
  }
}
