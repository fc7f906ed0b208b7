/** Devices that vanish under a running process. Inside the lab only: it takes the kernel's VFIO. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, realpathSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import {
  addon,
  type NativeAddressSpace,
  type NativeDevice,
  type NativeMemory,
  type NativeRegion,
} from "#lib/addon.js";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { wholeRange } from "#lib/p2pmem/provider-range.js";
import { Provider } from "#lib/p2pmem/provider.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "#lib/pci/spec.js";
import { Session } from "#lib/session.js";
import { pattern, planOf } from "../device/machine.js";

const { NVME1 = "", NVME2 = "", CARD = "" } = process.env;
const LIBRARY = fileURLToPath(new URL("../../build/Release/p2pmem.node", import.meta.url));
const ADDON = new URL("../../dist/addon.js", import.meta.url).href;
const DRIVERS = "/sys/bus/pci/drivers";

const MIB = 2 ** 20;
const ONES = 0xffff_ffff;
const CONFIG = 7;
/** NVMe 1.4 §3.1.2: no controller has a version of all ones, or of zero. */
const NVME_VERSION = 0x08;
const CARD_MEMORY = 2;
/** Its registers are smaller than a page, so VFIO does not map them. */
const CARD_REGISTERS = 0;

function setMemoryDecode(device: NativeDevice, on: boolean): void {
  const config = device.region(CONFIG);
  const rest = config.read16(PCI_COMMAND) & ~PCI_COMMAND_MEMORY;
  config.write16(PCI_COMMAND, on ? rest | PCI_COMMAND_MEMORY : rest);
}

function word(memory: NativeMemory, offset: number): number {
  return new DataView(memory.buffer).getUint32(offset, true);
}

