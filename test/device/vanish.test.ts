/** Devices that vanish under a running process, under VFIO as on the loopback machine. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import {
  addon,
  CONFIG_REGION,
  type NativeAddressSpace,
  type NativeDevice,
  type NativeMemory,
  type NativeRegion,
} from "#lib/addon.js";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { barMemory } from "#lib/p2pmem/provider-memory.js";
import { wholeRange } from "#lib/p2pmem/provider-range.js";
import { Provider } from "#lib/p2pmem/provider.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "#lib/pci/spec.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import { VfioPlatform } from "#lib/platform/vfio.js";
import type { Platform } from "#lib/platform.js";
import type { Session } from "#lib/session.js";
import * as loopback from "../support/raw-nvme.js";
import { devicesOf, isLab, openSession, pattern, planOf, type Devices } from "./machine.js";

const { CARD, NVME1 } = isLab ? (process.env as { CARD: string; NVME1: string }) : loopback;
const ADDON = new URL("../../dist/addon.js", import.meta.url).href;
const MIB = 2 ** 20;
const ONES = 0xffff_ffff;
/** NVMe 1.4 §3.1.2: no controller has a version of all ones, or of zero. */
const NVME_VERSION = 0x08;
const CARD_MEMORY = 2;
/** Its registers are smaller than a page, so VFIO does not map them. */
const CARD_REGISTERS = 0;

function setMemoryDecode(device: NativeDevice, on: boolean): void {
  const config = device.region(CONFIG_REGION);
  const rest = config.read16(PCI_COMMAND) & ~PCI_COMMAND_MEMORY;
  config.write16(PCI_COMMAND, on ? rest | PCI_COMMAND_MEMORY : rest);
}

function word(memory: NativeMemory, offset: number): number {
  return new DataView(memory.buffer).getUint32(offset, true);
}

describe("a BAR whose device decodes memory no more", () => {
  let platform: Platform;
  let space: NativeAddressSpace;
  let card: NativeDevice;
  let nvme: NativeDevice;
  let memory: NativeMemory;
  let host: NativeMemory;
  const bytes = pattern(4 * MIB, 17);

  beforeEach(() => {
    platform = isLab ? new VfioPlatform() : new LoopbackPlatform(builtinMachines.default);
    space = platform.openAddressSpace();
    card = space.openDevice(CARD);
    nvme = space.openDevice(NVME1);
    memory = card.region(CARD_MEMORY).map(0, bytes.length);
    host = addon().allocatePinned(bytes.length, false);
    new Uint8Array(host.buffer).set(bytes);
    addon().copy(memory, 0, host, 0, bytes.length);
  });

  afterEach(() => {
    setMemoryDecode(card, true);
    for (const resource of [memory, host, card, nvme, space, platform]) resource.close();
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
    try {
      const ended = Promise.all(workers.map((worker) => once(worker, "exit")));
      await Promise.all(workers.map((worker) => once(worker, "message")));
      const waitForAll = (change: number): void => {
        for (const thread of [0, 1])
          // Looked at again: a thread's notice of the change before may come as late as this.
          while (Atomics.load(seen, thread) < change) Atomics.wait(seen, thread, change - 1);
      };
      for (let round = 0; round < ROUNDS; round++) {
        setMemoryDecode(card, false);
        waitForAll(2 * round + 1);
        setMemoryDecode(card, true);
        card.restore();
        waitForAll(2 * round + 2);
      }
      assert.deepEqual(await ended, [[0], [0]]);
    } finally {
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
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
    const { offset } = nvme.region(0).mappable[0]!;
    const view = nvme.region(0).map(offset, 4096);
    const first = addon().read32(view, 0);
    setMemoryDecode(card, false);
    assert.equal(word(memory, 0), ONES);
    assert.equal(nvme.region(0).read32(NVME_VERSION), version);
    assert.notEqual(version, ONES);
    assert.equal(addon().read32(view, 0), first);
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

describe("a copy whose device vanishes", () => {
  let session: Session;
  let devices: Devices;

  beforeEach(async () => {
    session = await openSession();
    devices = devicesOf(session);
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
    const plan = planOf(devices.nvme1, devices.nvme2, {
      size: MIB,
      bs: 65536,
      runtime: 3600,
      ...rest,
      onProgress,
    });
    try {
      await assert.rejects(runCopy(session, plan), { code: "DEVICE_GONE" });
    } finally {
      setMemoryDecode(device, true);
    }
  }

  for (const path of ["p2p", "cpu"] as const)
    it(`as the provider, on the path ${path}, fails with DEVICE_GONE`, async () => {
      const device = session.addressSpace.openDevice(parseBdf(devices.card));
      const range = wholeRange("bar2", { bar: 2, offset: 0, size: 64 * MIB });
      const fn = session.pci.get(parseBdf(devices.card));
      // Nobody watches the card: the copy finds out by itself.
      const nothing = (): void => undefined;
      const owner = { assertAlive: nothing, barrier: nothing, withdraw: nothing, closed: nothing };
      const bytes = barMemory(device, fn, range);
      const provider = new Provider(session.addressSpace, fn, range, bytes, owner);
      try {
        await assertGone(device, { path, provider });
        // The controllers were not concerned: the same session goes on.
        await runCopy(session, planOf(devices.nvme1, devices.nvme2, { size: MIB, bs: 65536 }));
      } finally {
        await provider.close();
        device.close();
      }
    });

  it("as the source fails with DEVICE_GONE", async () => {
    const { device } = await session.controller(devices.nvme1);
    await assertGone(device, { path: "host" });
  });
});
