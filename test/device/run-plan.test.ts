/** Ramp, rate, loops, processors: of copies and of reads and writes alike. */
import assert from "node:assert/strict";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { parseEndpoint } from "#lib/io/endpoint.js";
import type { RunPlan } from "#lib/io/run-plan.js";
import { runPerf } from "#lib/perf/perf.js";
import type { PerfPlan } from "#lib/perf/plan.js";
import type { Session } from "#lib/session.js";
import { devicesOf, isLab, openSession, planOf, type Devices } from "./machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const BS = 16 * KIB;

describe("runs", () => {
  let session: Session;
  let devices: Devices;

  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
  });
  after(() => session.close());

  const copyPlan = (rest: Partial<CopyPlan>): CopyPlan =>
    planOf(devices.nvme1, devices.nvme2, { bs: BS, size: MIB, ...rest });

  const perfPlan = (rest: Partial<PerfPlan>): PerfPlan => ({
    ...{ targets: [parseEndpoint(devices.nvme1)], pattern: "read", ioSize: BS, depth: 8 },
    ...{ queuePairs: 1, size: MIB, runtime: null, seed: 1, allowWrite: false },
    ...(rest as object),
  });

  /** I/Os, payload bytes through host memory for each byte, and nanoseconds, of either kind of run. */
  const kinds: [string, number, (plan: RunPlan & { runtime?: number }) => Promise<Ran>][] = [
    [
      "copies",
      2,
      async (plan) => {
        const { blocks, bytes, traffic, runtimeNs, latency } = await runCopy(
          session,
          copyPlan(plan),
        );
        const crossed = traffic.host_memory_bytes! / bytes;
        return { ios: blocks, crossed, runtimeNs, recorded: latency.count };
      },
    ],
    [
      "reads",
      1,
      async (plan) => {
        const { total, traffic } = await runPerf(session, perfPlan(plan));
        const { readIos: ios, runtimeNs, latency } = total;
        const crossed = traffic.host_memory_bytes! / (ios * BS);
        return { ios, crossed, runtimeNs, recorded: latency.count };
      },
    ],
  ];

  interface Ran {
    ios: number;
    crossed: number;
    runtimeNs: number;
    recorded: number;
  }

  for (const [what, crossings, run] of kinds) {
    it(`of ${what} go through the range as often as they are told, ramp or not, in two jobs`, async () => {
      for (const rampTime of [0, 0.05])
        for (const jobs of [1, 2]) {
          const { ios, crossed, recorded } = await run({ loops: 3, rampTime, jobs, cpus: [0, 1] });
          assert.equal(ios, 3 * (MIB / BS));
          assert.equal(recorded, ios);
          assert.equal(crossed, crossings, "what is counted is what counts alone");
        }
    });

    it(`of ${what} count what comes after the ramp, for as long as they are told`, async () => {
      const calls: string[] = [];
      const { crossed, runtimeNs, ios } = await run({
        ...{ rampTime: 0.05, runtime: 0.1 },
        onBegin: () => calls.push("begin"),
        onEnd: () => calls.push("end"),
      });
      assert.deepEqual(calls, ["begin", "end"]);
      assert.ok(ios > 0 && runtimeNs >= 0.1e9);
      assert.equal(crossed, crossings);
    });

    it(`of ${what} keep to a rate, of each job`, async () => {
      const rateIops = isLab ? 200 : 1000;
      const { ios, runtimeNs } = await run({ runtime: 0.3, rateIops, jobs: 2, rampTime: 0.05 });
      const most = 2 * (rateIops * (runtimeNs / 1e9) + 2);
      assert.ok(ios <= most, `${ios}, at most ${most}`);
      // How many more a busy machine lets there be nobody knows; that none is left out see Pace.
      assert.ok(ios >= 2, `${ios} of ${most}`);
    });

    it(`of ${what} record no latency where none is wanted`, async () => {
      const { ios, recorded } = await run({ recordLatency: false });
      assert.equal(ios, MIB / BS);
      assert.equal(recorded, 0);
    });

    it(`of ${what} end with what a meter of the caller's threw`, async () => {
      for (const rampTime of [0, 0.02])
        await assert.rejects(
          run({
            ...{ runtime: 60, rampTime },
            onBegin: () => {
              throw new RangeError("no meter");
            },
          }),
          RangeError,
        );
    });

    it(`of ${what} can be stopped in their ramp`, async () => {
      const stop = new AbortController();
      let begun = 0;
      const plan = {
        ...{ rampTime: 600, runtime: 1, signal: stop.signal },
        onBegin: () => begun++,
        // The threads run; no bytes are told of, since none of them count.
        onProgress: (bytes: number) => {
          if (bytes === 0) stop.abort();
        },
      };
      await assert.rejects(run(plan), { code: "INTERRUPTED" });
      assert.equal(begun, 0);
    });
  }

  it("told of by interrupts have a ramp, too, and no rate", async () => {
    const { total, traffic } = await runPerf(
      session,
      perfPlan({ interrupts: true, rampTime: 0.05, loops: 2 }),
    );
    assert.equal(total.readIos, 2 * (MIB / BS));
    assert.equal(traffic.host_memory_bytes, 2 * MIB);
    await assert.rejects(runPerf(session, perfPlan({ interrupts: true, rateIops: 10 })), {
      code: "BAD_ARGUMENT",
    });
  });

  it("are refused where the size is none, or more than there is", async () => {
    await assert.rejects(runPerf(session, perfPlan({ size: 0 })), { code: "BAD_SIZE" });
    await assert.rejects(runPerf(session, perfPlan({ size: 2 ** 50 })), { code: "BAD_RANGE" });
    const targets = [parseEndpoint(`${devices.nvme1}@0+64k`)];
    await assert.rejects(runPerf(session, perfPlan({ targets })), { code: "BAD_RANGE" });
  });
});
