/** Writes from the memory of a peer that copy nothing: what arrived is known by the marks of the buffers. */
import assert from "node:assert/strict";
import { addon, type NativeFault } from "#lib/addon.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { Allocation } from "#lib/p2pmem/pool.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import { Session } from "#lib/session.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { Marks } from "#lib/verify/marks.js";
import type { MarkMode } from "#lib/verify/mode.js";
import { fillSlot, verifyWritten, type MarkedSlots } from "#lib/verify/written.js";
import { recordWrite } from "#lib/verify/writers.js";
import { load, namespaceOf, store } from "../device/machine.js";

const [TARGET, CARD] = ["0000:04:00.0", "0000:05:00.0"];
const IO = 6 * 1024;
/** As slotStride() has it: whole pages. */
const STRIDE = 8 * 1024;
const SLOTS = 4;
const IOS = 24;
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
  async function write(from: MarkedSlots, ios: Iterable<number>): Promise<Uint16Array> {
    const memory = addon().allocatePinned(SLOTS * STRIDE, false);
    const bytes = { bytes: new Uint8Array(memory.buffer), words: new Uint32Array(memory.buffer) };
    for (let slot = 0; slot < SLOTS; slot++) fillSlot(bytes, slot * STRIDE, slot, from);
    addon().copy(provider.memory, allocation.offset, memory, 0, SLOTS * STRIDE);
    memory.close();
    const writers = new Uint16Array(IOS);
    let turn = 0;
    for (const io of ios) {
      const slot = turn++ % SLOTS;
      const at = allocation.offset + slot * STRIDE;
      const list = new ScatterList(session.addressSpace).addPeer(provider, at, IO, allocation);
      const vector = list.map(namespace.controller);
      const { blockSize } = namespace;
      recordWrite(writers, io, slot + 1);
      await namespace.write((OFFSET + io * IO) / blockSize, IO / blockSize, vector);
      vector.unmap();
    }
    return writers;
  }

  const verify = (from: MarkedSlots, writers: Uint16Array) =>
    verifyWritten(session, { from, ranges: [{ namespace, offset: OFFSET, writers }] });

  const all = [...Array(IOS).keys()];
  const fault = (what: NativeFault): void => {
    assert.ok(session.platform instanceof LoopbackPlatform);
    session.platform.inject(TARGET, what);
  };

  for (const mode of ["pattern", "crc32c"] satisfies MarkMode[])
    describe(`by ${mode}`, () => {
      it("are right where each holds what its slot does, or any where it was written again", async () => {
        const from = marked(mode);
        const writers = await write(from, [...all, 3, 9, 0]);
        assert.deepEqual(await verify(from, writers), {
          ...{ blocks: IOS, mismatches: 0, first: null },
        });
      });

      it("are stale where one was lost", async () => {
        const from = marked(mode);
        fault({ on: "write", after: 7, effect: "drop-dma" });
        const { mismatches, first } = await verify(from, await write(from, all));
        assert.deepEqual([mismatches, first!.offset, first!.defect], [1, 7 * IO, "stale"]);
        assert.match(first!.message, /data of another run/);
      });

      it("are looked at where there are any, and nowhere else", async () => {
        const from = marked(mode);
        const writers = await write(from, [1, 2, 20]);
        assert.deepEqual(await verify(from, writers), { blocks: 3, mismatches: 0, first: null });
        const none = new Uint16Array(IOS);
        assert.deepEqual(await verify(from, none), { blocks: 0, mismatches: 0, first: null });
      });

      const damages: [string, (good: Uint8Array) => void, number | null, RegExp][] = [
        ["torn", (good) => good.fill(0, 1024, 3072), 1024, /1024 to 3071 .* only zeros/],
        ["shifted", (good) => good.copyWithin(32, 0), null, /32 bytes further on/],
        ["corrupted", (good) => good.fill(~good[4000]!, 4000, 4001), 4000, /4000 to 4000/],
      ];
      for (const [defect, damage, at, words] of damages)
        it(`are ${defect} where they are, in whichever slot, written once or again`, async () => {
          const from = marked(mode);
          for (const ios of [all, [...all, 6]]) {
            const writers = await write(from, ios);
            const bytes = await load(session, namespace, OFFSET + 6 * IO, IO);
            damage(bytes);
            await store(session, namespace, OFFSET + 6 * IO, bytes);
            const { mismatches, first } = await verify(from, writers);
            assert.equal(mismatches, 1);
            assert.equal(first!.defect, defect, first!.message);
            if (at !== null) assert.equal(first!.offset, 6 * IO + at);
            assert.match(first!.message, words);
          }
        });

      it("are wrong if they hold what no slot does, though it bears the run's marks", async () => {
        const from = marked(mode);
        const writers = await write(from, [...all, 0]);
        for (const [place, defect] of [
          [SLOTS * STRIDE, "swapped"],
          [512, "shifted"],
        ] as const) {
          await store(session, namespace, OFFSET, from.marks.make(IO, place));
          assert.equal((await verify(from, writers)).first!.defect, defect);
        }
      });

      it("are swapped where one holds what another's slot does, in all or a part", async () => {
        const from = marked(mode);
        const writers = await write(from, all);
        const other = await load(session, namespace, OFFSET + 5 * IO, IO);
        for (const start of [2048, 0]) {
          await store(session, namespace, OFFSET + 6 * IO + start, other.subarray(start));
          const { mismatches, first } = await verify(from, writers);
          assert.deepEqual([mismatches, first!.defect], [1, "swapped"]);
          const words = `what belongs at byte ${start} of slot 1, but it was written from slot 2`;
          assert.ok(first!.message.includes(words), first!.message);
        }
        // Of what was written twice nobody knows which was the last.
        recordWrite(writers, 6, 1);
        assert.equal((await verify(from, writers)).mismatches, 0);
      });
    });
});
