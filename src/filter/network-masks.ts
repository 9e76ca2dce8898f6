import type { Prefix } from '../net/prefix.js';
import type { Endpoints } from './detector.js';

/** A handful of networks, looked through one by one without allocation. */
export class NetworkMasks {
  /** Four words a network, and the masks beside them; IPv4 uses the first. */
  readonly #words: Int32Array;
  readonly #masks: Int32Array;
  readonly #families: Uint8Array;

  constructor(networks: readonly Prefix[]) {
    this.#families = Uint8Array.from(networks, ({ family }) => family);
    this.#words = new Int32Array(networks.length * 4);
    this.#masks = new Int32Array(networks.length * 4);
    networks.forEach(({ w0, w1, w2, w3, length }, i) => {
      this.#words.set([w0, w1, w2, w3], i * 4);
      this.#masks.set(
        [0, 32, 64, 96].map((bit) => maskOf(length - bit)),
        i * 4,
      );
    });
  }

  hasSource({ family, source0, source1, source2, source3 }: Endpoints): boolean {
    return this.has(family, source0, source1, source2, source3);
  }

  has(family: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const words = this.#words;
    const masks = this.#masks;
    for (let i = 0; i < this.#families.length; i++) {
      if (this.#families[i] !== family) continue;
      const at = i * 4;
      if (((w0 ^ (words[at] as number)) & (masks[at] as number)) !== 0) continue;
      if (family === 4) return true;
      if (
        ((w1 ^ (words[at + 1] as number)) & (masks[at + 1] as number)) === 0 &&
        ((w2 ^ (words[at + 2] as number)) & (masks[at + 2] as number)) === 0 &&
        ((w3 ^ (words[at + 3] as number)) & (masks[at + 3] as number)) === 0
      ) {
        return true;
      }
    }
    return false;
  }
}

function maskOf(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : ~(0xffffffff >>> bits);
}
