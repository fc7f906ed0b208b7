/** A provider that goes under reads and writes: they end with what took it, and nothing is left. */
import assert from "node:assert/strict";
import { P2pError } from "#lib/errors.js";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { runPerf } from "#lib/perf/perf.js";
import type { PerfPlan } from "#lib/perf/plan.js";
import { Session } from "#lib/session.js";

const [NVME, CARD] = ["0000:03:00.0", "0000:05:00.0"];

describe("a provider that is revoked under reads and writes", () => {
  for (const registration of ["once", "each"] as const)
    for (const rampTime of [0, 600])
      it(`ends them, mapped ${registration}, ${rampTime > 0 ? "in their ramp" : "while they count"}`, async () => {
        const session = await Session.open({ platform: "loopback" });
        try {
          const provider = await session.provider(CARD);
          const free = provider.pool.largestFree;
          const plan: PerfPlan = {
            ...{ targets: [parseEndpoint(NVME)], provider, ioSize: 4096, depth: 8, queuePairs: 1 },
            ...{ pattern: "randrw", runtime: 600, rampTime, seed: 1, allowWrite: false },
            registration,
          };
          let progress = 0;
          const onProgress = (): void => {
            if (progress++ === 1)
              provider.revokeInBackground(new P2pError("DEVICE_GONE", "somebody pulled it"));
          };
          await assert.rejects(runPerf(session, { ...plan, onProgress }), {
            code: "REVOKED",
            device: CARD,
          });
          await provider.close();
          const again = await session.provider(CARD);
          assert.equal(again.pool.largestFree, free);
        } finally {
          await session.close();
        }
      });
});
