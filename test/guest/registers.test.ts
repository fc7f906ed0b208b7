/** What p2pmem reads in configuration space is what the kernel says. Runs inside the lab only. */
import assert from "node:assert/strict";
import { ConfigSpace } from "#lib/pci/config-space.js";
import { readExpress } from "#lib/pci/express.js";
import { PciFunction } from "#lib/pci/function.js";
import { readTopology } from "#lib/platform/sysfs.js";

const MIB = 2 ** 20;

describe("registers, as p2pmem reads them", () => {
  const { functions } = readTopology();

  it("show the links that the kernel shows", () => {
    const withLinks = functions.filter(({ link }) => link !== null);
    // Two root ports, the switch's four ports, three NVMe controllers.
    assert.equal(withLinks.length, 9);
    for (const { address, config, link } of withLinks)
      assert.deepEqual(readExpress(new ConfigSpace(config))?.link, link, address);
  });

  it("show the memory windows that the kernel routes by", () => {
    const bridges = functions.filter((raw) => new PciFunction(raw, null).isBridge);
    assert.equal(bridges.length, 6);
    for (const raw of bridges) {
      const config = new ConfigSpace(raw.config);
      // PCI-to-PCI Bridge 1.2 §3.2.5.8: bits 31:20 of base and limit, the limit's MiB included.
      const base = (config.read16(0x20)! & 0xfff0) * 65536;
      const end = (config.read16(0x22)! & 0xfff0) * 65536 + MIB;
      const found = new PciFunction(raw, null).windows.map(({ start, size }) => [
        start,
        start + size,
      ]);
      if (end > base) assert.deepEqual(found[0], [base, end], raw.address);
    }
  });
});
