/** Parts of BARs as dma-bufs, by the kernel's VFIO. Runs inside the lab only. */
import assert from "node:assert/strict";
import { closeSync, fstatSync, readFileSync } from "node:fs";
import { addon, type NativeAddressSpace, type NativeDevice } from "#lib/addon.js";
import { ConfigSpace } from "#lib/pci/config-space.js";
import { readMsix } from "#lib/pci/msix.js";

const KIB = 1024;
const MIB = 1024 * KIB;

/** proc_pid_fdinfo(5): of a dma-buf its size, and who exported it. */
function describeFd(fd: number): { size: number; exporter: string | undefined } {
  const text = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(text)?.[1];
  return { size: Number(field("size")), exporter: field("exp_name") };
}

describe("parts of BARs as dma-bufs", () => {
  let space: NativeAddressSpace;
  let devices: { cmb: NativeDevice; pmr: NativeDevice; card: NativeDevice };

  before(() => {
    const { NVME_CMB, NVME2, CARD } = process.env;
    space = addon().openVfioAddressSpace();
    devices = {
      cmb: space.openDevice(NVME_CMB!),
      pmr: space.openDevice(NVME2!),
      card: space.openDevice(CARD!),
    };
  });
  after(() => {
    for (const device of Object.values(devices)) device.close();
    space.close();
  });

  /** The BAR of a device that is memory: its largest. */
  function memoryBar(device: NativeDevice): { bar: number; size: number } {
    const sizes = [0, 1, 2, 3, 4, 5].map((bar) => ({ bar, size: device.region(bar).size }));
    return sizes.reduce((most, next) => (next.size > most.size ? next : most));
  }

  for (const name of ["cmb", "pmr", "card"] as const)
    it(`are whole pages of its memory, of the ${name}`, () => {
      const device = devices[name];
      const { bar, size } = memoryBar(device);
      assert.ok(size >= 64 * MIB);
      for (const [offset, length] of [
        [0, size],
        [0, 4096],
        [MIB, 64 * KIB],
        [size - 4096, 4096],
      ] as const) {
        const fd = device.exportDmabuf(bar, offset, length);
        const found = describeFd(fd);
        assert.equal(found.size, length);
        assert.match(found.exporter ?? "", /vfio/);
        closeSync(fd);
        assert.throws(() => fstatSync(fd), { code: "EBADF" });
      }
    });

  it("are refused where they are no whole pages of a BAR, with the numbers", () => {
    const { card } = devices;
    const { bar, size } = memoryBar(card);
    for (const [index, offset, length] of [
      [bar, 100, 4096],
      [bar, 0, 100],
      [bar, 512, 4096],
      [bar, 0, 0],
      [bar, size, 4096],
      [bar, size - 4096, 8192],
      [bar, 0, 2 ** 52],
      [3, 0, 4096], // the upper half of BAR 2
      [6, 0, 4096],
      [7, 0, 4096],
    ] as const)
      assert.throws(
        () => card.exportDmabuf(index, offset, length),
        { code: "BAD_RANGE" },
        `${index} ${offset} ${length}`,
      );
  });

  it("are refused of registers and interrupt vectors, which the kernel would export", () => {
    for (const device of Object.values(devices)) {
      const config = device.region(7);
      const bytes = Uint8Array.from({ length: 256 }, (_, at) => config.read8(at));
      const msix = readMsix(new ConfigSpace(bytes));
      const pages = [msix?.table, msix?.pending].flatMap((range) => range ?? []);
      for (const { bar, offset } of pages)
        assert.throws(
          () => device.exportDmabuf(bar, offset - (offset % 4096), 4096),
          { code: "NOT_MAPPABLE", device: device.address, message: /MSI-X|registers/ },
          `${device.address}: ${bar} ${offset}`,
        );
    }
    const { cmb } = devices;
    // Doorbells reach as far as there are queues: no page of it is taken for anything else.
    const { size } = cmb.region(0);
    for (let offset = 0; offset < size; offset += 4096)
      for (const length of [4096, size - offset])
        assert.throws(() => cmb.exportDmabuf(0, offset, length), {
          code: "NOT_MAPPABLE",
          message: /registers/,
        });
  });

  it("outlive a reset and memory decode off as files, and can be made again after", () => {
    const { card, pmr } = devices;
    const { bar } = memoryBar(pmr);
    const before = pmr.exportDmabuf(bar, 0, 64 * KIB);
    pmr.reset();
    const after = pmr.exportDmabuf(bar, 0, 64 * KIB);
    assert.notEqual(after, before);
    for (const fd of [before, after]) {
      assert.equal(describeFd(fd).size, 64 * KIB);
      closeSync(fd);
    }
    // Bit 1 of the command register (PCI 3.0 §6.2.2): memory decode.
    const config = card.region(7);
    const command = config.read16(4);
    const memory = memoryBar(card).bar;
    const fd = card.exportDmabuf(memory, 0, 64 * KIB);
    config.write16(4, command & ~2);
    config.write16(4, command | 2);
    closeSync(fd);
    closeSync(card.exportDmabuf(memory, 0, 64 * KIB));
  });
});

describe("a dma-buf of a device that is closed", () => {
  it("stays a file, and keeps nobody from opening the device again", () => {
    for (let round = 0; round < 2; round++) {
      const space = addon().openVfioAddressSpace();
      const card = space.openDevice(process.env.CARD!);
      const fd = card.exportDmabuf(2, 0, 64 * KIB);
      card.close();
      space.close();
      assert.equal(describeFd(fd).size, 64 * KIB);
      closeSync(fd);
    }
  });
});
