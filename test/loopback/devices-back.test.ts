/** What a session does when the kernel wants a device back, or reports an error of it. */
import assert from "node:assert/strict";
import { runCopy } from "#lib/copy/copy.js";
import { P2pError } from "#lib/errors.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { Session } from "#lib/session.js";
import { load, planOf } from "../device/machine.js";
import { FaultyMachine } from "../support/faulty-machine.js";
import { CARD, NVME0, NVME1, NVME2 } from "../support/raw-nvme.js";

describe("a session whose device the kernel wants back", () => {
  let machine: FaultyMachine;
  let session: Session;

  beforeEach(() => {
    machine = new FaultyMachine();
    const chosen = { platform: machine, pci: new PciTree(machine.topology()), reason: "a test" };
    session = Reflect.construct(Session, [chosen, {}]) as Session;
  });

  afterEach(() => session.close());

  const isOpen = (address: string): boolean => session.addressSpace.hasDevice(parseBdf(address));

  async function closed(address: string): Promise<void> {
    while (isOpen(address)) await new Promise(setImmediate);
  }

  /** Copies without end, and calls `event` once something has moved. */
  function copying(via: string | null, event: () => void): Promise<unknown> {
    let isDone = false;
    const onProgress = (moved: number): void => {
      if (moved === 0 || isDone) return;
      isDone = true;
      event();
    };
    const run = async () => {
      const provider = via === null ? null : await session.provider(via);
      const path = provider === null ? "host" : "p2p";
      const rest = { path, provider, size: 1 << 20, bs: 65536, runtime: 3600, onProgress } as const;
      await runCopy(session, planOf(NVME1, NVME2, rest));
    };
    return run();
  }

  it("ends what is in flight there, closes it, goes on with the others, and may open it again", async () => {
    const { namespaces } = await session.controller(NVME1);
    const other = (await session.controller(NVME2)).namespaces[0]!;
    machine.inject(NVME1, { on: "read", effect: "hang", count: 3 });
    const reads = [1, 2, 3].map((n) => load(session, namespaces[0]!, n * 4096, 4096));
    const ended = Promise.allSettled(reads);
    machine.request(NVME1);
    machine.request(NVME1); // it asks again and again
    for (const result of await ended)
      assert.equal(((result as PromiseRejectedResult).reason as P2pError).code, "DEVICE_REQUESTED");
    await closed(NVME1);
    await assert.rejects(namespaces[0]!.flush(), { code: "DEVICE_REQUESTED" });
    await load(session, other, 0, 4096);
    assert.ok(isOpen(NVME2));
    machine.clearFaults(NVME1);
    await load(session, (await session.controller(NVME1)).namespaces[0]!, 0, 4096);
  });

  it("owns nothing that it could not give back, but goes on where the kernel never asks", async () => {
    machine.refusal = new P2pError("IO", "a test");
    await assert.rejects(session.controller(NVME1), { code: "IO" });
    await assert.rejects(session.provider(CARD), { code: "IO" });
    assert.deepEqual([isOpen(NVME1), isOpen(CARD)], [false, false]);
    machine.refusal = new P2pError("UNSUPPORTED", "a test");
    await session.controller(NVME1);
    await session.provider(CARD);
  });

  it("ends a copy from it, and closes it after the copy", async () => {
    await assert.rejects(
      copying(null, () => {
        machine.request(NVME1);
      }),
      { code: "DEVICE_REQUESTED", device: NVME1 },
    );
    await closed(NVME1);
    assert.ok(isOpen(NVME2));
  });

  it("ends a copy through its memory, drained, and closes it after the copy", async () => {
    await assert.rejects(
      copying(CARD, () => {
        machine.request(CARD);
      }),
      { code: "REVOKED" },
    );
    await closed(CARD);
    for (const nvme of [NVME1, NVME2]) (await session.controller(nvme)).assertAlive();
    assert.ok((await session.provider(CARD)).isPublished, "it may come back");
  });

  for (const device of [CARD, NVME0])
    it(`keeps memory of ${device} until its holder has let go of it`, async () => {
      const provider = await session.provider(device);
      const allocation = provider.pool.alloc(4096);
      const told = new Promise<P2pError>((resolve) => {
        allocation.onRevoke(resolve);
      });
      machine.request(device);
      assert.equal((await told).code, "DEVICE_REQUESTED");
      assert.throws(() => provider.pool.alloc(4096), { code: "REVOKED" });
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      assert.ok(isOpen(device));
      provider.pool.free(allocation);
      await closed(device);
    });

  it("can be closed while a holder does not let go", async () => {
    const provider = await session.provider(CARD);
    provider.pool.alloc(4096);
    machine.request(CARD);
    await session.close();
  });

  it("revokes the memory of a device that has an error, and of one that is reset", async () => {
    const card = await session.provider(CARD);
    const cmb = await session.provider(NVME0);
    const allocation = cmb.pool.alloc(4096);
    machine.err(CARD);
    assert.throws(
      () => {
        card.assertUsable();
      },
      { code: "REVOKED", message: /uncorrectable error/ },
    );
    const controller = await session.controller(NVME0);
    await controller.reset();
    assert.throws(
      () => {
        cmb.assertUsable();
      },
      { code: "REVOKED", message: /it was reset/ },
    );
    cmb.pool.free(allocation);
    await cmb.close();
    const again = await session.provider(NVME0);
    const plan = planOf(NVME1, NVME2, { path: "p2p", provider: again, size: 1 << 20, bs: 65536 });
    await runCopy(session, plan);
  });
});

describe("the timeout of a session", () => {
  it("is given in seconds, and is the controllers'", async () => {
    for (const timeout of [0, -1, NaN, Infinity])
      await assert.rejects(Session.open({ platform: "loopback", timeout }), {
        code: "BAD_ARGUMENT",
      });
    const session = await Session.open({ platform: "loopback", timeout: 2.5 });
    assert.equal((await session.controller(NVME1)).timeout, 2500);
    await session.close();
    const other = await Session.open({ platform: "loopback" });
    assert.equal((await other.controller(NVME1)).timeout, 30_000);
    await other.close();
  });
});
