/**
 * The lab's usual kernel translates what devices address, and QEMU sends all of that to the IOMMU: peers
 * that the kernel tells of each other by bus addresses lose data there, and no command fails.
 */
import assert from "node:assert/strict";
import { runKernel } from "#lib/kernel/kernel.js";
import { parseKernelEndpoint } from "#lib/kernel/endpoint.js";
import { giveToKernel, takeFromKernel } from "../support/kernel-driver.js";
import { kernelPlan } from "../support/kernel-plan.js";

const { NVME_CMB, NVME1 } = process.env as Record<string, string>;

describe("the kernel's path where data is lost in silence", () => {
  let near: string;

  before(async () => {
    await giveToKernel(NVME_CMB!);
    near = await giveToKernel(NVME1!);
  });
  after(() => {
    for (const address of [NVME_CMB!, NVME1!]) takeFromKernel(address);
  });

  for (const rw of ["read", "write"] as const)
    it(`is refused before the first ${rw}`, async () => {
      const sources = [parseKernelEndpoint(`${near}@0+64k`)];
      const plan = kernelPlan({ path: "kernel-p2p", provider: NVME_CMB!, rw, sources });
      await assert.rejects(runKernel(plan), {
        code: "PATH_LOSES_DATA",
        message: /the kernel says that 4096 bytes were .* p2pmem, and .* holds? /,
        hint: /iommu=pt/,
      });
    });

  it("works by way of ordinary memory", async () => {
    const sources = [parseKernelEndpoint(`${near}@0+64k`)];
    const { ios, runtimeNs, cpu } = await runKernel(kernelPlan({ sources }));
    assert.equal(ios, 16);
    assert.ok(runtimeNs > 0 && cpu.systemNs + cpu.userNs > 0);
  });
});
