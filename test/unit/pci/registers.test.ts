import assert from "node:assert/strict";
import fc from "fast-check";
import { egressBit, readAcs } from "#lib/pci/acs.js";
import { ConfigSpace } from "#lib/pci/config-space.js";
import { readExpress } from "#lib/pci/express.js";
import { configBytes, LIST_AT_40, type Register } from "../../support/config-bytes.js";

const EXPRESS = 0x10;
const ACS = 0x0d;

function space(size: number, ...registers: Register[]): ConfigSpace {
  return new ConfigSpace(configBytes(size, ...registers));
}

describe("configuration space", () => {
  it("finds a capability behind others", () => {
    const config = space(256, ...LIST_AT_40, [0x40, 2, 0x6001], [0x60, 2, 0x0010]);
    assert.equal(config.capability(EXPRESS), 0x60);
  });

  it("has none without a list, and none that the list does not name", () => {
    assert.equal(space(64).capability(EXPRESS), null);
    assert.equal(space(256, ...LIST_AT_40, [0x40, 2, 0x0001]).capability(EXPRESS), null);
  });

  it("does not know what lies beyond 64 bytes where no more could be read", () => {
    assert.equal(space(64, ...LIST_AT_40).capability(EXPRESS), undefined);
    assert.equal(space(64, ...LIST_AT_40).extendedCapability(ACS), undefined);
  });

  it("ends at a pointer into the header, which no capability can have", () => {
    const config = space(256, ...LIST_AT_40, [0x40, 2, 0x0801], [0x08, 1, EXPRESS]);
    assert.equal(config.capability(EXPRESS), null);
  });

  it("finds an extended capability behind others, of a PCI Express function only", () => {
    const extended: Register[] = [
      [0x100, 4, 0x1401_0001],
      [0x140, 4, 0x0001_000d],
    ];
    const express = [...LIST_AT_40, [0x40, 2, 0x0010] as const];
    assert.equal(space(4096, ...express, ...extended).extendedCapability(ACS), 0x140);
    assert.equal(space(4096, ...extended).extendedCapability(ACS), null);
    assert.equal(space(4096, ...express).extendedCapability(ACS), null);
    assert.equal(space(256, ...express).extendedCapability(ACS), undefined);
  });

  it("does not know extended capabilities where extended space reads as ones", () => {
    const config = configBytes(4096, ...LIST_AT_40, [0x40, 2, 0x0010]).fill(0xff, 0x100);
    assert.equal(new ConfigSpace(config).extendedCapability(ACS), undefined);
  });

  it("knows nothing of a function that does not answer", () => {
    const gone = new ConfigSpace(new Uint8Array(4096).fill(0xff));
    assert.equal(gone.answers, false);
    assert.equal(gone.capability(EXPRESS), undefined);
    assert.equal(readExpress(gone), undefined);
    assert.equal(readAcs(gone), undefined);
  });

  it("takes a virtual function, whose identifiers read as ones, for one that answers", () => {
    const config = space(256, [0x00, 4, 0xffffffff], ...LIST_AT_40, [0x40, 2, 0x0010]);
    assert.equal(config.answers, true);
    assert.equal(config.capability(EXPRESS), 0x40);
  });

  it("ends its search in whatever bytes it is given", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 64, maxLength: 4096, size: "max" }),
      // Rings: every pointer leads to a pointer.
      fc.constantFrom(0x40, 0x44, 0x10).map((value) => new Uint8Array(4096).fill(value)),
    );
    fc.assert(
      fc.property(bytes, (config) => {
        const found = new ConfigSpace(config);
        for (const at of [found.capability(EXPRESS), found.extendedCapability(ACS)])
          assert.ok(at === undefined || at === null || (at >= 0x40 && at < config.length));
      }),
    );
  });
});

