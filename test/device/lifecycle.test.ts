import assert from "node:assert/strict";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import { NvmeController } from "#lib/nvme/controller.js";
import { parseBdf } from "#lib/pci/bdf.js";
import type { Session } from "#lib/session.js";
import { devicesOf, load, namespaceOf, openSession, pattern, planOf, store } from "./machine.js";
import type { Devices } from "./machine.js";

const KIB = 1024;

describe("a session", () => {
  let session: Session;
  let devices: Devices;

  beforeEach(async () => {
    session = await openSession();
    devices = devicesOf(session);
  });

  afterEach(() => session.close());

  async function peerPlan(rest: Partial<CopyPlan> = {}): Promise<CopyPlan> {
    const provider = await session.provider(devices.card);
    return planOf(devices.nvme1, devices.nvme2, {
      path: "p2p",
      provider,
      bs: 64 * KIB,
      size: 1024 * KIB,
      iodepth: 16,
      ...rest,
    });
  }

  /** A run without an end, and a promise that it has moved something. */
  function endless(plan: CopyPlan): { run: Promise<unknown>; moving: Promise<void> } {
    let moved = (): void => undefined;
    const moving = new Promise<void>((resolve) => {
      moved = resolve;
    });
    const onProgress = (bytes: number): void => {
      if (bytes > 0) moved();
    };
    return { run: runCopy(session, { ...plan, runtime: 3600, onProgress }), moving };
  }

  it("that is closed during a copy finishes what is in flight, and its devices work again", async () => {
    const { run, moving } = endless(await peerPlan());
    const interrupted = assert.rejects(run, { code: "INTERRUPTED" });
    await moving;
    await session.close();
    await interrupted;

    session = await openSession();
    const plan = await peerPlan();
    await prepareSource(session, plan, "pattern", 5);
    await runCopy(session, plan);
    assert.equal((await verifyDestination(session, plan, "pattern", 5)).mismatches, 0);
  });

  it("goes on after a copy that was interrupted by its signal", async () => {
    const interrupt = new AbortController();
    const plan = await peerPlan({ signal: interrupt.signal });
    const { run, moving } = endless(plan);
    const interrupted = assert.rejects(run, { code: "INTERRUPTED" });
    await moving;
    interrupt.abort();
    await interrupted;
    const { provider } = plan;
    assert.equal(provider!.pool.available, provider!.size, "its peer memory is free again");
    const again = await peerPlan();
    assert.equal((await runCopy(session, again)).bytes, again.size);
  });

  it("fails a copy at once whose device is reset, and its devices work again", async () => {
    const { run, moving } = endless(await peerPlan());
    const failed = assert.rejects(run, { code: "CONTROLLER_RESET", device: devices.nvme2 });
    await moving;
    (await session.controller(devices.nvme2)).device.reset();
    await failed;
    await session.close();

    session = await openSession();
    const again = await peerPlan();
    assert.equal((await runCopy(session, again)).bytes, again.size);
  });

  it("does not begin a copy whose signal was aborted before", async () => {
    const target = await namespaceOf(session, devices.nvme2);
    const untouched = pattern(4096, 8);
    await store(session, target, 0, untouched);
    await assert.rejects(runCopy(session, await peerPlan({ signal: AbortSignal.abort() })), {
      code: "INTERRUPTED",
    });
    assert.deepEqual(await load(session, target, 0, 4096), untouched);
  });

  it("can be closed twice, at once and before anything was opened, and is closed then", async () => {
    await Promise.all([session.close(), session.close()]);
    await session.close();
    await assert.rejects(session.controller(devices.nvme1), { code: "CLOSED" });
  });

  it("that is closed in the middle of reads rejects them once, and lets go", async () => {
    const namespace = await namespaceOf(session, devices.nvme1);
    const reads = Array.from({ length: 20 }, (_, i) => load(session, namespace, i * 4096, 4096));
    const settled = Promise.allSettled(reads);
    await session.close();
    for (const result of await settled)
      if (result.status === "rejected")
        assert.equal((result.reason as { code?: string }).code, "CLOSED");
    session = await openSession();
    await session.controller(devices.nvme1);
  });

  it("opens a device only when it is asked for, and only once", async () => {
    const first = await session.controller(devices.nvme1);
    assert.equal(await session.controller(devices.nvme1), first);
    assert.ok(session.addressSpace.hasDevice(first.address));
    for (const other of session.pci.functions)
      if (other.address !== first.address)
        assert.equal(session.addressSpace.hasDevice(other.address), false);
  });

  it("refuses to open a device that is open", async () => {
    const { address } = await session.controller(devices.nvme1);
    assert.throws(() => session.addressSpace.openDevice(address), { code: "IN_USE" });
  });

  it("fails reads at once after a reset, and opens the controller again with the data it had", async () => {
    const fn = session.pci.get(parseBdf(devices.nvme1));
    const controller = await NvmeController.open(session.addressSpace, fn, { allowWrite: true });
    await store(session, controller.namespaces[0]!, 0, pattern(4096, 9));
    assert.ok(controller.device.resettable);
    controller.device.reset();
    await assert.rejects(load(session, controller.namespaces[0]!, 0, 4096), {
      code: "CONTROLLER_RESET",
    });
    await controller.close();

    const again = await session.controller(devices.nvme1);
    assert.deepEqual(await load(session, again.namespaces[0]!, 0, 4096), pattern(4096, 9));
  });
});
