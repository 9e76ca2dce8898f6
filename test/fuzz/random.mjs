/** Pseudo-random numbers from a seed (xoshiro128**, Blackman and Vigna 2018), the same on every machine. */
export class Random {
  #a;
  #b;
  #c;
  #d;

  constructor(seed) {
    // splitmix32, so that seeds next to each other give sequences that have nothing in common.
    let state = seed | 0;
    const next = () => {
      state = (state + 0x9e3779b9) | 0;
      let z = state ^ (state >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return z ^ (z >>> 15);
    };
    [this.#a, this.#b, this.#c, this.#d] = [next(), next(), next(), next() | 1];
  }

  /** A signed word of 32 bits. */
  word() {
    const five = Math.imul(this.#b, 5);
    const result = Math.imul((five << 7) | (five >>> 25), 9);
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** A whole number from 0 to `limit - 1`. */
  below(limit) {
    return Math.floor(((this.word() >>> 0) / 2 ** 32) * limit);
  }

  /** Whether something that happens once in `n` happens. */
  once(n) {
    return this.below(n) === 0;
  }

  pick(list) {
    return list[this.below(list.length)];
  }
}