describe("the PCI Express capability", () => {
  /** One at 40h: device/port type, then its registers by their offsets in it. */
  function express(type: number, ...registers: Register[]): ReturnType<typeof readExpress> {
    const placed = registers.map(([at, width, value]): Register => [at + 0x40, width, value]);
    const flags: Register = [0x42, 2, (type << 4) | 2];
    return readExpress(space(256, ...LIST_AT_40, [0x40, 2, 0x0010], flags, ...placed));
  }

  const GEN4_X8: Register = [0x0c, 4, 0x84];
  const GEN3_X4: Register = [0x12, 2, 0x43];

  it("says what the function is", () => {
    const types = [0, 1, 4, 5, 6, 7, 8, 9, 10, 15].map((type) => express(type)?.portType);
    assert.deepEqual(types, [
      ...["endpoint", "legacy-endpoint", "root-port", "upstream-port", "downstream-port"],
      ...["pcie-to-pci-bridge", "pci-to-pcie-bridge", "integrated-endpoint", "event-collector"],
      null,
    ]);
  });

  it("has payload sizes, and whether Relaxed Ordering is on", () => {
    const found = express(0, [0x04, 4, 2], [0x08, 2, (1 << 5) | (1 << 4)]);
    assert.deepEqual(found?.maxPayload, { supported: 512, current: 256 });
    assert.equal(found.relaxedOrdering, true);
    assert.equal(express(0)?.relaxedOrdering, false);
  });

  it("has the link's speed and width, now and at most", () => {
    const link = { speed: 8, width: 4, maxSpeed: 16, maxWidth: 8 };
    assert.deepEqual(express(0, GEN4_X8, GEN3_X4)?.link, link);
  });

  it("has the port's number", () => {
    assert.equal(express(6, [0x0c, 4, 0xff00_0084])?.portNumber, 255);
    assert.equal(express(9, [0x0c, 4, 0x0300_0084])?.portNumber, null);
  });

  it("has no link where the function is part of the root complex, whatever lies there", () => {
    assert.equal(express(9, GEN4_X8, GEN3_X4)?.link, null);
    assert.equal(express(10, GEN4_X8, GEN3_X4)?.link, null);
  });

  it("takes speeds and widths that no link has for not known", () => {
    assert.equal(express(0)?.link, null);
    assert.equal(express(0, [0x0c, 4, 0xffffffff], [0x12, 2, 0xffff])?.link, null);
    assert.deepEqual(express(4, GEN4_X8, [0x12, 2, 0x0001])?.link, {
      ...{ speed: 2.5, width: null, maxSpeed: 16, maxWidth: 8 },
    });
  });

  it("is absent from conventional PCI, and not known where it could not be read", () => {
    assert.equal(readExpress(space(256)), null);
    assert.equal(readExpress(space(64, ...LIST_AT_40)), undefined);
    assert.equal(readExpress(space(68, ...LIST_AT_40, [0x40, 2, 0x0010])), undefined);
  });
});

describe("Access Control Services", () => {
  const listed: Register[] = [...LIST_AT_40, [0x40, 2, 0x0010], [0x100, 4, 0x0001_000d]];

  it("are what the function can control, and what is on", () => {
    const config = space(4096, ...listed, [0x104, 2, 0x5f], [0x106, 2, 0x1d]);
    assert.deepEqual(readAcs(config), { capability: 0x5f, control: 0x1d, egressVector: [] });
  });

  it("have a bit for each port up to the size of the Egress Control Vector", () => {
    const bits = (size: number): unknown[] => {
      const vector: Register[] = [
        [0x108, 4, 0x8000_0001],
        [0x10c, 4, 2],
        [0x124, 4, 0x8000_0000],
      ];
      const acs = readAcs(space(4096, ...listed, [0x104, 2, 0x20 | (size << 8)], ...vector));
      return [0, 1, 31, 33, 40, 255].map((number) => acs && egressBit(acs, number));
    };
    assert.deepEqual(bits(40), [true, false, true, true, undefined, undefined]);
    assert.deepEqual(bits(32), [true, false, true, undefined, undefined, undefined]);
    // 0 stands for 256.
    assert.deepEqual(bits(0), [true, false, true, true, false, true]);
  });

  it("have as much of the Egress Control Vector as could be read", () => {
    const acs = readAcs(space(0x10c, ...listed, [0x104, 2, 0x4020], [0x108, 4, 1]));
    assert.deepEqual(acs?.egressVector, [1]);
    assert.equal(egressBit(acs, 32), undefined);
  });

  it("are not known where the registers could not be read", () => {
    assert.equal(readAcs(space(0x104, ...listed)), undefined);
    assert.equal(readAcs(space(256, ...LIST_AT_40, [0x40, 2, 0x0010])), undefined);
  });

  it("are absent where no capability has them", () => {
    assert.equal(readAcs(space(256)), null);
    assert.equal(readAcs(space(4096, ...LIST_AT_40, [0x40, 2, 0x0010])), null);
  });
});
