import assert from "node:assert/strict";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import type { Session } from "#lib/session.js";
import { devicesOf, namespaceOf, openSession, planOf, type Devices } from "./machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;

describe("copies by two jobs, and inside a controller", () => {
  let session: Session;
  let devices: Devices;
  let seed = 5000;

  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
  });

  after(() => session.close());

  async function copyAndCheck(plan: CopyPlan): ReturnType<typeof runCopy> {
    seed += 2;
    const back = { ...plan, source: plan.destination, destination: plan.source };
    await prepareSource(session, back, "pattern", seed - 1);
    await prepareSource(session, plan, "pattern", seed);
    const run = await runCopy(session, plan);
    assert.deepEqual(run.covered, [{ start: 0, end: plan.size }]);
    assert.equal(
      (await verifyDestination(session, plan, "pattern", seed, run.covered)).mismatches,
      0,
    );
    assert.equal((await verifyDestination(session, plan, "memcmp", 0, run.covered)).mismatches, 0);
    return run;
  }

  for (const path of ["p2p", "host"] as const)
    it(`by two jobs, ${path}`, async () => {
      const { nvme1, nvme2, card } = devices;
      const provider = path === "p2p" ? await session.provider(card) : null;
      const rest = { path, provider, bs: 32 * KIB, jobs: 2, size: MIB + 4 * KIB } as const;
      const run = await copyAndCheck(planOf(nvme1, nvme2, rest));
      assert.equal(run.jobs, 2);
      assert.equal(run.blocks, 33);
      assert.equal(run.latency.count, 33);
    });

  it("inside a controller, within a namespace, by Copy commands", async function () {
    const { nvme1 } = devices;
    const namespace = await namespaceOf(session, nvme1);
    if ((namespace.controller.identity.copy.formats & 0b11) === 0) this.skip();
    for (const bs of [4 * KIB, 256 * KIB])
      for (const jobs of [1, 2]) {
        const rest = { path: "nvme-copy", bs, jobs, size: MIB + 4 * KIB } as const;
        const { traffic } = await copyAndCheck(planOf(`${nvme1}/1`, `${nvme1}/1@8m`, rest));
        assert.equal(traffic.root_complex_bytes === 0 || traffic.source === "counted", true);
      }
  });
});
