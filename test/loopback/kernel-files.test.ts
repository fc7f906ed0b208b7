/** The kernel's path on files of the checkout's file system, by a real io_uring, without a device. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, constants, mkdtempSync, openSync, readFileSync } from "node:fs";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { addon } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";
import { FOREVER, IoRing } from "#lib/kernel/io-ring.js";
import { IORING_OP_READ, IOSQE_FIXED_FILE, SQE_FLAGS_SHIFT } from "#lib/kernel/spec.js";
import { runKernel, type KernelMeasurement } from "#lib/kernel/kernel.js";
import type { Range } from "#lib/extents/ranges.js";
import {
  blotKernelDestination,
  prepareKernelSource,
  verifyKernelCopy,
} from "#lib/kernel/verify.js";
import type { KernelPlan } from "#lib/kernel/plan.js";
import { KeptReactors, kernelPlan } from "../support/kernel-plan.js";

const BLOCK = 4096;
const SIZE = 64 * BLOCK;
/** Not $TMPDIR, which may be a tmpfs: that had no O_DIRECT before Linux 6.6. */
const BUILD = fileURLToPath(new URL("../../build", import.meta.url));
const KEPT = fileURLToPath(new URL("./io-ring-kept.js", import.meta.url));

describe("the kernel's path on files", () => {
  const folder = mkdtempSync(join(BUILD, "kernel-files-"));
  const from = join(folder, "from");
  const to = join(folder, "to");
  const reactors = new KeptReactors();
  const run = (rest: Partial<KernelPlan>): Promise<KernelMeasurement> =>
    runKernel(kernelPlan({ sources: [{ file: from, offset: 0 }], ...rest }), reactors);

  before(function () {
    try {
      addon().createIoRing(1).close();
    } catch (error) {
      // Docker's seccomp profile, sysctl kernel.io_uring_disabled: the reason is the test's name.
      if (!(error instanceof P2pError && error.code === "NO_IO_URING")) throw error;
      this.test!.title = `${error.message}: ${error.hint}`;
      this.skip();
    }
  });
  beforeEach(() => {
    writeFileSync(from, randomBytes(SIZE));
    writeFileSync(to, randomBytes(SIZE));
  });
  after(async () => {
    await reactors.close();
    rmSync(folder, { recursive: true });
  });

  it("copies, all threads together, at an offset, with a short last block", async () => {
    const before = readFileSync(to);
    const size = SIZE - 5 * BLOCK;
    const measured = await run({
      ...{ rw: "copy", bs: 3 * BLOCK, iodepth: 4, numjobs: 3, offset: BLOCK, size },
      destination: { file: to, offset: 2 * BLOCK },
    });
    const expected = Buffer.concat([
      before.subarray(0, 3 * BLOCK),
      readFileSync(from).subarray(BLOCK, BLOCK + size),
      before.subarray(3 * BLOCK + size),
    ]);
    assert.ok(readFileSync(to).equals(expected));
    assert.equal(measured.bytes, size);
    assert.equal(measured.ios, Math.ceil(size / (3 * BLOCK)));
    assert.equal(measured.latency.count, measured.ios);
    assert.equal(measured.reads, null);
    assert.equal(
      measured.covered!.reduce((sum, { start, end }) => sum + end - start, 0),
      size,
    );
    // The file system may have gone by way of the page cache.
    assert.equal(measured.traffic.host_memory_bytes, null);
  });

  it("verifies a copy, block by block, in what it has covered", async () => {
    const plan = kernelPlan({
      ...{ rw: "copy", bs: 3 * BLOCK, iodepth: 4, numjobs: 2, offset: BLOCK },
      ...{ sources: [{ file: from, offset: 0 }], destination: { file: to, offset: 0 } },
    });
    const { covered } = await runKernel(plan, reactors);
    assert.deepEqual(await verifyKernelCopy(plan, covered!), {
      ...{ blocks: 21, mismatches: 0, first: null },
    });
    const bytes = readFileSync(to);
    for (const at of [0, 7 * BLOCK + 5, 7 * BLOCK + 9, 63 * BLOCK + 4095])
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    writeFileSync(to, bytes);
    const { blocks, mismatches, first } = await verifyKernelCopy(plan, covered!);
    assert.deepEqual([blocks, mismatches, first!.offset], [21, 2, 6 * BLOCK + 5]);
    assert.match(first!.message, /to, byte 28677: corrupted: .* \(blocks of 12288 bytes\)$/);
  });

  for (const mode of ["pattern", "crc32c"] as const)
    it(`tells by marks what became of a copy (${mode})`, async () => {
      const plan = kernelPlan({
        ...{ rw: "copy", bs: 2 * BLOCK, iodepth: 4, numjobs: 2 },
        ...{ sources: [{ file: from, offset: 0 }], destination: { file: to, offset: 0 } },
      });
      const options = { mode, seed: 7 };
      const look = async (covered: readonly Range[]): Promise<unknown[]> => {
        const found = await verifyKernelCopy(plan, covered, options);
        return [found.blocks, found.mismatches, found.first?.offset, found.first?.defect];
      };
      await prepareKernelSource(plan, options);
      const { covered } = await runKernel(plan, reactors);
      assert.deepEqual(await look(covered!), [32, 0, undefined, undefined]);
      // What belongs two blocks on, what was there before, and zeros.
      const bytes = readFileSync(to);
      const copied = Buffer.from(bytes);
      bytes.copy(bytes, 2 * BLOCK, 6 * BLOCK, 8 * BLOCK);
      writeFileSync(to, bytes);
      assert.deepEqual(await look(covered!), [32, 1, 2 * BLOCK, "swapped"]);
      writeFileSync(to, Buffer.concat([randomBytes(2 * BLOCK), copied.subarray(2 * BLOCK)]));
      assert.deepEqual(await look(covered!), [32, 1, 0, "stale"]);
      writeFileSync(to, Buffer.concat([copied.subarray(0, 62 * BLOCK), Buffer.alloc(2 * BLOCK)]));
      assert.deepEqual(await look(covered!), [32, 1, 62 * BLOCK, "zeros"]);
      await assert.rejects(prepareKernelSource({ ...plan, allowWrite: false }, options), {
        code: "WRITE_NOT_ALLOWED",
      });
    });

  it("tells what was there before the run from what the source does not have (memcmp)", async () => {
    const plan = kernelPlan({
      ...{ rw: "copy", bs: 2 * BLOCK, iodepth: 4 },
      ...{ sources: [{ file: from, offset: 0 }], destination: { file: to, offset: 0 } },
    });
    const options = { mode: "memcmp", seed: 7 } as const;
    const blot = readFileSync(to);
    await blotKernelDestination(plan, options.seed);
    readFileSync(to).copy(blot);
    const { covered } = await runKernel(plan, reactors);
    const copied = readFileSync(to);
    blot.copy(copied, 4 * BLOCK, 4 * BLOCK, 6 * BLOCK);
    writeFileSync(to, copied);
    const { mismatches, first } = await verifyKernelCopy(plan, covered!, options);
    assert.deepEqual([mismatches, first!.defect], [1, "stale"]);
  });

  it("goes over as much of each file as the shortest has", async () => {
    const short = { file: to, offset: 60 * BLOCK };
    const plan = kernelPlan({
      ...{ rw: "read", bs: BLOCK, iodepth: 4 },
      sources: [{ file: from, offset: 0 }, short],
    });
    const { size, ios } = await runKernel(plan, reactors);
    assert.deepEqual([size, ios], [4 * BLOCK, 8]);
  });

  it("writes each block of the range in order, and only those", async () => {
    const before = readFileSync(from);
    const sources = [{ file: from, offset: BLOCK, length: 32 * BLOCK }];
    const { writes, reads, ios } = await run({ rw: "write", sources, iodepth: 8, numjobs: 2 });
    const after = readFileSync(from);
    for (let block = 0; block < 64; block++) {
      const part = (bytes: Buffer): Buffer => bytes.subarray(block * BLOCK, (block + 1) * BLOCK);
      const isOutside = block < 1 || block >= 33;
      assert.equal(part(before).equals(part(after)), isOutside, `block ${block}`);
    }
    assert.deepEqual([ios, writes!.count, reads!.count], [32, 32, 0]);
  });

  it("mixes reads and writes by the share that was asked for, over several files", async () => {
    const sources = [from, to].map((file) => ({ file, offset: 0 }));
    const { ios, reads, writes, latency } = await run({
      ...{ rw: "randrw", rwmixread: 80, sources, iodepth: 4, loops: 16 },
    });
    assert.equal(ios, 2 * 64 * 16);
    assert.equal(latency.count, ios);
    assert.ok(reads!.count > 0.75 * ios && reads!.count < 0.85 * ios, `${reads!.count} reads`);
    assert.equal(reads!.count + writes!.count, ios);
  });

  it("gives each target as many I/Os as its range has room for, however fast the other is", async () => {
    const before = [from, to].map((file) => readFileSync(file));
    const sources = [
      { file: from, offset: 0, length: 64 * BLOCK },
      { file: to, offset: 0, length: 8 * BLOCK },
    ];
    const { ios } = await run({ rw: "write", sources, iodepth: 4 });
    assert.equal(ios, 64 + 8);
    const isWritten = [from, to].map((file, index) =>
      Array.from({ length: 64 }, (_, block) => {
        const part = (bytes: Buffer): Buffer => bytes.subarray(block * BLOCK, (block + 1) * BLOCK);
        return !part(before[index]!).equals(part(readFileSync(file)));
      }),
    );
    assert.deepEqual(isWritten, [
      Array(64).fill(true),
      Array.from({ length: 64 }, (_, n) => n < 8),
    ]);
  });

  it("has threads share the work of random I/Os, a ramp apart", async () => {
    for (const numjobs of [1, 3]) {
      const { ios, latency } = await run({ rw: "randread", numjobs, loops: 2, rampTime: 0.01 });
      assert.deepEqual([ios, latency.count], [128, 128], `${numjobs} threads`);
    }
  });

  it("copies the shorter end's whole blocks where time ends the copy", async () => {
    truncateSync(to, 7 * BLOCK + 100);
    const { bytes, covered } = await run({
      ...{ rw: "copy", runtime: 0.05, destination: { file: to, offset: 0 } },
    });
    assert.ok(bytes > 0);
    assert.deepEqual(covered, [{ start: 0, end: 7 * BLOCK }]);
  });

  it("lets no memory go that the kernel still reads into", () => {
    const pieces = 32;
    const bytes = randomBytes(pieces * 2 ** 16);
    writeFileSync(from, bytes);
    const fd = openSync(from, constants.O_RDONLY | constants.O_DIRECT);
    const memory = addon().allocatePinned(bytes.length, false);
    const ring = IoRing.open(pieces);
    const address = ring.hold(memory);
    ring.registerFiles([fd]);
    const command = IORING_OP_READ | (IOSQE_FIXED_FILE << SQE_FLAGS_SHIFT);
    for (let i = 0; i < pieces; i++)
      ring.submit(command, 0, i * 2 ** 16, address + i * 2 ** 16, 2 ** 16, 0, i);
    ring.enter(0, FOREVER);
    closeSync(fd);
    ring.close();
    // All of it has come by now: closing has waited.
    assert.ok(Buffer.from(memory.buffer).equals(bytes));
    ring.close();
    memory.close();
  });

  it("keeps memory for good that the kernel may still write, where it cannot wait", () => {
    // In a process of its own, since a descriptor is closed below its owner's feet.
    const { status, stdout, stderr } = spawnSync(process.execPath, [KEPT], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), { isMapped: true });
  });

  it("lasts as long as it should, and its ramp is not counted", async () => {
    const started = process.hrtime.bigint();
    const { runtimeNs, ios, latency } = await run({ runtime: 0.3, rampTime: 0.3, iodepth: 2 });
    const all = Number(process.hrtime.bigint() - started);
    assert.ok(all >= 0.6e9, `${all} ns in all`);
    assert.ok(runtimeNs >= 0.29e9 && runtimeNs < all - 0.29e9, `${runtimeNs} ns`);
    assert.equal(latency.count, ios);
  });

  it("begins what counts with nothing in flight, whatever the ramp was busy with", async () => {
    const measured = await run({ rw: "read", runtime: 0.3, rampTime: 0.2, rateIops: 1 });
    assert.equal(measured.ios, 1);
    assert.ok(measured.runtimeNs >= 0 && measured.runtimeNs < 0.3e9, String(measured.runtimeNs));
  });

  it("keeps to the rate, of each thread", async () => {
    const [rateIops, runtime, numjobs] = [200, 0.5, 2];
    const { ios } = await run({ ...{ rw: "randread", rateIops, runtime, iodepth: 4, numjobs } });
    // The first one is due at once, and one that was a little late takes nothing from the next.
    const most = numjobs * (rateIops * runtime + 2);
    assert.ok(ios <= most, `${ios} I/Os, more than ${most}`);
    // A busy machine may keep a thread from running, but hardly for nine tenths of the time.
    assert.ok(ios >= most / 10, `${ios} I/Os of ${most}`);
  });

  it("stops when it is told to", async () => {
    const stop = new AbortController();
    const onProgress = (bytes: number): void => {
      if (bytes > 0) stop.abort();
    };
    await assert.rejects(run({ runtime: 60, signal: stop.signal, onProgress }), {
      code: "INTERRUPTED",
    });
  });

  it("says which I/O failed, and ends", async () => {
    // Past the end of a file O_DIRECT reads nothing.
    const shrink = (): void => {
      truncateSync(from, BLOCK);
    };
    await assert.rejects(run({ runtime: 60, onProgress: shrink }), {
      code: "IO",
      message: /^a read of file:.*from@\d+k\+4k failed: 0 bytes only$/,
    });
  });

  it("neither creates files nor lets them grow, and takes no directory", async () => {
    const missing = [{ file: join(folder, "missing"), offset: 0 }];
    await assert.rejects(run({ rw: "write", sources: missing }), { code: "BAD_ENDPOINT" });
    await assert.rejects(run({ rw: "write", size: SIZE + BLOCK }), { code: "BAD_RANGE" });
    await assert.rejects(run({ sources: [{ file: folder, offset: 0 }] }), { code: "BAD_ENDPOINT" });
    assert.equal(readFileSync(from).length, SIZE);
  });

  it("refuses what O_DIRECT does not take, and overlapping copies", async () => {
    await assert.rejects(run({ bs: 100 }), { code: "UNALIGNED", message: /block size 100/ });
    const destination = { file: from, offset: BLOCK };
    await assert.rejects(run({ rw: "copy", size: 2 * BLOCK, destination }), { code: "OVERLAP" });
    const allowWrite = false;
    await assert.rejects(run({ rw: "copy", destination, allowWrite }), {
      code: "WRITE_NOT_ALLOWED",
    });
  });

  it("says of a file with holes that reads of them reach no device", async () => {
    truncateSync(from, 0);
    truncateSync(from, SIZE);
    const { notes } = await run({ size: BLOCK });
    assert.match(notes.join(), /has holes/);
  });

  it("says what is missing where a device has no p2pmem", async () => {
    await assert.rejects(run({ path: "kernel-p2p", provider: null }), {
      code: "KERNEL_P2PMEM",
      message: "no kernel driver has published p2pmem",
    });
    await assert.rejects(run({ path: "kernel-p2p", provider: "0000:03:00.0/pmr" }), {
      code: "KERNEL_P2PMEM",
      message: /no pmr/,
    });
  });
});
