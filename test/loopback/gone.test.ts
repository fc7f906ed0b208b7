/** What else can become of a loopback device's memory: test/device/vanish.test.ts has the rest. */
import assert from "node:assert/strict";
import { addon, CONFIG_REGION, type NativeDevice, type NativeMemory } from "#lib/addon.js";
import { PCI_COMMAND } from "#lib/pci/spec.js";
import {
  Bench,
  blocks,
  CARD,
  machineWith,
  NVME0,
  NVME1,
  READ,
  Register,
  type HostMemory,
  waitFor,
  WRITE,
} from "../support/raw-nvme.js";

const ONES = 0xffff_ffff;
const MIB = 1 << 20;
const CMB = 2;
const PMR = 4;
const PMRCTL = 0xe04;
const PMRSTS = 0xe08;
const SMALL = [{ size: MIB, block: 512 as const, file: null }];

function word(memory: NativeMemory, offset = 0): number {
  return addon().read32(memory, offset);
}

/** Without the check that read32() has. */
function look(memory: NativeMemory, offset = 0): number {
  return new DataView(memory.buffer).getUint32(offset, true);
}

function fill(memory: NativeMemory, value: number): void {
  new Int32Array(memory.buffer, 0, 1024).fill(value);
}

describe("memory of a loopback device", () => {
  let bench: Bench;
  let device: NativeDevice;
  let memory: NativeMemory;

  beforeEach(() => {
    bench = new Bench(machineWith({ namespaces: SMALL }));
    device = bench.device(NVME0);
    memory = bench.keep(device.region(CMB).map(0, 4 * MIB));
    fill(memory, 0x1234);
  });
  afterEach(() => {
    bench.close();
  });

  it("is lost to those who look while the device vanishes, and whole for the others", () => {
    const other = bench.keep(device.region(CMB).map(0, 4096));
    bench.native.inject(NVME0, { on: "now", effect: "vanish" });
    assert.equal(look(memory), ONES);
    const config = device.region(CONFIG_REGION);
    config.write16(PCI_COMMAND, config.read16(PCI_COMMAND) | 2);
    assert.deepEqual([look(memory), look(other)], [ONES, 0x1234]);
    assert.deepEqual([memory.isGone, other.isGone], [true, false]);
    device.restore();
    assert.equal(word(memory), 0x1234);
  });

  it("comes back by a reset as well, and so do its registers, once they are mapped again", () => {
    bench.native.inject(NVME0, { on: "now", effect: "vanish" });
    assert.equal(look(memory), ONES);
    assert.equal(device.region(0).read32(Register.VS), ONES);
    device.reset();
    assert.equal(device.region(0).read32(Register.VS), ONES, "VFIO's mapping shows ones, too");
    device.region(0).write32(Register.AQA, 7);
    assert.equal(look(memory), ONES);
    device.restore();
    assert.equal(device.region(0).read32(Register.VS), 0x0001_0400);
    assert.equal(device.region(0).read32(Register.AQA), 0);
    assert.equal(word(memory), 0x1234);
  });

  it("may vanish again before it was restored", () => {
    const vanish = () => {
      bench.native.inject(NVME0, { on: "now", effect: "vanish" });
    };
    for (let round = 0; round < 3; round++) {
      vanish();
      assert.equal(look(memory), ONES);
      device.reset();
      vanish();
      assert.equal(look(memory, 3 * MIB), ONES);
      assert.throws(
        () => {
          device.restore();
        },
        { code: "DEVICE_GONE" },
      );
      device.reset();
      device.restore();
      assert.equal(word(memory), 0x1234);
    }
  });

  it("may be mapped while nobody is there, and closed", () => {
    bench.native.inject(NVME0, { on: "now", effect: "vanish" });
    const late = bench.keep(device.region(CMB).map(0, 4096));
    const never = device.region(CMB).map(4096, 4096);
    assert.equal(look(late), ONES);
    never.close();
    device.reset();
    device.restore();
    assert.equal(word(late), 0x1234);
  });

  it("takes no doorbells while it is gone", () => {
    const nvme = bench.nvme(NVME0).enable();
    const queue = nvme.createPair(nvme.queue(1, 8));
    bench.native.inject(NVME0, { on: "now", effect: "vanish" });
    queue.push({ opcode: 0, nsid: 1 });
    queue.ring();
    const config = device.region(CONFIG_REGION);
    config.write16(PCI_COMMAND, config.read16(PCI_COMMAND) | 2);
    device.restore();
    nvme.identify(1);
    assert.equal(queue.poll(), null, "that ring was lost");
    queue.ring();
    assert.equal(queue.wait().status, 0);
  });

  describe("that is pulled out", () => {
    beforeEach(() => {
      bench.native.inject(NVME0, { on: "now", effect: "remove" });
    });

    it("shows ones for good, also when another one is in its place", () => {
      const never = bench.keep(device.region(CMB).map(4096, 4096));
      assert.equal(look(memory), ONES);
      assert.throws(
        () => {
          device.restore();
        },
        { code: "DEVICE_GONE", device: NVME0 },
      );
      device.close();
      bench.native.replug(NVME0);
      const next = bench.space.openDevice(NVME0);
      const nextMemory = bench.keep(next.region(CMB).map(0, 4096));
      next.restore();
      assert.deepEqual([look(memory), look(never)], [ONES, ONES]);
      assert.equal(word(nextMemory), 0, "it was without power");
      next.close();
    });

    it("cannot be plugged in again while it is open, nor twice", () => {
      const replug = () => {
        bench.native.replug(NVME0);
      };
      assert.throws(replug, { code: "IN_USE", device: NVME0 });
      device.close();
      replug();
      assert.throws(replug, { code: "UNKNOWN_DEVICE" });
    });
  });

  it("is another's once the device was pulled out and plugged in again; its media are the same", () => {
    bench.close();
    bench = new Bench(machineWith({ namespaces: SMALL, pmr: { size: MIB, file: null } }));
    let nvme = bench.nvme(NVME0).enable();
    const data = bench.host(4096);
    data.bytes.fill(0x5a);
    const command = { nsid: 1, prp1: data.iova, dwords: blocks(0, 8) };
    nvme.createPair(nvme.queue(1, 8)).run({ ...command, opcode: WRITE });
    nvme.bar0.write32(PMRCTL, 1);
    waitFor("PMRSTS.NRDY to clear", () => nvme.bar0.read32(PMRSTS) === 0);
    nvme.device.region(PMR).write32(64, 0x77);
    bench.native.inject(NVME0, { on: "now", effect: "remove" });
    nvme.device.close();
    bench.forget(NVME0);
    bench.native.replug(NVME0);
    assert.ok(bench.native.functions().some((fn) => fn.address === NVME0));
    nvme = bench.nvme(NVME0).enable();
    data.bytes.fill(0);
    nvme.createPair(nvme.queue(1, 8)).run({ ...command, opcode: READ });
    assert.ok(data.bytes.every((byte) => byte === 0x5a));
    nvme.bar0.write32(PMRCTL, 1);
    waitFor("PMRSTS.NRDY to clear", () => nvme.bar0.read32(PMRSTS) === 0);
    assert.equal(nvme.device.region(PMR).read32(64), 0x77);
  });
});

