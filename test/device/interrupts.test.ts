/** Completions by MSI-X, of awaited calls and of queue pairs that their owners look after. */
import assert from "node:assert/strict";
import type { NvmeController } from "#lib/nvme/controller.js";
import { openQueuePair } from "#lib/nvme/queues/queue-pair.js";
import { IoOpcode } from "#lib/nvme/spec.js";
import { Session } from "#lib/session.js";
import { devicesOf, isLab, load, namespaceOf, pattern, store } from "./machine.js";
import type { Devices } from "./machine.js";

describe("interrupts", () => {
  let session: Session;
  let devices: Devices;
  const warnings: string[] = [];
  const onWarning = (warning: Error & { code?: string }): void => {
    warnings.push(warning.code ?? warning.message);
  };

  beforeEach(async () => {
    session = await Session.open({ platform: isLab ? "vfio" : "loopback", interrupts: true });
    devices = devicesOf(session);
    warnings.length = 0;
    process.on("warning", onWarning);
  });

  afterEach(async () => {
    process.off("warning", onWarning);
    await session.close();
  });

  async function copyAndCompare(parts: number): Promise<void> {
    const namespace = await namespaceOf(session, devices.nvme1);
    const data = Array.from({ length: parts }, (_, n) => pattern(4096, n));
    await Promise.all(data.map((part, n) => store(session, namespace, 4096 * n, part)));
    for (const [n, part] of data.entries())
      assert.deepEqual(await load(session, namespace, 4096 * n, 4096), part);
  }

  /** Runs so many flushes one by one, each awaited by nothing but its interrupt. */
  async function run(controller: NvmeController, commands: number): Promise<void> {
    const handle = await controller.createQueuePair({ depth: 8, interrupts: true });
    assert.notEqual(handle.vector, null);
    const queue = openQueuePair(handle);
    let told = (): void => undefined;
    controller.onQueueInterrupt(handle.qid, () => {
      told();
    });
    for (let n = 0; n < commands; n++) {
      const interrupt = new Promise<void>((resolve) => (told = resolve));
      queue.submit(IoOpcode.FLUSH, 1, 0, 1, 0, 0, 0, 0, n);
      queue.ring();
      await interrupt;
      assert.deepEqual([queue.next(), queue.status], [n, 0]);
      queue.acknowledge();
    }
    controller.onQueueInterrupt(handle.qid, null);
    queue.close();
    await controller.deleteQueuePair(handle.qid);
  }

  it("tell awaited calls of their completions, of many at a time and of single ones", async () => {
    await copyAndCompare(100);
    assert.deepEqual(warnings, []);
  });

  it("drive a queue pair of somebody's own, and another that takes its identifier", async () => {
    const controller = await session.controller(devices.nvme1);
    await run(controller, 50);
    await run(controller, 50);
    await Promise.all([run(controller, 20), run(controller, 20), run(controller, 20)]);
  });

  it("are not lost while other queues switch on vectors of their own", async () => {
    const controller = await session.controller(devices.nvme1);
    const running = run(controller, 40);
    const others: number[] = [];
    while (others.length < 6 && controller.freeQueuePairs > 0)
      others.push((await controller.createQueuePair({ depth: 2, interrupts: true })).qid);
    await running;
    for (const qid of others) await controller.deleteQueuePair(qid);
  });

  it("come from queues that were asked for them, and from no others", async () => {
    const controller = await session.controller(devices.nvme1);
    const { qid, vector } = await controller.createQueuePair({ depth: 8 });
    assert.equal(vector, null);
    assert.throws(() => controller.onQueueInterrupt(qid, () => undefined), { code: "UNSUPPORTED" });
    controller.onQueueInterrupt(qid, null);
  });

  it("come again after a reset of the controller", async () => {
    await copyAndCompare(4);
    const controller = await session.controller(devices.nvme1);
    await controller.reset();
    await copyAndCompare(20);
    await run(controller, 20);
    assert.deepEqual(warnings, []);
  });

  it("leave reads in flight to end once when the session is closed, and its process to end", async () => {
    const namespace = await namespaceOf(session, devices.nvme1);
    const reads = Array.from({ length: 50 }, () =>
      load(session, namespace, 0, 4096).then(
        () => "ok",
        (error: unknown) => (error as { code: string }).code,
      ),
    );
    await load(session, namespace, 0, 4096);
    await session.close();
    for (const code of await Promise.all(reads)) assert.match(code, /^(ok|CLOSED)$/);
  });
});