describe("a BAR whose device decodes memory no more", () => {
  let space: NativeAddressSpace;
  let card: NativeDevice;
  let nvme: NativeDevice;
  let memory: NativeMemory;
  let host: NativeMemory;
  const bytes = pattern(4 * MIB, 17);

  beforeEach(() => {
    space = addon().openVfioAddressSpace();
    card = space.openDevice(CARD);
    nvme = space.openDevice(NVME1);
    memory = card.region(CARD_MEMORY).map(0, bytes.length);
    host = addon().allocatePinned(bytes.length, false);
    new Uint8Array(host.buffer).set(bytes);
    addon().copy(memory, 0, host, 0, bytes.length);
  });

  afterEach(() => {
    setMemoryDecode(card, true);
    for (const resource of [memory, host, card, nvme, space]) resource.close();
  });

  it("reads as ones in every part and drops what is written, and the process lives", () => {
    setMemoryDecode(card, false);
    assert.equal(memory.isGone, false, "nobody has looked yet");
    for (const at of [0, 4096, 3 * MIB, 4 * MIB - 4]) assert.equal(word(memory, at), ONES);
    assert.equal(memory.isGone, true);
    new Int32Array(memory.buffer)[1] = 1;
    setMemoryDecode(card, true);
    card.restore();
    assert.equal(word(memory, 4), new DataView(bytes.buffer).getUint32(4, true));
  });

  it("shows ones until restore(), then the device again, in views that were there before", () => {
    const view = new Uint8Array(memory.buffer);
    setMemoryDecode(card, false);
    assert.equal(view[0], 0xff);
    setMemoryDecode(card, true);
    assert.equal(view[0], 0xff);
    card.restore();
    assert.equal(memory.isGone, false);
    assert.deepEqual(Buffer.from(view), Buffer.from(bytes));
    card.restore(); // changes nothing
    assert.equal(addon().compare(memory, 0, host, 0, bytes.length), -1);
  });

  it("is not restored while the device is still away", () => {
    setMemoryDecode(card, false);
    assert.equal(word(memory, 0), ONES);
    assert.throws(
      () => {
        card.restore();
      },
      { code: "DEVICE_GONE", device: CARD },
    );
    assert.equal(memory.isGone, true);
    assert.equal(word(memory, 0), ONES);
  });

  it("vanishes and comes back for threads that read it without a pause", async () => {
    const ROUNDS = 20;
    const first = word(memory, 0);
    // By thread: how often it has seen the other value come, ones and the device's in turn.
    const seen = new Int32Array(new SharedArrayBuffer(8));
    const code = `
      import { parentPort, workerData } from "node:worker_threads";
      const { addon } = await import(${JSON.stringify(ADDON)});
      const { id, seen, thread, values, changes } = workerData;
      const memory = addon().openMemory(id);
      const words = new Uint32Array(memory.buffer);
      parentPort.postMessage("reading");
      for (let change = 1; change <= changes; change++) {
        // Atomics, or the optimiser may read once for the whole loop.
        while (Atomics.load(words, 0) !== values[change % 2]);
        Atomics.store(seen, thread, change);
        Atomics.notify(seen, thread);
      }
      memory.close();`;
    const url = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
    const workers = [0, 1].map((thread) => {
      const values = [first, ONES];
      const workerData = { id: memory.id, seen, thread, values, changes: 2 * ROUNDS };
      return new Worker(url, { workerData });
    });
    const ended = Promise.all(workers.map((worker) => once(worker, "exit")));
    await Promise.all(workers.map((worker) => once(worker, "message")));
    const waitForAll = (change: number): void => {
      for (const thread of [0, 1]) Atomics.wait(seen, thread, change - 1);
    };
    for (let round = 0; round < ROUNDS; round++) {
      setMemoryDecode(card, false);
      waitForAll(2 * round + 1);
      setMemoryDecode(card, true);
      card.restore();
      waitForAll(2 * round + 2);
    }
    assert.deepEqual(await ended, [[0], [0]]);
  });

  it("ends CPU copies, compares and flushes with DEVICE_GONE", () => {
    setMemoryDecode(card, false);
    const gone = { code: "DEVICE_GONE", device: CARD };
    const size = bytes.length;
    const uses = [
      () => addon().read32(memory, 0),
      () => {
        addon().copy(host, 0, memory, 0, size);
      },
      () => {
        addon().copy(memory, 0, host, 0, size);
      },
      () => addon().compare(memory, 0, host, 0, size),
    ];
    for (const use of uses) {
      // Each the first to find the device gone.
      setMemoryDecode(card, true);
      card.restore();
      setMemoryDecode(card, false);
      assert.equal(memory.isGone, false);
      assert.throws(use, gone);
      assert.throws(use, gone);
    }
  });

  it("is mapped for no device, neither as ones nor before anyone has looked", () => {
    setMemoryDecode(card, false);
    const map = (): void => {
      space.map(memory, 0, memory.size, 0n, { read: true, write: true });
    };
    assert.throws(map, { code: "DEVICE_GONE", errno: 14 });
    assert.equal(word(memory, 0), ONES);
    assert.throws(map, { code: "DEVICE_GONE", device: CARD });
  });

  it("reads as ones by register accesses too, mapped or by system calls", () => {
    const answers = (region: NativeRegion, offset: number): unknown[] => [
      region.read8(offset),
      region.read16(offset),
      region.read32(offset),
    ];
    for (const region of [card.region(CARD_MEMORY), card.region(CARD_REGISTERS)]) {
      const before = answers(region, 0);
      setMemoryDecode(card, false);
      assert.deepEqual(answers(region, 0), [0xff, 0xffff, ONES]);
      region.write32(0, 5);
      assert.equal(region.read32(0), ONES);
      setMemoryDecode(card, true);
      card.restore();
      assert.deepEqual(answers(region, 0), before);
    }
  });

  it("leaves other devices alone", () => {
    const version = nvme.region(0).read32(NVME_VERSION);
    const view = nvme.region(0).map(0, 4096);
    setMemoryDecode(card, false);
    assert.equal(word(memory, 0), ONES);
    assert.equal(nvme.region(0).read32(NVME_VERSION), version);
    assert.notEqual(version, ONES);
    assert.equal(addon().read32(view, NVME_VERSION), version);
    assert.equal(view.isGone, false);
    view.close();
  });

  it("may be closed while it is gone, and its addresses used for something else", () => {
    setMemoryDecode(card, false);
    const { size } = memory;
    assert.equal(word(memory, 0), ONES);
    memory.close();
    const next = addon().allocatePinned(size, false);
    assert.ok(new Uint8Array(next.buffer).every((byte) => byte === 0));
    next.close();
    memory = addon().allocatePinned(4096, false); // for afterEach
  });
});

