/** Memory that is mapped for each I/O: the data is right, and no mapping is left. */
import assert from "node:assert/strict";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPath } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { runPerf } from "#lib/perf/perf.js";
import type { PerfPlan } from "#lib/perf/plan.js";
import type { Session } from "#lib/session.js";
import { devicesOf, openSession, planOf, type Devices } from "./machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;

describe("registration for each I/O", () => {
  let session: Session;
  let devices: Devices;
  let seed = 9000;

  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
  });
  after(() => session.close());

  for (const path of ["host", "p2p", "cpu"] as const satisfies CopyPath[])
    for (const [what, changes] of [
      ["blocks of less than a page", { bs: 512, size: 32 * KIB }],
      ["blocks of several pages, the last one shorter", { bs: 64 * KIB, size: MIB + 8 * KIB }],
      ["blocks of several commands, by two jobs", { bs: MIB, size: 4 * MIB, iodepth: 2, jobs: 2 }],
    ] as const)
      for (const descriptors of what.includes("several pages")
        ? (["prp", "sgl"] as const)
        : [undefined])
        it(`copies ${what}, ${path}${descriptors === undefined ? "" : `, ${descriptors}`}`, async () => {
          const provider = path === "host" ? null : await session.provider(devices.card);
          // The one direct, the other by way of the root complex.
          const plan = planOf(devices.nvme1, devices.nvme2, {
            ...{ path, provider, registration: "each", ...changes },
            ...(descriptors === undefined ? {} : { descriptors }),
          });
          seed += 2;
          const back = { ...plan, source: plan.destination, destination: plan.source };
          await prepareSource(session, back, "pattern", seed - 1);
          await prepareSource(session, plan, "pattern", seed);
          const { covered, blocks, bytes } = await runCopy(session, plan);
          assert.equal(bytes, plan.size);
          assert.equal(blocks, Math.ceil(plan.size! / plan.bs));
          assert.equal(
            (await verifyDestination(session, plan, "pattern", seed, covered)).mismatches,
            0,
          );
          const faults = session.addressSpace.takeFaults();
          assert.ok(faults === null || faults.length === 0, "no DMA met an IOVA without mapping");
        });

  it("lets the devices reach nothing of it afterwards", async () => {
    const { addressSpace } = session;
    const reserved = addressSpace.reserve(1, 4096);
    const { iova } = reserved;
    reserved.close();
    const plan: PerfPlan = {
      ...{ targets: [parseEndpoint(devices.nvme1)], ioSize: 4096, depth: 16 },
      ...{ queuePairs: 2, runtime: 0.1, seed: 1, allowWrite: false },
      pattern: "randread",
      registration: "each",
    };
    const { total } = await runPerf(session, plan);
    assert.ok(total.readIos > 0);
    // The same addresses are free again, which they are only once nothing is mapped there.
    const again = addressSpace.reserve(1, 4096);
    assert.equal(again.iova, iova);
    again.close();
  });

  it("is refused where there is nothing to map, or lists lie elsewhere", async () => {
    const { nvme1, nvmeCmb } = devices;
    const inside = planOf(nvme1, `${nvme1}@8m`, { path: "nvme-copy", registration: "each" });
    await assert.rejects(runCopy(session, { ...inside, size: MIB }), { code: "BAD_ARGUMENT" });
    const lists = { registration: "each", listsInCmb: true, size: MIB } as const;
    await assert.rejects(runCopy(session, planOf(nvmeCmb, nvme1, lists)), { code: "BAD_ARGUMENT" });
  });
});
