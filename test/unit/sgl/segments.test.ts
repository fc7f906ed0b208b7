import assert from "node:assert/strict";
import fc from "fast-check";
import { joinAndCut, Segments } from "#lib/sgl/segments.js";

type Piece = [address: number, length: number];

function segmentsOf(pieces: readonly Piece[]): Segments {
  const segments = new Segments();
  for (const [address, length] of pieces) segments.push(address, length);
  return segments;
}

function map(pieces: readonly Piece[], maxSegment = Infinity, boundary = Infinity): Piece[] {
  const mapped = joinAndCut(segmentsOf(pieces), maxSegment, boundary, Infinity)!;
  const { addresses, lengths, count } = mapped;
  assert.deepEqual([addresses.length, lengths.length], [count, count], "no room is left over");
  return Array.from(addresses, (address, i): Piece => [address, lengths[i]!]);
}

/** Every byte's address, in order. */
function bytesOf(pieces: readonly Piece[]): number[] {
  return pieces.flatMap(([address, length]) => Array.from({ length }, (_, i) => address + i));
}

/** The same by going over the bytes one at a time. */
function byteByByte(pieces: readonly Piece[], maxSegment: number, boundary: number): Piece[] {
  const out: Piece[] = [];
  for (const address of bytesOf(pieces)) {
    const last = out.at(-1);
    const goesOn = last !== undefined && last[0] + last[1] === address;
    if (goesOn && last[1] < maxSegment && address % boundary !== 0) last[1]++;
    else out.push([address, 1]);
  }
  return out;
}

/** Pieces of a few bytes, which are often adjacent; far up, where 32 bits are not enough. */
const pieces = fc
  .array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 40 })), { maxLength: 30 })
  .map((steps) => {
    let at = 2 ** 40;
    return steps.map(([gap, length]): Piece => {
      const start = gap === 0 ? at : gap === 1 ? at - 100 : at + 7 * gap;
      at = start + length;
      return [start, length];
    });
  });
const limit = fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 50 }));
const boundary = fc.oneof(
  fc.constant(Infinity),
  fc.nat(6).map((power) => 2 ** power),
);

describe("Segments, joined and cut", () => {
  it("are what a walk over single bytes gives", () => {
    fc.assert(
      fc.property(pieces, limit, boundary, (list, most, multiple) => {
        assert.deepEqual(map(list, most, multiple), byteByByte(list, most, multiple));
      }),
    );
  });

  it("are the same bytes in the same order, within the limits", () => {
    fc.assert(
      fc.property(pieces, limit, boundary, (list, most, multiple) => {
        const mapped = map(list, most, multiple);
        assert.deepEqual(bytesOf(mapped), bytesOf(list));
        for (const [address, length] of mapped) {
          assert.ok(length >= 1 && length <= most);
          assert.ok(multiple === Infinity || (address % multiple) + length <= multiple);
        }
      }),
    );
  });

  it("are none where they would be more than may be, whatever they are cut from", () => {
    fc.assert(
      fc.property(pieces, limit, boundary, (list, most, multiple) => {
        const { length } = map(list, most, multiple);
        const count = (maxSegments: number) =>
          joinAndCut(segmentsOf(list), most, multiple, maxSegments)?.count ?? null;
        assert.equal(count(length), length);
        if (length > 1) assert.equal(count(length - 1), null);
      }),
    );
    // The list of all of them would not fit in memory.
    assert.equal(joinAndCut(segmentsOf([[0, 2 ** 50]]), 1, Infinity, 4), null);
  });

  it("are joined wherever one begins where the one before it ends, and no limit is there", () => {
    fc.assert(
      fc.property(pieces, (list) => {
        const mapped = map(list);
        for (const [i, [address, length]] of mapped.slice(0, -1).entries())
          assert.notEqual(address + length, mapped[i + 1]![0]);
      }),
    );
  });

  it("reach up to the end of what IOMMUs translate", () => {
    const top = 2 ** 52;
    assert.deepEqual(
      map(
        [
          [top - 12288, 8192],
          [top - 4096, 4096],
        ],
        2 ** 32,
        2 ** 51,
      ),
      [[top - 12288, 12288]],
    );
    assert.deepEqual(map([[2 ** 51 - 1, 2]], Infinity, 2 ** 51), [
      [2 ** 51 - 1, 1],
      [2 ** 51, 1],
    ]);
  });
});
