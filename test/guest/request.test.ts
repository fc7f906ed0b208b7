/** The kernel takes devices back from a session that uses them. In the lab: it takes its VFIO. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { runCopy } from "#lib/copy/copy.js";
import type { P2pError } from "#lib/errors.js";
import { Session } from "#lib/session.js";
import { load, planOf } from "../device/machine.js";

const { NVME_CMB = "", NVME1 = "", NVME2 = "", CARD = "" } = process.env;
const VFIO_PCI = "/sys/bus/pci/drivers/vfio-pci";

describe("a device that is unbound while a session uses it", () => {
  let session: Session;

  beforeEach(async () => {
    session = await Session.open({ platform: "vfio" });
  });

  afterEach(async () => {
    await session.close();
    for (const address of [NVME1, CARD]) bind(address);
  });

  /** The write to sysfs returns once the kernel has the device. */
  function unbind(address: string): { isWaiting: () => boolean; done: Promise<void> } {
    const child = spawn("sh", ["-c", `echo ${address} > ${VFIO_PCI}/unbind`]);
    const done = once(child, "exit").then((exit) => {
      assert.deepEqual(exit, [0, null]);
      assert.ok(!existsSync(`${VFIO_PCI}/${address}`));
    });
    return { isWaiting: () => child.exitCode === null, done };
  }

  function bind(address: string): void {
    if (!existsSync(`${VFIO_PCI}/${address}`)) writeFileSync("/sys/bus/pci/drivers_probe", address);
    assert.ok(existsSync(`${VFIO_PCI}/${address}`));
  }

  /** The kernel has made its IOMMU group anew, which the container does not know. */
  async function reopen(address: string): Promise<void> {
    await session.close();
    bind(address);
    session = await Session.open({ platform: "vfio" });
  }

  it("is given back, its reads end, a copy between others goes on, and the next session has it", async () => {
    const interrupt = new AbortController();
    const copy = runCopy(
      session,
      planOf(NVME_CMB, NVME2, {
        ...{ size: 1 << 20, bs: 65536, runtime: 3600, signal: interrupt.signal },
      }),
    );
    const interrupted = assert.rejects(copy, { code: "INTERRUPTED" });
    const [namespace] = (await session.controller(NVME1)).namespaces;
    const reads = (async () => {
      for (;;) await load(session, namespace!, 0, 65536);
    })();
    const ended = assert.rejects(reads, { code: "DEVICE_REQUESTED", device: NVME1 });
    await unbind(NVME1).done;
    await ended;
    interrupt.abort();
    await interrupted;
    await assert.rejects(session.controller(NVME1), { code: "NOT_BOUND" });
    await reopen(NVME1);
    await load(session, (await session.controller(NVME1)).namespaces[0]!, 0, 4096);
  });

  it("is given back under a copy that polls it from another thread", async () => {
    let unbound: Promise<void> | null = null;
    const onProgress = (moved: number): void => {
      if (moved > 0) unbound ??= unbind(NVME1).done;
    };
    const plan = planOf(NVME1, NVME2, { size: 1 << 20, bs: 65536, runtime: 3600, onProgress });
    await assert.rejects(runCopy(session, plan), { code: "DEVICE_REQUESTED", device: NVME1 });
    await unbound!;
  });

  it("is given back as a provider, once whoever holds its memory has let go", async () => {
    const provider = await session.provider(CARD);
    const allocation = provider.pool.alloc(4096);
    const told = new Promise<P2pError>((resolve) => {
      allocation.onRevoke(resolve);
    });
    const unbound = unbind(CARD);
    assert.equal((await told).code, "DEVICE_REQUESTED");
    await delay(100);
    assert.ok(unbound.isWaiting(), "the kernel waits");
    provider.pool.free(allocation);
    await unbound.done;
    await reopen(CARD);
    assert.ok((await session.provider(CARD)).isPublished);
  });
});
