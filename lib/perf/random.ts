/** 2**-53, which makes of 53 random bits a fraction below 1. */
const FRACTION = 2 ** -53;

/**
 * Random numbers for the poll loop: xoshiro128++ of Blackman and Vigna (2019), 32-bit words that V8
 * keeps in registers, no allocation. The same seed gives the same sequence.
 */
export class Random {
  // `declare`: a class field would first be undefined, and V8 would lose track of its type.
  declare private readonly state: Int32Array;

  /** `seed`: any 32 bits. */
  constructor(seed: number) {
    this.state = new Int32Array(4);
    // splitmix32: neighbouring seeds give states that have nothing in common, and never all zeros.
    let x = seed | 0;
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) | 0;
      let z = x ^ (x >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      this.state[i] = z ^ (z >>> 15);
    }
  }

  /** 32 bits, signed. */
  next(): number {
    const s = this.state;
    const s0 = s[0]!;
    const s1 = s[1]!;
    const sum = (s0 + s[3]!) | 0;
    const s2 = s[2]! ^ s0;
    const s3 = s[3]! ^ s1;
    s[0] = s0 ^ s3;
    s[1] = s1 ^ s2;
    s[2] = s2 ^ (s1 << 9);
    s[3] = (s3 << 11) | (s3 >>> 21);
    return (((sum << 7) | (sum >>> 25)) + s0) | 0;
  }

  /**
   * A whole number from 0 to `count` - 1. Each is as likely as any other, but for `count` / 2**53: 53
   * bits are drawn, where a remainder of 32 would favour some places of a large namespace.
   */
  below(count: number): number {
    const high = this.next() >>> 5;
    const low = this.next() >>> 6;
    return Math.floor((high * 0x400_0000 + low) * FRACTION * count);
  }
}
