import assert from "node:assert/strict";
import fc from "fast-check";
import { formatEndpoint, parseEndpoint, type Endpoint } from "#lib/io/endpoint.js";
import { formatProvider, parseProvider } from "#lib/p2pmem/provider-name.js";
import { P2pError } from "#lib/errors.js";
import { parseBdf, type Bdf } from "#lib/pci/bdf.js";

const nvme = parseBdf("0000:03:00.0");

const bdf = fc
  .tuple(
    fc.integer({ min: 0, max: 0xffff }),
    fc.integer({ min: 0, max: 255 }),
    fc.integer({ min: 0, max: 31 }),
    fc.integer({ min: 0, max: 7 }),
  )
  .map(([domain, bus, device, fn]): Bdf => {
    const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0");
    return parseBdf(`${hex(domain, 4)}:${hex(bus, 2)}:${hex(device, 2)}.${fn}`);
  });

function isUsageError(error: unknown): boolean {
  return error instanceof P2pError && error.isUsage && !error.message.includes("\n");
}

describe("endpoints", () => {
  it("are a device, with namespace 1 and offset 0 where none are named", () => {
    assert.deepEqual(parseEndpoint("03:00.0"), { device: nvme, nsid: 1, offset: 0 });
    assert.deepEqual(parseEndpoint("0000:03:00.0/2"), { device: nvme, nsid: 2, offset: 0 });
  });

  it("take offset and length in fio's sizes", () => {
    assert.deepEqual(parseEndpoint("0000:03:00.0@1m"), {
      device: nvme,
      nsid: 1,
      offset: 1 << 20,
    });
    assert.deepEqual(parseEndpoint("0000:03:00.0/3@4k+128KiB"), {
      device: nvme,
      nsid: 3,
      offset: 4096,
      length: 131072,
    });
  });

  it("that are malformed are usage errors of one line", () => {
    for (const text of [
      "",
      "nvme0",
      "/dev/nvme0n1",
      "0000:03:00.0/",
      "0000:03:00.0/0",
      "0000:03:00.0/4294967295",
      "0000:03:00.0/x",
      "0000:03:00.0/cmb",
      "0000:03:00.0@",
      "0000:03:00.0@+4k",
      "0000:03:00.0+4k",
      "0000:03:00.0@4k+",
      "0000:03:00.0@4k+1q",
      "0000:03:00.8",
    ])
      assert.throws(() => parseEndpoint(text), isUsageError, text);
  });

  it("survive being written and read again", () => {
    const endpoint = fc.record(
      {
        device: bdf,
        nsid: fc.integer({ min: 1, max: 0xfffffffe }),
        offset: fc.maxSafeNat(),
        length: fc.maxSafeNat(),
      },
      { requiredKeys: ["device", "nsid", "offset"], noNullPrototype: true },
    );
    fc.assert(
      fc.property(endpoint as fc.Arbitrary<Endpoint>, (value) => {
        assert.deepEqual(parseEndpoint(formatEndpoint(value)), value);
      }),
    );
  });
});

describe("providers", () => {
  it("are a device, and which of its memories where one is named", () => {
    assert.deepEqual(parseProvider("03:00.0"), { device: nvme, memory: null, part: null });
    for (const memory of ["cmb", "pmr", "dm", "bar0", "bar5"] as const) {
      assert.deepEqual(parseProvider(`0000:03:00.0/${memory}`), {
        device: nvme,
        memory,
        part: null,
      });
      assert.equal(
        formatProvider(parseProvider(`03:00.0/${memory.toUpperCase()}`)),
        `${nvme}/${memory}`,
      );
    }
    assert.equal(formatProvider(parseProvider("03:00.0")), nvme);
  });

  it("may be a part of a memory, in fio's sizes", () => {
    assert.deepEqual(parseProvider("03:00.0/bar2@1m+16MiB"), {
      device: nvme,
      memory: "bar2",
      part: { offset: 1 << 20, length: 16 << 20 },
    });
    assert.deepEqual(parseProvider("03:00.0/cmb@64k").part, { offset: 65536 });
    for (const text of ["cmb@64k", "pmr@0+4k", "bar5@1m+16m"])
      assert.equal(formatProvider(parseProvider(`${nvme}/${text}`)), `${nvme}/${text}`);
  });

  it("that are malformed are usage errors of one line", () => {
    for (const text of [
      ...["", "card", "0000:03:00.0/", "03:00.0/bar6", "03:00.0/1", "03:00.0/cmb/1"],
      ...["03:00.0@1m+16m", "03:00.0/bar2@", "03:00.0/bar2@+4k", "03:00.0/bar2+4k"],
      ...["03:00.0/bar2@4k+", "03:00.0/bar2@4k+1q", "03:00.0/bar2@-4k+4k"],
    ])
      assert.throws(() => parseProvider(text), isUsageError, text);
  });
});
