import assert from "node:assert/strict";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { Session } from "#lib/session.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import {
  devicesOf,
  isLab,
  load,
  namespaceOf,
  openSession,
  pattern,
  planOf,
  store,
  withVector,
} from "./machine.js";
import type { Devices } from "./machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;

describe("a controller with several namespaces", () => {
  let session: Session;
  let devices: Devices;
  let first: NvmeNamespace;
  let second: NvmeNamespace;

  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
    first = await namespaceOf(session, devices.nvme1, 1);
    second = await namespaceOf(session, devices.nvme1, 2);
  });

  after(() => session.close());

  it("has each with its own format", () => {
    assert.deepEqual([first.blockSize, second.blockSize], [512, 4096]);
    assert.deepEqual([first.metadataSize, second.metadataSize], [0, 0]);
    assert.equal(second.size, second.blocks * 4096);
  });

  it("keeps apart what is written at the same place of both", async () => {
    const [one, two] = [pattern(64 * KIB, 1), pattern(64 * KIB, 2)];
    await Promise.all([store(session, first, MIB, one), store(session, second, MIB, two)]);
    assert.deepEqual(await load(session, first, MIB, one.length), one);
    assert.deepEqual(await load(session, second, MIB, two.length), two);
  });

  for (const [length, title] of [
    [4 * KIB, "of one block"],
    [12 * KIB, "of three blocks"],
    [4 * MIB, "beyond the largest transfer"],
  ] as const)
    it(`moves ${title} of 4096 bytes, and no byte more`, async () => {
      const around = pattern(length + 8 * KIB, 3);
      await store(session, second, 2 * MIB, around);
      const bytes = pattern(length, 4);
      await store(session, second, 2 * MIB + 4 * KIB, bytes);
      around.set(bytes, 4 * KIB);
      assert.deepEqual(await load(session, second, 2 * MIB, around.length), around);
    });

  it("compares and refuses by the block's size", async () => {
    const bytes = pattern(8 * KIB, 5);
    await store(session, second, 0, bytes);
    const buffer = session.addressSpace.allocate(bytes.length);
    new Uint8Array(buffer.buffer).set(bytes);
    try {
      const list = new ScatterList(session.addressSpace).addHost(buffer, 0, bytes.length);
      await withVector(list, second, async (vector) => {
        await second.compare(0, 2, vector);
        await assert.rejects(second.compare(1, 1, vector), { code: "NVME_STATUS" });
        await assert.rejects(second.read(second.blocks - 1, 2, vector), { code: "BAD_RANGE" });
        await assert.rejects(second.read(0, 3, vector), { code: "BAD_RANGE" });
      });
    } finally {
      buffer.close();
    }
  });

  async function assertCopied(src: string, dst: string, rest: Partial<CopyPlan>): Promise<void> {
    const plan = planOf(src, dst, { size: 2 * MIB, bs: 64 * KIB, ...rest });
    await prepareSource(session, plan, "pattern", 77);
    await runCopy(session, plan);
    const stamped = await verifyDestination(session, plan, "pattern", 77);
    assert.deepEqual([stamped.blocks, stamped.mismatches], [32, 0]);
    assert.equal((await verifyDestination(session, plan, "memcmp", 0)).mismatches, 0);
  }

  it("copies between them, from 512 to 4096 bytes a block and back", async () => {
    const { nvme1 } = devices;
    await assertCopied(`${nvme1}/1@8m`, `${nvme1}/2@16m`, {});
    await assertCopied(`${nvme1}/2@24m`, `${nvme1}/1@32m`, { bs: 4 * KIB, size: 128 * KIB });
  });

  it("copies peer to peer to another controller's and from there", async () => {
    const provider = await session.provider(devices.card);
    const peer = { path: "p2p", provider } as const;
    await assertCopied(`${devices.nvme1}/2@8m`, `${devices.nvme2}@8m`, peer);
    await assertCopied(`${devices.nvmeCmb}@4m`, `${devices.nvme1}/2@64m`, peer);
  });

  it("refuses copies that its larger blocks cannot say, before anything is written", async () => {
    const { nvme1, nvme2 } = devices;
    const before = await load(session, second, 0, 8 * KIB);
    for (const rest of [{ bs: 512 }, { bs: 4096, size: 4608 }])
      await assert.rejects(
        runCopy(session, planOf(nvme2, `${nvme1}/2`, { size: 8 * KIB, ...rest })),
        { code: "UNALIGNED" },
      );
    await assert.rejects(
      runCopy(session, planOf(nvme2, `${nvme1}/2@512`, { size: 8 * KIB, bs: 4096 })),
      { code: "UNALIGNED" },
    );
    assert.deepEqual(await load(session, second, 0, 8 * KIB), before);
  });

  if (isLab)
    it("refuses one with metadata, for transfers and for copies", async () => {
      const third = await namespaceOf(session, devices.nvme1, 3);
      assert.equal(third.metadataSize, 8);
      await assert.rejects(load(session, third, 0, 4096), { code: "METADATA_FORMAT" });
      await assert.rejects(store(session, third, 0, pattern(4096, 6)), { code: "METADATA_FORMAT" });
      for (const [src, dst] of [
        [`${devices.nvme1}/3`, devices.nvme2],
        [devices.nvme2, `${devices.nvme1}/3`],
      ] as const)
        await assert.rejects(runCopy(session, planOf(src, dst, { size: MIB })), {
          code: "METADATA_FORMAT",
        });
    });
});
