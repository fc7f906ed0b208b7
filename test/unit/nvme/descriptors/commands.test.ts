/** Requests over any data as the commands of an I/O queue, read as a controller reads them. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { DmaBuffer } from "#lib/dma/dma-buffer.js";
import { DataPointers, type Descriptors } from "#lib/nvme/descriptors/data-pointer.js";
import { AsyncQueue } from "#lib/nvme/queues/async-queue.js";
import { IoQueue, type IoRequest } from "#lib/nvme/queues/io-queue.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { readPrps, readSgl, type Run } from "../../../support/data-pointer-reader.js";
import { DEVICE, FakeController } from "../fake-controller.js";
import { LIST_IOVA, type Piece, vectorOf } from "./table.js";

const DEPTH = 8;
const BLOCK = 512;
const MAX_TRANSFER = 8192;
const FIRST_LBA = 7;
const PSDT_SGL = 1 << 14;

interface Commands {
  /** What they move, in order; neighbours joined. */
  runs: Run[];
  blocks: number[];
  /** Whether any has an SGL, whether any has PRPs. */
  sgls: boolean;
  prps: boolean;
}

/** Runs a request on a queue whose controller completes everything, last first. */
async function run(
  vector: DmaVector,
  choice: Descriptors,
  part?: { skip: number; length: number },
): Promise<Commands> {
  const pointers = new DataPointers(DEVICE, { alignment: "byte", hasBitBucket: true }, choice);
  const { skip, length } = part ?? { skip: 0, length: vector.byteLength };
  const shape = { blockSize: BLOCK, maxTransfer: MAX_TRANSFER, skip, isPart: part !== undefined };
  pointers.check(vector, 0, length, shape);

  const controller = new FakeController(DEPTH);
  const never = (): void => undefined;
  const owner = { check: () => true, overdue: never, distrust: never };
  const queue = new AsyncQueue(controller.open(), 60_000, owner);
  const buffer = new ArrayBuffer(DEPTH * pointers.listBytes(MAX_TRANSFER));
  const list = { buffer, iova: LIST_IOVA };
  const lists = { ...list, close: never } as unknown as DmaBuffer;
  const io = new IoQueue(queue, DEVICE, MAX_TRANSFER, pointers, lists);

  const blocks = Math.ceil((skip + length) / BLOCK);
  const lba = FIRST_LBA;
  const request: IoRequest = {
    ...{ name: "Read", opcode: 2, nsid: 1, lba, blocks, blockSize: BLOCK, data: vector },
    ...(part && { part }),
  };
  const state = { isSettled: false };
  const promise = io.run(request).finally(() => (state.isSettled = true));
  const got: Commands = { runs: [], blocks: [], sgls: false, prps: false };
  while (!state.isSettled) {
    const from = controller.sqHead;
    const ids = controller.fetch();
    ids.forEach((_, i) => {
      const entry = controller.sq.subarray(((from + i) % DEPTH) * 16);
      const isSgl = (entry[0]! & PSDT_SGL) !== 0;
      assert.equal(entry[10], FIRST_LBA + got.blocks.reduce((sum, each) => sum + each, 0));
      const count = entry[12]! + 1;
      assert.ok(count * BLOCK <= MAX_TRANSFER);
      got.blocks.push(count);
      if (isSgl) got.sgls = true;
      else got.prps = true;
      const words = [...entry.subarray(6, 10)];
      got.runs.push(...(isSgl ? readSgl : readPrps)(words, count * BLOCK, list));
    });
    for (const id of ids.reverse()) controller.complete(id);
    await new Promise(setImmediate);
  }
  await promise;
  return got;
}

function joined(runs: readonly Run[]): Run[] {
  const out: Run[] = [];
  for (const [address, length] of runs) {
    const last = out.at(-1);
    if (last && last[0] !== null && last[0] + last[1] === address) last[1] += length;
    else out.push([address, length]);
  }
  return out;
}

