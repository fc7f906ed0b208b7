import assert from "node:assert/strict";
import { assertNotReserved, overlaps, partOf, wholeRange } from "#lib/p2pmem/provider-range.js";
import type { PciFunction } from "#lib/pci/function.js";
import { PciTree } from "#lib/pci/tree.js";
import { fakeFunction, fakeTopology } from "../../support/fake-pci.js";

const KIB = 1024;
const MIB = 1024 * KIB;

const fn = new PciTree(fakeTopology([fakeFunction({ address: "0000:05:00.0" })]))
  .functions[0] as PciFunction;
/** A CMB in the middle of a BAR. */
const cmb = wholeRange("cmb", { bar: 2, offset: 8 * MIB, size: 64 * MIB });

describe("A part of a provider's memory", () => {
  it("lies where it was named, and is called so", () => {
    assert.deepEqual(partOf(fn, cmb, { offset: MIB, length: 16 * MIB }), {
      ...{ kind: "cmb", bar: 2, offset: 9 * MIB, size: 16 * MIB },
      label: "cmb@1m+16m",
      abilities: null,
    });
    assert.equal(partOf(fn, cmb, { offset: 63 * MIB }).label, "cmb@63m+1m");
    assert.equal(partOf(fn, cmb, { offset: 0, length: 4 * KIB }).label, "cmb@0+4k");
  });

  it("that is all of it is the memory itself", () => {
    assert.equal(partOf(fn, cmb, { offset: 0 }), cmb);
    assert.equal(partOf(fn, cmb, { offset: 0, length: 64 * MIB }), cmb);
  });

  for (const [what, part, message] of [
    ["nothing", { offset: MIB, length: 0 }, /is empty/],
    ["more than there is", { offset: MIB, length: 64 * MIB }, /past the end .* has 64 MiB/],
    ["what lies behind it", { offset: 64 * MIB }, /past the end/],
    ["a part of a page", { offset: MIB, length: 512 }, /no whole pages/],
    ["the middle of a page", { offset: 512, length: 4 * KIB }, /no whole pages/],
  ] as const)
    it(`is not ${what}`, () => {
      assert.throws(() => partOf(fn, cmb, part), {
        code: "BAD_RANGE",
        device: fn.address,
        message,
      });
    });
});

describe("Bytes of a BAR that are no memory", () => {
  const table = { bar: 2, offset: MIB + 16, size: 16, what: "the MSI-X table" };
  const bar = wholeRange("bar2", { bar: 2, offset: 0, size: 8 * MIB });

  it("keep peers off the pages that they are in, and off no other", () => {
    const refused = { code: "NOT_MAPPABLE", message: /bar2@1m\+4k .* 1048592 to .* MSI-X table/ };
    const page = partOf(fn, bar, { offset: MIB, length: 4 * KIB });
    assert.throws(() => assertNotReserved(fn, page, [table]), refused);
    assert.throws(() => assertNotReserved(fn, bar, [table]), { code: "NOT_MAPPABLE" });
    for (const part of [{ offset: 0, length: MIB }, { offset: MIB + 4 * KIB }])
      assertNotReserved(fn, partOf(fn, bar, part), [table]);
  });

  it("do so in their own BAR alone", () => {
    assertNotReserved(fn, bar, [{ ...table, bar: 4 }]);
  });

  it("may reach over several pages", () => {
    const long = { ...table, size: 8 * KIB };
    for (const offset of [MIB, MIB + 4 * KIB, MIB + 8 * KIB])
      assert.throws(
        () => assertNotReserved(fn, partOf(fn, bar, { offset, length: 4 * KIB }), [long]),
        { code: "NOT_MAPPABLE" },
      );
    assertNotReserved(fn, partOf(fn, bar, { offset: MIB + 12 * KIB }), [long]);
  });

  it("overlap what shares a byte with them", () => {
    const at = (offset: number, size: number, bar = 2) => ({ bar, offset, size });
    assert.ok(overlaps(at(0, 10), at(9, 1)));
    assert.ok(overlaps(at(5, 1), at(0, 10)));
    assert.ok(!overlaps(at(0, 10), at(10, 1)));
    assert.ok(!overlaps(at(0, 10), at(0, 10, 4)));
  });
});
