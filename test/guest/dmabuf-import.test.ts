/**
 * Dma-bufs of BARs as another driver of the kernel has them: iommufd, by itself. Inside the lab only,
 * and there by a kernel that has it (P2PMEM_LAB_KERNEL): Debian's has nobody who imports them.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { addon, type NativeAddressSpace, type NativeDevice } from "#lib/addon.js";

const SCRIPT = fileURLToPath(new URL("../../test/guest/dmabuf-importer.py", import.meta.url));
const KIB = 1024;
/** PCI 3.0 §6.2.2: the command register, and in it memory decode. */
const COMMAND = 4;
const MEMORY = 2;

interface Importer {
  step(what: "map" | "unmap"): Promise<string>;
  close(): Promise<void>;
}

function importerOf(fd: number): Importer {
  const child = spawn("python3", ["-IS", SCRIPT], { stdio: ["pipe", "pipe", "inherit", fd] });
  const input = child.stdin as Writable;
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    step: async (what) => {
      input.write(`${what}\n`);
      return String((await lines.next()).value);
    },
    close: async () => {
      input.end();
      await once(child, "close");
    },
  };
}

describe("a dma-buf that another driver imports", () => {
  let space: NativeAddressSpace;

  before(function () {
    if (!existsSync("/dev/iommu")) this.skip();
    space = addon().openVfioAddressSpace();
  });
  after(() => {
    // Not there where they were skipped.
    (space as NativeAddressSpace | undefined)?.close();
  });

  for (const [variable, bar] of [
    ["NVME_CMB", 2],
    ["NVME2", 4],
    ["CARD", 2],
  ] as const)
    describe(`of ${variable}`, () => {
      let device: NativeDevice;
      let fd: number;
      let importer: Importer;

      before(() => {
        device = space.openDevice(process.env[variable]!);
        fd = device.exportDmabuf(bar, 64 * KIB, 64 * KIB);
        importer = importerOf(fd);
      });
      after(async () => {
        await importer.close();
        closeSync(fd);
        device.close();
      });

      it("is mapped, and after a reset can be mapped again", async () => {
        assert.equal(await importer.step("map"), "done");
        // It lets go of what is imported: an importer that kept it would hold the reset up.
        device.reset();
        assert.equal(await importer.step("unmap"), "done");
        assert.equal(await importer.step("map"), "done");
        assert.equal(await importer.step("unmap"), "done");
      });

      it("is refused while memory decode is off, and mapped once it is on again", async () => {
        const config = device.region(7);
        const command = config.read16(COMMAND);
        config.write16(COMMAND, command & ~MEMORY);
        try {
          assert.equal(await importer.step("map"), "ENODEV");
        } finally {
          config.write16(COMMAND, command | MEMORY);
        }
        assert.equal(await importer.step("map"), "done");
        assert.equal(await importer.step("unmap"), "done");
      });

      it("is refused once its device is closed", async () => {
        device.close();
        assert.equal(await importer.step("map"), "ENODEV");
      });
    });
});
