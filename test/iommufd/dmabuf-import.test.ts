/**
 * Dma-bufs of BARs as another driver of the kernel has them: iommufd, with a device that reaches them by
 * DMA. By a kernel that has iommufd (P2PMEM_LAB_IOMMUFD_KERNEL): Debian's 7.3 has not (CONFIG_IOMMUFD is not set), and what else of it imports memory of devices (the modules that call
 * dma_buf_dynamic_attach(): ib_core for mlx5, irdma and others, amdgpu, xe, virtio-gpu for blobs) drives
 * hardware that QEMU 7.2 has none of.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { addon, type NativeAddressSpace, type NativeDevice } from "#lib/addon.js";
import { BindPlan } from "#lib/host/bind.js";
import { Host, pciPath } from "#lib/host/host.js";
import { UnbindPlan } from "#lib/host/unbind.js";
import { parseBdf, type Bdf } from "#lib/pci/bdf.js";

const SCRIPT = fileURLToPath(new URL("../../test/iommufd/dmabuf-importer.py", import.meta.url));
const KIB = 1024;
const OFFSET = 64 * KIB;
/** PCI 3.0 §6.2.2: the command register, and in it memory decode. */
const COMMAND = 4;
const MEMORY = 2;
/** NVMe 1.4 §3.1.28: switches the PMR on. */
const PMRCTL = 0xe04;

interface Importer {
  /** What the importer says to it: see the script. */
  step(what: "map" | "unmap" | "read"): Promise<string>;
  close(): Promise<void>;
}

function importerOf(fd: number, edu: Bdf): Importer {
  const child = spawn("python3", ["-IS", SCRIPT, edu], { stdio: ["pipe", "pipe", "inherit", fd] });
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

/** What happens while memory decode of a device is off. */
async function withoutDecode(device: NativeDevice, meanwhile: () => Promise<void>): Promise<void> {
  const config = device.region(7);
  const command = config.read16(COMMAND);
  config.write16(COMMAND, command & ~MEMORY);
  try {
    await meanwhile();
  } finally {
    config.write16(COMMAND, command | MEMORY);
  }
}

describe("a dma-buf that another driver imports", () => {
  const host = new Host();
  let space: NativeAddressSpace | undefined;
  let edu: Bdf;

  before(() => {
    assert.ok(existsSync("/dev/iommu"), "the kernel has iommufd");
    const found = readdirSync("/sys/bus/pci/devices").find(
      (name) => readFileSync(pciPath(name as Bdf, "vendor"), "utf8").trim() === "0x1234",
    );
    edu = parseBdf(found ?? "");
    new BindPlan(host, [edu], { group: true }).run();
    space = addon().openVfioAddressSpace();
  });
  after(() => {
    space?.close();
    new UnbindPlan(host, [edu]).run();
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
      let number = 0x1234_0000;

      /** Puts another number where the dma-buf begins, by the CPU. */
      const change = (): string => {
        if (variable === "NVME2") device.region(0).write32(PMRCTL, 1);
        device.region(bar).write32(OFFSET, ++number);
        assert.equal(device.region(bar).read32(OFFSET), number);
        return String(number);
      };

      before(() => {
        device = space!.openDevice(process.env[variable]!);
        fd = device.exportDmabuf(bar, OFFSET, 64 * KIB);
        importer = importerOf(fd, edu);
      });
      after(async () => {
        await importer.close();
        closeSync(fd);
        device.close();
      });

      it("is what a device reads of it, from its begin on", async () => {
        const found = change();
        assert.equal(await importer.step("map"), "done");
        assert.equal(await importer.step("read"), found);
        const changed = change();
        assert.equal(await importer.step("read"), changed);
        assert.equal(await importer.step("unmap"), "done");
      });

      for (const [how, revoke] of [
        [
          "a reset",
          () => {
            device.reset();
          },
        ],
        ["memory decode off", () => withoutDecode(device, () => Promise.resolve())],
      ] as const)
        it(`is out of reach from ${how} on, though its device is back, until it is mapped again`, async () => {
          const before = change();
          assert.equal(await importer.step("map"), "done");
          assert.equal(await importer.step("read"), before);
          await revoke();
          const after = change();
          const read = await importer.step("read");
          assert.ok(read !== after && read !== before && !/[A-Z]/.test(read), read);
          assert.equal(await importer.step("map"), "EEXIST");
          assert.equal(await importer.step("unmap"), "done");
          assert.equal(await importer.step("map"), "done");
          assert.equal(await importer.step("read"), after);
          assert.equal(await importer.step("unmap"), "done");
        });

      it("is refused while memory decode is off, and mapped once it is on again", async () => {
        await withoutDecode(device, async () => {
          assert.equal(await importer.step("map"), "ENODEV");
        });
        assert.equal(await importer.step("map"), "done");
        assert.equal(await importer.step("unmap"), "done");
      });

      it("is out of reach once its device is closed, and refused from then on", async () => {
        const before = change();
        assert.equal(await importer.step("map"), "done");
        assert.equal(await importer.step("read"), before);
        device.close();
        assert.notEqual(await importer.step("read"), before);
        assert.equal(await importer.step("unmap"), "done");
        assert.equal(await importer.step("map"), "ENODEV");
      });
    });
});
