/**
 * The kernel's path on a real kernel, started by test/lab/kernel-p2pdma.test.ts in a virtual server whose
 * kernel reaches peers: NVME_CMB and NVME1 each other, NVME2 nobody's but its own.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { closeSync, constants, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { parseKernelEndpoint } from "#lib/kernel/endpoint.js";
import { runKernel, type KernelMeasurement } from "#lib/kernel/kernel.js";
import { verifyKernelCopy } from "#lib/kernel/verify.js";
import type { KernelPlan } from "#lib/kernel/plan.js";
import { giveToKernel } from "../support/kernel-driver.js";
import { KeptReactors, kernelPlan } from "../support/kernel-plan.js";

const SIZE = 256 * 1024;
const { NVME_CMB, NVME1, NVME2 } = process.env as Record<string, string>;

/** Of the page cache, past which O_DIRECT goes: opened anew, it is empty for an unused device. */
function load(file: string, offset = 0, length = SIZE): Buffer {
  const fd = openSync(file, "r");
  const bytes = Buffer.alloc(length);
  readSync(fd, bytes, 0, length, offset);
  closeSync(fd);
  return bytes;
}

function store(file: string, bytes: Buffer, offset = 0): void {
  const fd = openSync(file, constants.O_RDWR);
  writeSync(fd, bytes, 0, bytes.length, offset);
  fsyncSync(fd);
  closeSync(fd);
}

describe("the kernel's path", () => {
  /** The block devices of NVME_CMB, NVME1 and NVME2. */
  let withCmb: string;
  let near: string;
  let far: string;
  const plan = (rest: Partial<KernelPlan>): KernelPlan =>
    kernelPlan({ path: "kernel-p2p", provider: `${NVME_CMB}/cmb`, size: SIZE, ...rest });

  const reactors = new KeptReactors();
  const run = (wanted: KernelPlan): Promise<KernelMeasurement> => runKernel(wanted, reactors);

  after(() => reactors.close());

  before(async () => {
    withCmb = await giveToKernel(NVME_CMB!);
    near = await giveToKernel(NVME1!);
    far = await giveToKernel(NVME2!);
  });

  for (const path of ["kernel-p2p", "kernel-host"] as const)
    it(`copies right data (${path})`, async () => {
      const data = randomBytes(SIZE);
      store(near, data);
      const measured = await run(
        plan({
          ...{ path, rw: "copy", bs: 16384, iodepth: 4, numjobs: 2 },
          sources: [parseKernelEndpoint(near)],
          destination: parseKernelEndpoint(`${withCmb}@1m`),
        }),
      );
      assert.deepEqual(load(withCmb, 2 ** 20), data);
      assert.equal(measured.bytes, SIZE);
      assert.equal(measured.ios, 16);
      assert.equal(measured.isRegistered, path === "kernel-host");
      assert.equal(measured.traffic.host_memory_bytes, path === "kernel-p2p" ? 0 : 2 * SIZE);
      assert.equal(measured.traffic.root_complex_bytes, path === "kernel-p2p" ? 0 : 2 * SIZE);
      assert.deepEqual(
        measured.pairs.map(({ mapType }) => mapType),
        path === "kernel-p2p" ? ["BUS_ADDR", "BUS_ADDR"] : [],
      );
    });

  it("copies within a device through another's memory, verified", async () => {
    const sources = [parseKernelEndpoint(near)];
    const destination = parseKernelEndpoint(`${near}@4m`);
    store(near, randomBytes(SIZE));
    const wanted = plan({ rw: "copy", sources, destination, iodepth: 8 });
    const { covered } = await run(wanted);
    const { blocks, mismatches } = await verifyKernelCopy(wanted, covered!);
    assert.deepEqual([blocks, mismatches], [SIZE / 4096, 0]);
  });

  it("reads, writes and does both, at random and in order", async () => {
    for (const rw of ["read", "write", "randread", "randwrite", "rw", "randrw"] as const) {
      const sources = [near, withCmb].map(parseKernelEndpoint);
      const measured = await run(plan({ rw, sources, bs: 4096, iodepth: 4 }));
      const { ios, reads, writes, bytes } = measured;
      assert.equal(ios, 2 * (SIZE / 4096), rw);
      assert.equal(bytes, 2 * SIZE);
      assert.equal(reads!.count + writes!.count, ios);
      assert.equal(reads!.count > 0, rw !== "write" && rw !== "randwrite", rw);
      assert.equal(writes!.count > 0, rw !== "read" && rw !== "randread", rw);
    }
  });

  it("writes what the peer memory holds: blocks of one pass are not what they were", async () => {
    store(near, Buffer.alloc(SIZE));
    await run(plan({ rw: "write", sources: [parseKernelEndpoint(near)], bs: 4096 }));
    const written = load(near);
    for (let at = 0; at < SIZE; at += 4096)
      assert.ok(
        written.subarray(at, at + 4096).some((byte) => byte !== 0),
        `block at ${at}`,
      );
  });

  it("finds the closest provider where none is named", async () => {
    const sources = [parseKernelEndpoint(near)];
    const { provider } = await run(plan({ rw: "read", sources, provider: null }));
    assert.equal(provider, NVME1);
  });

  it("is refused where the kernel does not take the pair, with the reason", async () => {
    const sources = [parseKernelEndpoint(far)];
    await assert.rejects(run(plan({ rw: "read", sources })), {
      code: "PATH_REFUSED",
      message: /the kernel refuses \/dev\/nvme\S+ with p2pmem of \S+: E\w+; NOT_SUPPORTED: .*\w/,
    });
  });

  it("says what is missing where there is no p2pmem", async () => {
    const sources = [parseKernelEndpoint(near)];
    const { CARD } = process.env as Record<string, string>;
    await assert.rejects(run(plan({ rw: "read", sources, provider: CARD! })), {
      code: "KERNEL_P2PMEM",
      message: /has no p2pmem/,
      hint: /vfio-pci/,
    });
    const large = plan({ rw: "read", sources, size: null, bs: 2 ** 20, iodepth: 65 });
    await assert.rejects(run(large), { code: "NO_ROOM" });
  });

  it("gives the peer memory back", async () => {
    const sources = [parseKernelEndpoint(near)];
    // Two thirds of it, each time.
    for (let i = 0; i < 3; i++)
      await run(plan({ rw: "read", sources, bs: 2 ** 18, iodepth: 170, size: 2 ** 18 }));
  });

  it("writes no device that is in use, nor without leave", async () => {
    const sources = [parseKernelEndpoint(near)];
    const held = openSync(near, constants.O_RDONLY | constants.O_EXCL);
    await assert.rejects(run(plan({ rw: "write", sources })), {
      code: "IN_USE",
      message: /held exclusively/,
    });
    await run(plan({ rw: "read", sources }));
    closeSync(held);
    await assert.rejects(run(plan({ rw: "write", sources, allowWrite: false })), {
      code: "WRITE_NOT_ALLOWED",
    });
  });
});
