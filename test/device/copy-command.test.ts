import assert from "node:assert/strict";
import { P2pError } from "#lib/errors.js";
import type { CopyFormat } from "#lib/nvme/commands/copy.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { Session } from "#lib/session.js";
import { devicesOf, isLab, load, namespaceOf, openSession, pattern, store } from "./machine.js";

/** What the controller offers of the Copy command is tried; the loopback machine's offers all. */
describe("the Copy command", () => {
  let session: Session;
  let namespace: NvmeNamespace;
  let block: number;

  before(async () => {
    session = await openSession();
    namespace = await namespaceOf(session, devicesOf(session).nvme1);
    block = namespace.blockSize;
  });

  after(() => session.close());

  for (const format of [0, 1, 2, 3] as const)
    it(`gathers ranges by format ${format}, in as many commands as that takes`, async function () {
      if ((namespace.controller.identity.copy.formats & (1 << format)) === 0) this.skip();
      const { rangeBlocks, ranges } = namespace.copyLimits;
      const long = Math.min(2 * rangeBlocks + 3, 2048);
      const data = pattern(long * block, 50 + format);
      await store(session, namespace, 0, data);
      await store(session, namespace, 16384 * block, pattern(4096 * block, 60 + format));
      const untouched = await load(session, namespace, (16384 + long + 3) * block, block);
      const sources = [
        { lba: long - 3, blocks: 3 },
        { lba: 0, blocks: long },
      ];
      const copying = namespace.copy(sources, 16384, { format });
      if (isLab && format === 1) {
        // QEMU names format 1 in OCFS, and takes it only of namespaces with 64-bit guards.
        await assert.rejects(copying, { code: "NVME_STATUS", statusCodeType: 1, statusCode: 0x0a });
        return;
      }
      await copying;
      const copied = await load(session, namespace, 16384 * block, (long + 3) * block);
      const expected = new Uint8Array([...data.subarray((long - 3) * block), ...data]);
      assert.equal(Buffer.compare(copied, expected), 0, `${ranges} ranges of ${rangeBlocks}`);
      const after = await load(session, namespace, (16384 + long + 3) * block, block);
      assert.deepEqual(after, untouched);
    });

  it("copies from another namespace where the controller does, or refuses before", async () => {
    const { namespaces, identity } = namespace.controller;
    const other = namespaces.find(
      (each) => each !== namespace && each.blockSize === block && each.metadataSize === 0,
    );
    const format: CopyFormat = 2;
    if (other === undefined || (identity.copy.formats & (1 << format)) === 0) {
      assert.ok(isLab, "the loopback machine has both");
      const from = other ?? (await namespaceOf(session, devicesOf(session).nvme2));
      await assert.rejects(namespace.copy([{ namespace: from, lba: 0, blocks: 1 }], 100), {
        code: "UNSUPPORTED",
      });
      return;
    }
    other.permitWrites();
    const data = pattern(8 * block, 70);
    await store(session, other, 0, data);
    await namespace.copy([{ namespace: other, lba: 0, blocks: 8 }], 0);
    assert.deepEqual(await load(session, namespace, 0, 8 * block), data);
  });

  it("refuses what it cannot do before any command", async () => {
    const { blocks } = namespace;
    const cases: [string, Parameters<NvmeNamespace["copy"]>][] = [
      ["OVERLAP", [[{ lba: 10, blocks: 5 }], 12]],
      [
        "OVERLAP",
        [
          [
            { lba: 100, blocks: 1 },
            { lba: 12, blocks: 1 },
          ],
          11,
        ],
      ],
      ["BAD_RANGE", [[{ lba: blocks - 1, blocks: 2 }], 0]],
      ["BAD_RANGE", [[{ lba: 0, blocks: 2 }], blocks - 1]],
      ["BAD_RANGE", [[{ lba: 0, blocks: 0 }], 10]],
      ["BAD_RANGE", [[{ lba: 0.5, blocks: 1 }], 10]],
      ["BAD_RANGE", [[], 10]],
    ];
    for (const [code, [sources, lba]] of cases)
      await assert.rejects(namespace.copy(sources, lba), { code });
    await assert.rejects(
      namespace.copy([{ lba: 0, blocks: 1 }], 9, { format: 7 as CopyFormat }),
      P2pError,
    );
  });
});
