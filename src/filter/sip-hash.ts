/**
 * HalfSipHash-2-4 with 64 bits of output (Aumasson and Bernstein), over whole
 * 32-bit words: a keyed hash of which nobody without the key can make two inputs
 * meet. A plain seeded hash does not hold that, and here a meeting would be a
 * forged proof. One object is used again and again; nothing is allocated.
 */
export class SipHash {
  /** The result, two signed words. */
  h0 = 0;
  h1 = 0;
  readonly #key0: number;
  readonly #key1: number;
  #v0 = 0;
  #v1 = 0;
  #v2 = 0;
  #v3 = 0;
  #words = 0;

  constructor(key0: number, key1: number) {
    this.#key0 = key0 | 0;
    this.#key1 = key1 | 0;
  }

  start(): this {
    this.#v0 = this.#key0;
    this.#v1 = this.#key1 ^ 0xee;
    this.#v2 = 0x6c796765 ^ this.#key0;
    this.#v3 = 0x74656462 ^ this.#key1;
    this.#words = 0;
    return this;
  }

  word(value: number): this {
    this.#words += 1;
    this.#take(value);
    return this;
  }

  finish(): void {
    // The last block holds the length in bytes, in its high byte.
    this.#take(this.#words << 26);
    this.#v2 ^= 0xee;
    for (let i = 0; i < 4; i++) this.#round();
    this.h0 = this.#v1 ^ this.#v3;
    this.#v1 ^= 0xdd;
    for (let i = 0; i < 4; i++) this.#round();
    this.h1 = this.#v1 ^ this.#v3;
  }

  #take(value: number): void {
    this.#v3 ^= value;
    this.#round();
    this.#round();
    this.#v0 ^= value;
  }

  #round(): void {
    let v0 = this.#v0;
    let v1 = this.#v1;
    let v2 = this.#v2;
    let v3 = this.#v3;
    v0 = (v0 + v1) | 0;
    v1 = (v1 << 5) | (v1 >>> 27);
    v1 ^= v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = (v3 << 8) | (v3 >>> 24);
    v3 ^= v2;
    v0 = (v0 + v3) | 0;
    v3 = (v3 << 7) | (v3 >>> 25);
    v3 ^= v0;
    v2 = (v2 + v1) | 0;
    v1 = (v1 << 13) | (v1 >>> 19);
    v1 ^= v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    this.#v0 = v0;
    this.#v1 = v1;
    this.#v2 = v2;
    this.#v3 = v3;
  }
}