describe("SIGBUS that is not a BAR's", () => {
  /** A process that has mapped a BAR, hence has the handler, and then does `then`. */
  function run(then: string, before = ""): { signal: string | null; stdout: string } {
    const script = `
      import { copyFileSync, truncateSync } from "node:fs";
      const { addon } = await import(${JSON.stringify(ADDON)});
      ${before}
      const space = addon().openVfioAddressSpace();
      const memory = space.openDevice(${JSON.stringify(CARD)}).region(2).map(0, 4096);
      ${then}`;
    const args = ["--input-type=module", "--eval", script];
    const { signal, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
    return { signal, stdout };
  }

  it("by an access ends the process as ever", () => {
    // A library whose file becomes shorter while it is used.
    const { signal, stdout } = run(`
      const copy = "/tmp/truncated.node";
      copyFileSync(${JSON.stringify(LIBRARY)}, copy);
      const library = { exports: {} };
      process.dlopen(library, copy);
      console.log(typeof library.exports.threadCpuTime());
      truncateSync(copy, 0);
      library.exports.threadCpuTime();
      console.log("alive");`);
    assert.deepEqual([signal, stdout], ["SIGBUS", "object\n"]);
  });

  it("sent by a process ends this one as ever", () => {
    const { signal } = run(`process.kill(process.pid, "SIGBUS"); setInterval(() => {}, 1000);`);
    assert.equal(signal, "SIGBUS");
  });

  it("goes to a handler that was there before", () => {
    const { signal, stdout } = run(
      `process.kill(process.pid, "SIGBUS"); setInterval(() => {}, 1000);`,
      `process.on("SIGBUS", () => { console.log("handled"); process.exit(0); });`,
    );
    assert.deepEqual([signal, stdout], [null, "handled\n"]);
  });
});

describe("a copy whose device vanishes", () => {
  let session: Session;

  beforeEach(async () => {
    session = await Session.open({ platform: "vfio" });
  });

  afterEach(() => session.close());

  /** Copies without end until `device` has gone, which it does once something has moved. */
  async function assertGone(device: NativeDevice, rest: Partial<CopyPlan>): Promise<void> {
    let isOff = false;
    const onProgress = (moved: number): void => {
      if (moved === 0 || isOff) return;
      isOff = true;
      setMemoryDecode(device, false);
    };
    const plan = planOf(NVME1, NVME2, { size: MIB, bs: 65536, runtime: 3600, ...rest, onProgress });
    try {
      await assert.rejects(runCopy(session, plan), { code: "DEVICE_GONE" });
    } finally {
      setMemoryDecode(device, true);
    }
  }

  for (const path of ["p2p", "cpu"] as const)
    it(`as the provider, on the path ${path}, fails with DEVICE_GONE`, async () => {
      const device = session.addressSpace.openDevice(parseBdf(CARD));
      const range = wholeRange("bar2", { bar: 2, offset: 0, size: 64 * MIB });
      const fn = session.pci.get(parseBdf(CARD));
      // Nobody watches the card: the copy finds out by itself.
      const nothing = (): void => undefined;
      const owner = { assertAlive: nothing, barrier: nothing, withdraw: nothing, closed: nothing };
      const provider = new Provider(session.addressSpace, device, fn, range, owner);
      try {
        await assertGone(device, { path, provider });
        // The controllers were not concerned: the same session goes on.
        await runCopy(session, planOf(NVME1, NVME2, { size: MIB, bs: 65536 }));
      } finally {
        await provider.close();
        device.close();
      }
    });

  it("as the source fails with DEVICE_GONE", async () => {
    const { device } = await session.controller(NVME1);
    await assertGone(device, { path: "host" });
  });
});

describe("what the kernel tells of a device", () => {
  it("asks for it back when it is unbound, and gets it once everything is closed", async () => {
    const space = addon().openVfioAddressSpace();
    const device = space.openDevice(CARD);
    const memory = device.region(CARD_MEMORY).map(0, MIB);
    const requested = new Promise<void>((resolve) => {
      device.onRequest(resolve);
    });
    const child = spawn("sh", ["-c", `echo ${CARD} > ${DRIVERS}/vfio-pci/unbind`]);
    const unbound = once(child, "exit");
    await requested;
    assert.equal(child.exitCode, null, "the kernel waits for us");
    for (const resource of [memory, device, space]) resource.close();
    assert.deepEqual(await unbound, [0, null]);
    assert.ok(!existsSync(`${DRIVERS}/vfio-pci/${CARD}`));
    writeFileSync("/sys/bus/pci/drivers_probe", CARD);
    assert.ok(existsSync(`${DRIVERS}/vfio-pci/${CARD}`));
  });

  it("announces an uncorrectable error on the device's link", async function () {
    // Not every kernel has the module.
    if (spawnSync("/sbin/modprobe", ["aer_inject"]).status !== 0) this.skip();
    const space = addon().openVfioAddressSpace();
    const device = space.openDevice(NVME1);
    device.onError(() => {
      assert.fail("this handler was replaced");
    });
    const announced = new Promise<void>((resolve) => {
      device.onError(resolve);
    });
    const alive = setInterval(() => undefined, 1000); // a handler alone does not keep the process
    injectCompletionTimeout(portAbove(NVME1));
    await announced;
    clearInterval(alive);
    device.close();
    assert.throws(
      () => {
        device.onError(null);
      },
      { code: "CLOSED" },
    );
    space.close();
  });
});

/** The bridge that a device hangs from. */
function portAbove(address: string): string {
  return basename(dirname(realpathSync(`/sys/bus/pci/devices/${address}`)));
}

/** struct aer_error_inj of drivers/pci/pcie/aer_inject.c; the error: PCIe 6.0 §7.8.4.2, bit 14. */
function injectCompletionTimeout(address: string): void {
  const [domain = 0, bus = 0, device = 0, fn = 0] = address
    .split(/[:.]/)
    .map((text) => parseInt(text, 16));
  const error = new DataView(new ArrayBuffer(32));
  for (const [at, value] of [bus, device, fn].entries()) error.setUint8(at, value);
  error.setUint32(4, 1 << 14, true);
  error.setUint32(28, domain, true);
  writeFileSync("/dev/aer_inject", error);
}
