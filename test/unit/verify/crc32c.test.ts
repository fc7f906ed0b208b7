import assert from "node:assert/strict";
import fc from "fast-check";
import { addon } from "#lib/addon.js";

/** Bit by bit, as the polynomial is defined (RFC 3720, appendix B.4). */
function bitwise(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);

describe("CRC-32C", () => {
  const vectors: [string, Uint8Array, number][] = [
    ["nothing", new Uint8Array(0), 0],
    ["123456789", new TextEncoder().encode("123456789"), 0xe3069283],
    ["32 zeros", new Uint8Array(32), 0x8a9136aa],
    ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ["0 to 31", ascending, 0x46dd794e],
    ["31 to 0", Uint8Array.from(ascending, (byte) => 31 - byte), 0x113fdb5c],
  ];
  for (const [what, bytes, crc] of vectors)
    it(`of ${what} is the published one, by either way`, () => {
      assert.equal(addon().crc32c(bytes), crc);
      assert.equal(addon().crc32c(bytes, true), crc);
    });

  it("is that of the definition for any length and alignment, by either way", () => {
    // Three streams of 1344 bytes at once, then words, then bytes.
    const lengths = fc.oneof(fc.nat(40), fc.integer({ min: 4020, max: 4050 }), fc.nat(9000));
    fc.assert(
      fc.property(lengths, fc.nat(8), fc.integer(), (length, start, seed) => {
        const all = Uint8Array.from({ length: start + length }, (_, i) => Math.imul(i, seed) >>> 7);
        const bytes = all.subarray(start);
        const crc = bitwise(bytes);
        assert.equal(addon().crc32c(bytes), crc);
        assert.equal(addon().crc32c(bytes, true), crc);
      }),
    );
  });

  it("takes bytes alone", () => {
    for (const bytes of [new Uint16Array(4), [1, 2], "12", null])
      assert.throws(() => addon().crc32c(bytes as unknown as Uint8Array), TypeError);
  });
});
