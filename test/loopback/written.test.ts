/** Writes from the memory of a peer that copy nothing: what arrived is known by the marks of the buffers. */
import assert from "node:assert/strict";
import { addon, type NativeFault } from "#lib/addon.js";
import type { Range } from "#lib/extents/ranges.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { Allocation } from "#lib/p2pmem/pool.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import { Session } from "#lib/session.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { Marks } from "#lib/verify/marks.js";
import type { MarkMode } from "#lib/verify/mode.js";
import { fillSlots, verifyWritten, type MarkedSlots } from "#lib/verify/written.js";
import { load, namespaceOf, store } from "../device/machine.js";

const [TARGET, CARD] = ["0000:04:00.0", "0000:05:00.0"];
const IO = 6 * 1024;
/** As slotStride() has it: whole pages. */
const STRIDE = 8 * 1024;
const SLOTS = 4;
const IOS = 24;
const LENGTH = IOS * IO;
const OFFSET = 2 ** 20;

describe("writes from peer memory", () => {
  let session: Session;
  let namespace: NvmeNamespace;
  let provider: Provider;
  let allocation: Allocation;
  let seed = 77;

  before(async () => {
    session = await Session.open({ platform: "loopback" });
    namespace = await namespaceOf(session, TARGET);
    provider = await session.provider(CARD);
    allocation = provider.pool.alloc(SLOTS * STRIDE);
  });
  after(async () => {
    provider.pool.free(allocation);
    await session.close();
  });

  function marked(mode: MarkMode): MarkedSlots {
    return { marks: new Marks(mode, ++seed), slots: SLOTS, stride: STRIDE, ioSize: IO };
  }

  /** Fills the slots, and writes these I/Os from them, one slot after the other. */
  async function write(from: MarkedSlots, ios: Iterable<number>): Promise<void> {
    const memory = addon().allocatePinned(SLOTS * STRIDE, false);
    fillSlots(
      { bytes: new Uint8Array(memory.buffer), words: new Uint32Array(memory.buffer) },
      from,
    );
    addon().copy(provider.memory, allocation.offset, memory, 0, SLOTS * STRIDE);
    memory.close();
    let slot = 0;
    for (const io of ios) {
      const at = allocation.offset + (slot++ % SLOTS) * STRIDE;
      const list = new ScatterList(session.addressSpace).addPeer(provider, at, IO, allocation);
      const vector = list.map(namespace.controller);
      const { blockSize } = namespace;
      await namespace.write((OFFSET + io * IO) / blockSize, IO / blockSize, vector);
      vector.unmap();
    }
  }

  const verify = (from: MarkedSlots, covered: readonly Range[] | null) =>
    verifyWritten(session, { namespace, offset: OFFSET, length: LENGTH, covered }, from);

  const all = [...Array(IOS).keys()];
  const everything = [{ start: 0, end: LENGTH }];
  const fault = (what: NativeFault): void => {
    assert.ok(session.platform instanceof LoopbackPlatform);
    session.platform.inject(TARGET, what);
  };

  for (const mode of ["pattern", "crc32c"] satisfies MarkMode[])
    describe(`by ${mode}`, () => {
      it("are right from whichever slot they came", async () => {
        const from = marked(mode);
        await write(from, [...all, 3, 9, 0]);
        assert.deepEqual(await verify(from, everything), {
          ...{ blocks: IOS, mismatches: 0, first: null },
        });
      });

      it("are stale where one was lost, if it is known to have been written", async () => {
        const from = marked(mode);
        fault({ on: "write", after: 7, effect: "drop-dma" });
        await write(from, all);
        const { mismatches, first } = await verify(from, everything);
        assert.deepEqual([mismatches, first!.offset, first!.defect], [1, 7 * IO, "stale"]);
        assert.match(first!.message, /data of another run/);
        assert.deepEqual(await verify(from, null), { blocks: IOS - 1, mismatches: 0, first: null });
      });

      it("are looked at where they are known, or wherever there are any", async () => {
        const from = marked(mode);
        await write(from, [1, 2, 20]);
        const { blocks, mismatches } = await verify(from, [{ start: IO, end: 3 * IO }]);
        assert.deepEqual([blocks, mismatches], [2, 0]);
        assert.deepEqual(await verify(from, null), { blocks: 3, mismatches: 0, first: null });
      });

      it("are stale where all were lost, though nobody knows where they went", async () => {
        const from = marked(mode);
        fault({ on: "write", count: IOS, effect: "drop-dma" });
        await write(from, all);
        const { blocks, mismatches, first } = await verify(from, null);
        assert.deepEqual([blocks, mismatches, first!.defect], [1, 1, "stale"]);
      });

      const damages: [string, (good: Uint8Array) => void, number | null, RegExp][] = [
        ["torn", (good) => good.fill(0, 1024, 3072), 1024, /1024 to 3071 .* only zeros/],
        ["shifted", (good) => good.copyWithin(32, 0), null, /32 bytes further on/],
        ["corrupted", (good) => good.fill(~good[4000]!, 4000, 4001), 4000, /4000 to 4000/],
      ];
      for (const [defect, damage, at, words] of damages)
        it(`are ${defect} where they are, in whichever slot`, async () => {
          const from = marked(mode);
          await write(from, all);
          const bytes = await load(session, namespace, OFFSET + 6 * IO, IO);
          damage(bytes);
          await store(session, namespace, OFFSET + 6 * IO, bytes);
          for (const covered of [everything, null]) {
            const { mismatches, first } = await verify(from, covered);
            assert.equal(mismatches, 1);
            assert.equal(first!.defect, defect, first!.message);
            if (at !== null) assert.equal(first!.offset, 6 * IO + at);
            assert.match(first!.message, words);
          }
        });

      it("are wrong if they hold what no slot does, though it bears the run's marks", async () => {
        const from = marked(mode);
        await write(from, all);
        for (const [place, defect] of [
          [SLOTS * STRIDE, "swapped"],
          [512, "shifted"],
        ] as const) {
          await store(session, namespace, OFFSET, from.marks.make(IO, place));
          for (const covered of [everything, null])
            assert.equal((await verify(from, covered)).first!.defect, defect);
        }
      });

      it("of two slots in one place are swapped, but where random I/Os may have met", async () => {
        const from = marked(mode);
        await write(from, all);
        const half = await load(session, namespace, OFFSET + 5 * IO + 2048, 2048);
        await store(session, namespace, OFFSET + 6 * IO + 2048, half);
        const { mismatches, first } = await verify(from, everything);
        assert.deepEqual([mismatches, first!.defect], [1, "swapped"]);
        assert.match(first!.message, /what belongs at byte 2048 of slot 1/);
        assert.equal((await verify(from, null)).mismatches, 0);
      });
    });
});
