import { describe, expect, it } from 'vitest';
import { SipHash } from '../../../src/filter/sip-hash.js';

describe('HalfSipHash-2-4', () => {
  // The published vectors: the key is the bytes 0 to 7, the input the bytes from 0 on, here of whole words.
  it.each([
    [0, '218d1f59b9b83cc8'],
    [1, 'd5e78a175be52ea1'],
    [2, 'edfee820bce4858c'],
    [3, '7bc71f9faef5c799'],
    [4, '7336aad25f7bf3b5'],
    [5, '1bf52b0a6feea7db'],
  ])('gives of %i words what the reference gives', (count, expected) => {
    const bytes = Buffer.from(Array.from({ length: 64 }, (_, i) => i));
    const hash = new SipHash(bytes.readInt32LE(0), bytes.readInt32LE(4));
    for (let again = 0; again < 2; again++) {
      hash.start();
      for (let word = 0; word < count; word++) hash.word(bytes.readInt32LE(4 * word));
      hash.finish();
      const result = Buffer.alloc(8);
      result.writeInt32LE(hash.h0, 0);
      result.writeInt32LE(hash.h1, 4);
      expect(result.toString('hex')).toBe(expected);
    }
  });
});
