/** What verification finds at a destination that is damaged by hand, with real devices in between. */
import assert from "node:assert/strict";
import { copy } from "#lib/copy/by-name.js";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { Session } from "#lib/session.js";
import type { Defect } from "#lib/verify/diagnosis.js";
import { VERIFY_MODES } from "#lib/verify/mode.js";
import {
  devicesOf,
  isLab,
  load,
  namespaceOf,
  openSession,
  pattern,
  planOf,
  store,
  type Devices,
} from "./machine.js";

const KIB = 1024;
const BS = 4 * KIB;
const BLOCKS = 16;
const SIZE = BLOCKS * BS;
/** Of the destination's range. */
const OFFSET = 1024 * KIB;
const SEED = 0xfeed_0001;

describe("verification", () => {
  let session: Session;
  let devices: Devices;
  let plan: CopyPlan;
  let target: NvmeNamespace;
  let good: Uint8Array;

  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
    plan = planOf(devices.nvme1, `${devices.nvme2}/1@${OFFSET}`, { bs: BS, size: SIZE });
    target = await namespaceOf(session, devices.nvme2);
  });

  after(() => session.close());

  for (const mode of VERIFY_MODES)
    describe(`by ${mode}`, () => {
      const verify = (covered?: { start: number; end: number }[]) =>
        verifyDestination(session, plan, mode, SEED, covered);

      before(async () => {
        const old = { ...plan, source: plan.destination, destination: plan.source };
        await prepareSource(session, old, mode === "memcmp" ? "pattern" : mode, 0xbad);
        // For a comparison any source will do, and this one bears no marks.
        if (mode === "memcmp")
          await store(session, await namespaceOf(session, devices.nvme1), 0, pattern(SIZE, 9));
      });

      it("finds that nothing has arrived", async () => {
        await prepareSource(session, plan, mode, SEED);
        const { blocks, mismatches, first } = await verify();
        assert.deepEqual([blocks, mismatches], [BLOCKS, BLOCKS]);
        assert.equal(first!.defect, mode === "memcmp" ? "different" : "stale");
        if (mode !== "memcmp") assert.match(first!.message, /another run \(seed 0xbad\)/);
      });

      it("finds all blocks right after the copy", async () => {
        await runCopy(session, plan);
        assert.deepEqual(await verify(), { blocks: BLOCKS, mismatches: 0, first: null });
        good = await load(session, target, OFFSET, SIZE);
      });

      const at = 5 * BS;
      const cases: [Defect, (block: Uint8Array) => Uint8Array, number, RegExp][] = [
        [
          "swapped",
          () => good.slice(9 * BS, 10 * BS),
          0,
          /what belongs at LBA \d+ \(byte 1085440\)/,
        ],
        ["zeros", () => new Uint8Array(BS), 0, /only zeros/],
        ["ones", () => new Uint8Array(BS).fill(0xff), 0, /PCIe read/],
        ["torn", (block) => block.fill(0x5a, 1000), 1000, /from byte 1000 of the block on/],
        ["shifted", (block) => block.copyWithin(8, 0), 0, /8 bytes further on/],
        ["corrupted", (block) => block.fill(block[700]! ^ 1, 700, 701), 700, /700 to 700/],
      ];
      for (const [defect, damage, wrong, words] of cases)
        it(`names a block that is ${defect}`, async () => {
          await store(session, target, OFFSET + at, damage(good.slice(at, at + BS)));
          const { blocks, mismatches, first } = await verify();
          await store(session, target, OFFSET + at, good.slice(at, at + BS));
          assert.deepEqual([blocks, mismatches], [BLOCKS, 1]);
          assert.equal(first!.defect, defect, first!.message);
          // What is there may have its first bytes in common with what should be.
          assert.ok(first!.offset >= at + wrong && first!.offset <= at + wrong + 8, first!.message);
          const lba = Math.floor((OFFSET + first!.offset) / target.blockSize);
          assert.ok(
            first!.message.startsWith(
              `${devices.nvme2}/1, LBA ${lba} (byte ${OFFSET + first!.offset}): ${defect}: `,
            ),
            first!.message,
          );
          assert.match(first!.message, words);
        });

      it("looks at what is covered alone", async () => {
        await store(session, target, OFFSET + at, new Uint8Array(BS));
        const around = [
          { start: 0, end: at },
          { start: at + BS, end: SIZE },
        ];
        const { blocks, mismatches } = await verify(around);
        assert.deepEqual([blocks, mismatches], [BLOCKS - 1, 0]);
        assert.equal((await verify([{ start: at, end: at + BS }])).mismatches, 1);
      });
    });

  it("by memcmp writes nothing to the source, which the other modes do only where it is allowed", async () => {
    const source = await namespaceOf(session, devices.nvme1);
    const before = await load(session, source, 0, SIZE);
    await prepareSource(session, { ...plan, allowWrite: false }, "memcmp", SEED);
    assert.deepEqual(await load(session, source, 0, SIZE), before);
    if (!isLab) return;
    for (const mode of ["pattern", "crc32c"] as const)
      await assert.rejects(prepareSource(session, { ...plan, allowWrite: false }, mode, SEED), {
        code: "WRITE_NOT_ALLOWED",
        device: devices.nvme1,
      });
  });

  it("in a copy by name is a comparison, and of marks where the source may be written for it", async () => {
    const ends = { src: devices.nvme1, dst: `${devices.nvme2}/1@${OFFSET}`, via: "host" } as const;
    const options = { ...ends, bs: BS, size: SIZE, allowWrite: true };
    const right = { blocks: BLOCKS, mismatches: 0, first: null };
    assert.deepEqual((await copy(session, { ...options, verify: true })).verify, right);
    for (const verify of ["pattern", "crc32c"] as const)
      if (isLab)
        await assert.rejects(copy(session, { ...options, verify }), { code: "WRITE_NOT_ALLOWED" });
      else assert.deepEqual((await copy(session, { ...options, verify })).verify, right);
  });
});
