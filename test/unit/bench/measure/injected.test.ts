/** Drift, scatter and load that are made on purpose: what results say of them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { HostNoise, NoiseMeter } from "#lib/bench/measure/noise.js";
import { Host } from "#lib/host/host.js";
import { randomNumbers } from "#lib/stats/random-numbers.js";
import { benchPoint } from "../../../support/bench-point.js";
import { fakeRun } from "./fake-run.js";

const GB = 1e9;

describe("what is injected into a run", () => {
  /** Two ways, the second half as fast, while the machine loses a third of its speed. */
  const drifting = async (isInterleaved: boolean) => {
    const points = (["p2p", "host"] as const).map((path, index) =>
      benchPoint({ path, samples: 8, ...(isInterleaved ? {} : { bs: 4096 << index }) }),
    );
    const { results } = await fakeRun(points, {
      sample: ({ path }, turn) => ({ bytes: (path === "p2p" ? 2 : 1) * GB * (1 - turn / 45) }),
    });
    const [p2p, host] = results;
    return { ratio: p2p!.bw_bytes / host!.bw_bytes, warnings: results.map((r) => r.warnings) };
  };

  it("as a drift hurts both of what takes turns alike, and is warned of in each", async () => {
    const { ratio, warnings } = await drifting(true);
    assert.ok(Math.abs(ratio / 2 - 1) < 0.03, `${ratio} times, not 2`);
    for (const [first] of warnings) assert.match(first!, /^bandwidth fell by 3\d %/);
    const apart = await drifting(false);
    assert.ok(apart.ratio > 2.4, "one after the other would not do");
  });

  it("as scatter leaves the true median in the interval as often as it says, and is no drift", async () => {
    const random = randomNumbers(5);
    const runs = 400;
    let held = 0;
    let drifts = 0;
    let confidence = 0;
    for (let run = 0; run < runs; run++) {
      const { results } = await fakeRun([benchPoint({ samples: 6 })], {
        // Skewed, as what disturbs only slows down; half of the values lie below 0.9.
        sample: () => ({ bytes: GB * (1 - 0.4 * random() ** 2) }),
      });
      const { samples, warnings } = results[0]!;
      const [low, high] = samples.bw_bytes_ci!;
      confidence = samples.confidence;
      if (low <= 0.9 * GB && 0.9 * GB <= high) held++;
      if (warnings.some((text) => /fell|rose/.test(text))) drifts++;
    }
    const sigma = Math.sqrt(confidence * (1 - confidence) * runs);
    assert.ok(Math.abs(held - confidence * runs) < 4 * sigma, `${held} of ${runs}, ${confidence}`);
    assert.ok(drifts <= 0.02 * runs + 4 * Math.sqrt(0.02 * runs), `${drifts} drifts of ${runs}`);
  });

  it("as another process's work is seen, and not taken for our own", async () => {
    const source = new HostNoise(new Host());
    const meter = new NoiseMeter(source);
    const other = spawn(process.execPath, ["-e", "process.stdout.write('on'); for (;;);"]);
    try {
      await once(other.stdout, "data");
      // The more processors, the more of their ticks are uncertain.
      await meter.around(() => sleep(1000 * Math.max(1, source.cpus / 32)));
    } finally {
      other.kill("SIGKILL");
    }
    await once(other, "exit");
    // Of one processor; a busy machine may leave it less than all.
    const { others } = meter.shares;
    assert.ok(others! * source.cpus > 0.2, `${others! * source.cpus}`);
  });
});