/** The first `length` bytes of pieces. */
function firstOf(pieces: readonly Piece[], length: number): Run[] {
  let left = length;
  return pieces.flatMap(([address, bytes]): Run[] => {
    const taken = Math.min(bytes, left);
    left -= taken;
    return taken > 0 ? [[address, taken]] : [];
  });
}

/** Pieces apart from each other, 80 KiB at most. */
const scattered = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 1, max: 5000 }),
      bytes: fc.oneof(fc.integer({ min: 3, max: 20 }), fc.integer({ min: 1, max: 9000 })),
    }),
    { minLength: 1, maxLength: 900 },
  )
  .map((shape): Piece[] => {
    let address = 0x1_0000_0000;
    const pieces = shape.map(({ gap, bytes }): Piece => {
      const start = address + gap;
      address = start + bytes;
      return [start, bytes];
    });
    return firstOf(pieces, 80 << 10) as Piece[];
  });

describe("the commands of a request", () => {
  it("move all bytes of any pieces, each once, within MDTS and the room of their lists", () =>
    fc.assert(
      fc.asyncProperty(
        scattered,
        fc.constantFrom<Descriptors>("auto", "sgl"),
        async (pieces, choice) => {
          const whole = vectorOf(...pieces).byteLength;
          const length = whole - (whole % BLOCK);
          fc.pre(length > 0);
          const wanted = firstOf(pieces, length);
          const { runs } = await run(vectorOf(...(wanted as Piece[])), choice);
          assert.deepEqual(joined(runs), wanted);
        },
      ),
      { numRuns: 60 },
    ));

  it("throw away what is before and after a part, and nothing of it", () =>
    fc.assert(
      fc.asyncProperty(scattered, fc.nat(BLOCK - 1), async (pieces, skip) => {
        const { byteLength: length } = vectorOf(...pieces);
        const { runs, blocks } = await run(vectorOf(...pieces), "auto", { skip, length });
        const trail = blocks.reduce((sum, each) => sum + each, 0) * BLOCK - skip - length;
        const expected: Run[] = [...pieces];
        if (skip > 0) expected.unshift([null, skip]);
        if (trail > 0) expected.push([null, trail]);
        assert.deepEqual(joined(runs), expected);
      }),
      { numRuns: 60 },
    ));

  it("are cut at blocks where a command has no room for more pieces", async () => {
    const bytes = Array.from({ length: 1024 }, (_, i): Piece => [0x1_0000_0000 + 16 * i, 4]);
    // 128 pieces in a block, 254 in a command.
    const { blocks, prps } = await run(vectorOf(...bytes), "auto");
    assert.deepEqual(blocks, [1, 1, 1, 1, 1, 1, 1, 1]);
    assert.equal(prps, false);
    const words = Array.from({ length: 256 }, (_, i): Piece => [0x1_0000_0000 + 64 * i, 32]);
    assert.deepEqual((await run(vectorOf(...words), "sgl")).blocks, [15, 1]);
  });

  it("are cut at blocks also where the first begins with what is thrown away", async () => {
    // 6 pieces in what is wanted of the first block, 252 in the second: 254 end inside that.
    const pieces = Array.from({ length: 258 }, (_, i): Piece => [0x1_0000_0000 + 16 * i, 2]);
    pieces[257]![1] = 10;
    const { runs, blocks } = await run(vectorOf(...pieces), "auto", { skip: 500, length: 524 });
    assert.deepEqual(blocks, [1, 1]);
    assert.deepEqual(joined(runs), [[null, 500], ...pieces]);
  });

  it("are of either kind in one request, as suits each", async () => {
    const large: Piece = [0x1_0000_0000, MAX_TRANSFER];
    const odd: Piece[] = [
      [0x2_0000_0001, 4096],
      [0x3_0000_0000, 4096],
    ];
    const { blocks, sgls, prps } = await run(vectorOf(large, ...odd), "auto");
    assert.deepEqual([blocks, sgls, prps], [[16, 16], true, true]);
  });
});
