import assert from "node:assert/strict";
import { nvmLimits } from "#lib/nvme/admin/nvm-limits.js";
import type { NamespaceIdentity } from "#lib/nvme/admin/identify.js";
import type { NvmeController } from "#lib/nvme/controller.js";
import { DataPointers } from "#lib/nvme/descriptors/data-pointer.js";
import { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { IoRequest } from "#lib/nvme/queues/io-queue.js";
import { rawVector } from "../../support/raw-vector.js";
import { DEVICE } from "./fake-controller.js";

interface Abilities {
  hasWriteZeroes?: boolean;
  hasDatasetManagement?: boolean;
  dlfeat?: number;
  metadataSize?: number;
  /** WZSL, as a power of two of pages of 4 KiB. */
  wzsl?: number;
}

/** A namespace of 2^20 blocks of 4096 bytes, and what it asks of its queue. */
function makeNamespace(abilities: Abilities = {}): { namespace: NvmeNamespace; runs: IoRequest[] } {
  const { dlfeat = 0, metadataSize = 0, wzsl = 0, ...has } = abilities;
  const runs: IoRequest[] = [];
  const run = (request: IoRequest): Promise<void> => {
    runs.push(request);
    return Promise.resolve();
  };
  const limits = { vsl: 0, wzsl, wusl: 0, dmrl: 0, dmrsl: 0, dmsl: 0n };
  const controller = {
    address: DEVICE,
    identity: { hasWriteZeroes: true, hasDatasetManagement: true, ...has },
    maxTransfer: 2 ** 20,
    dataPointers: new DataPointers(DEVICE, { alignment: "none", hasBitBucket: false }),
    nvmLimits: () => Promise.resolve(nvmLimits(limits, 4096)),
    ioQueue: () => Promise.resolve({ run }),
  } as unknown as NvmeController;
  const identity = { blocks: 2 ** 20, blockSize: 4096, metadataSize, fields: { dlfeat } };
  return {
    namespace: new NvmeNamespace(controller, 3, identity as unknown as NamespaceIdentity, true),
    runs,
  };
}

describe("A namespace", () => {
  it("asks for Write Zeroes with the bits that were wanted, and no more at once than WZSL", async () => {
    const { namespace, runs } = makeNamespace({ dlfeat: 8, wzsl: 4 });
    await namespace.writeZeroes(5, 100);
    await namespace.writeZeroes(5, 100, { deallocate: true, fua: true });
    assert.deepEqual(
      runs.map(({ opcode, nsid, lba, blocks, data, maxBlocks, flags }) => [
        ...[opcode, nsid, lba, blocks, data, maxBlocks, flags],
      ]),
      [
        [8, 3, 5, 100, null, 16, 0],
        [8, 3, 5, 100, null, 16, 0x4200_0000],
      ],
    );
  });

  it("sets Force Unit Access in a Write where that was wanted", async () => {
    const { namespace, runs } = makeNamespace();
    const data = rawVector(DEVICE, [{ address: 0x10_0000, length: 4096 }]);
    await namespace.write(1, 1, data);
    await namespace.write(1, 1, data, { fua: true });
    assert.deepEqual(
      runs.map(({ opcode, flags }) => [opcode, flags]),
      [
        [1, 0],
        [1, 0x4000_0000],
      ],
    );
  });

  it("does not send commands that its controller has not, or that do not fit its format", async () => {
    const ranges = [{ lba: 0, blocks: 1 }];
    const refused: [string, Abilities, (namespace: NvmeNamespace) => Promise<void>][] = [
      ["UNSUPPORTED", { hasWriteZeroes: false }, (each) => each.writeZeroes(0, 1)],
      ["UNSUPPORTED", { dlfeat: 7 }, (each) => each.writeZeroes(0, 1, { deallocate: true })],
      ["UNSUPPORTED", { hasDatasetManagement: false }, (each) => each.deallocate(ranges)],
      ["METADATA_FORMAT", { metadataSize: 8 }, (each) => each.writeZeroes(0, 1)],
      ["METADATA_FORMAT", { metadataSize: 8 }, (each) => each.deallocate(ranges)],
    ];
    for (const [code, abilities, attempt] of refused) {
      const { namespace, runs } = makeNamespace(abilities);
      await assert.rejects(attempt(namespace), { code });
      assert.equal(runs.length, 0);
    }
  });
});