describe("events of a loopback device", () => {
  let bench: Bench;

  beforeEach(() => {
    bench = new Bench();
  });
  afterEach(() => {
    bench.close();
  });

  it("have handlers, which may be replaced and taken away, until it is closed", () => {
    const device = bench.device(CARD);
    const never = (): void => {
      assert.fail("nothing befalls this device");
    };
    for (const handler of [never, never, null, null, never]) {
      device.onError(handler);
      device.onRequest(handler);
    }
    device.close();
    for (const set of ["onError", "onRequest"] as const)
      assert.throws(
        () => {
          device[set](null);
        },
        { code: "CLOSED" },
      );
  });

  for (const [effect, set] of [
    ["error", "onError"],
    ["request", "onRequest"],
    ["remove", "onRequest"],
  ] as const)
    for (const address of [CARD, NVME1])
      it(`tell whoever listens of ${effect}, of ${address}`, async () => {
        const device = bench.device(address);
        await new Promise<void>((resolve) => {
          device[set](resolve);
          bench.native.inject(address, { on: "now", effect });
        });
      });
});

describe("the loopback persistent memory region, while it is disabled", () => {
  let bench: Bench;
  let device: NativeDevice;
  let pmr: HostMemory;

  const set = (on: boolean) => {
    device.region(0).write32(PMRCTL, on ? 1 : 0);
    const wanted = on ? 0 : 1 << 8;
    waitFor("PMRSTS.NRDY", () => device.region(0).read32(PMRSTS) === wanted);
  };

  beforeEach(() => {
    bench = new Bench(machineWith({ pmr: { size: 2 * MIB, file: null }, namespaces: SMALL }));
    device = bench.device(NVME0);
    pmr = bench.peer(NVME0, PMR);
    set(true);
    pmr.bytes.fill(0x3c);
    set(false);
  });
  afterEach(() => {
    bench.close();
  });

  it("neither shows its contents to the CPU nor takes any, and keeps what it had", () => {
    const region = device.region(PMR);
    assert.notEqual(word(pmr.memory), 0x3c3c_3c3c);
    assert.notEqual(region.read32(0), 0x3c3c_3c3c);
    assert.equal(pmr.memory.isGone, false, "the device is there");
    pmr.words[1] = 5;
    region.write32(8, 5);
    set(true);
    assert.deepEqual([...pmr.words.subarray(0, 3)], Array(3).fill(0x3c3c_3c3c));
    assert.equal(region.read32(4), 0x3c3c_3c3c);
  });

  for (const route of ["by way of the IOMMU", "straight below the switch"] as const)
    it(`answers peers with ones and drops what they write, ${route}`, () => {
      const direct = route !== "by way of the IOMMU";
      const address = direct ? pmr.iova : 0x5_0000_0000;
      if (!direct)
        bench.space.map(pmr.memory, 0, MIB, BigInt(address), { read: true, write: true });
      const nvme = bench.nvme(NVME1).enable();
      const queue = nvme.createPair(nvme.queue(1, 8));
      const data = bench.host(4096);
      const run = (opcode: number, prp1: number, lba: number) => {
        assert.equal(queue.run({ opcode, nsid: 1, prp1, dwords: blocks(lba, 8) }).status, 0);
      };
      run(WRITE, address, 0);
      run(READ, data.iova, 0);
      assert.ok(data.bytes.every((byte) => byte === 0xff));
      run(READ, address, 8); // zeros, to nowhere
      assert.deepEqual(bench.space.takeFaults(), []);
      set(true);
      assert.ok(pmr.bytes.every((byte) => byte === 0x3c));
      run(WRITE, address, 0);
      run(READ, data.iova, 0);
      assert.ok(data.bytes.every((byte) => byte === 0x3c));
    });

  it("is so after a reset of the function, which keeps its contents", () => {
    set(true);
    device.reset();
    assert.notEqual(word(pmr.memory), 0x3c3c_3c3c);
    set(true);
    assert.equal(word(pmr.memory), 0x3c3c_3c3c);
  });

  it("shows its contents again in memory that had vanished meanwhile", () => {
    set(true);
    bench.native.inject(NVME0, { on: "now", effect: "vanish" });
    assert.equal(look(pmr.memory), ONES);
    device.reset();
    device.restore();
    assert.equal(pmr.memory.isGone, false);
    assert.notEqual(word(pmr.memory), 0x3c3c_3c3c);
    set(true);
    assert.equal(word(pmr.memory), 0x3c3c_3c3c);
  });
});
