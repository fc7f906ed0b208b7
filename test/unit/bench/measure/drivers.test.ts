import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeDrivers } from "#lib/bench/measure/drivers.js";
import { Host } from "#lib/host/host.js";

describe("the drivers of a benchmark's machine", () => {
  let root: string;

  before(() => {
    root = mkdtempSync(join(tmpdir(), "p2pmem-drivers-"));
    for (const [module, file, text] of [
      ["vfio_pci", "srcversion", "9A5C1B1E0C2F8D7B6A4E3D2"],
      ["nvme", "version", "1.0"],
      ["nvme", "srcversion", "11C2F8D7B6A4E3D29A5C1B1"],
    ] as const) {
      mkdirSync(join(root, "sys/module", module), { recursive: true });
      writeFileSync(join(root, "sys/module", module, file), `${text}\n`);
    }
  });
  after(() => {
    rmSync(root, { recursive: true });
  });

  it("have the version and the sources that their modules state, each driver once", () => {
    assert.deepEqual(describeDrivers(new Host(root), ["vfio-pci", "nvme", "vfio-pci"]), [
      { name: "nvme", version: "1.0", source_version: "11C2F8D7B6A4E3D29A5C1B1" },
      { name: "vfio-pci", version: null, source_version: "9A5C1B1E0C2F8D7B6A4E3D2" },
    ]);
  });

  it("have neither where they are built into the kernel", () => {
    assert.deepEqual(describeDrivers(new Host(root), ["pcieport"]), [
      { name: "pcieport", version: null, source_version: null },
    ]);
  });
});
