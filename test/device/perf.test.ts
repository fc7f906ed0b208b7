import assert from "node:assert/strict";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { runPerf } from "#lib/perf/perf.js";
import type { PerfPlan } from "#lib/perf/plan.js";
import type { Session } from "#lib/session.js";
import { devicesOf, isLab, load, namespaceOf, openSession, pattern, store } from "./machine.js";
import type { Devices } from "./machine.js";

const MIB = 1 << 20;

describe("measuring reads and writes", () => {
  let session: Session;
  let devices: Devices;

  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
  });
  after(() => session.close());

  const planOf = (targets: string[], changes: Partial<PerfPlan> = {}): PerfPlan => ({
    targets: targets.map(parseEndpoint),
    pattern: "randread",
    ioSize: 4096,
    depth: 8,
    queuePairs: 1,
    runtime: 0.2,
    rampTime: 0.05,
    seed: 1,
    allowWrite: false,
    ...changes,
  });

  const isDescribedBy = async (device: string, kind: "prp" | "sgl"): Promise<void> => {
    const plan = planOf([device], { ioSize: 256 * 1024, descriptors: kind });
    const { parts } = await runPerf(session, plan);
    assert.equal(parts[0]!.descriptors, kind);
    assert.ok(parts[0]!.reads.count > 0);
  };

  for (const [title, changes] of [
    ["one at a time", { depth: 1 }],
    ["one at a time, told of by interrupts", { depth: 1, interrupts: true }],
    [
      "over several queue pairs, told of by interrupts",
      { depth: 32, queuePairs: 4, interrupts: true },
    ],
    ["over several queue pairs", { depth: 32, queuePairs: 4 }],
    ["of more bytes than one command moves", { ioSize: 2 * MIB, depth: 3 }],
    ["from two pinned threads, in order", { cpus: [0, 1], pattern: "read" }],
  ] as const)
    it(`reads ${title}, of two controllers`, async () => {
      const { parts, total, threads } = await runPerf(
        session,
        planOf([devices.nvme1, devices.nvme2], changes),
      );
      assert.equal(parts.length, 2 * threads.length);
      for (const { reads, writes } of parts) {
        assert.ok(reads.count > 0);
        assert.equal(writes.count, 0);
      }
      assert.equal(
        total.latency.count,
        parts.reduce((sum, { latency }) => sum + latency.count, 0),
      );
      assert.ok(total.latency.min > 0 && total.runtimeNs >= 0.2e9);
    });

  it("hears of completions sooner than by its own looks, ten milliseconds apart", async () => {
    const { total } = await runPerf(
      session,
      planOf([devices.nvme1], { depth: 1, interrupts: true }),
    );
    assert.ok(total.latency.percentile(50) < 5e6, `${total.latency.percentile(50)} ns`);
  });

  it("names memory by PRPs and by SGLs", async () => {
    for (const kind of ["prp", "sgl"] as const) await isDescribedBy(devices.nvme1, kind);
  });

  it("fetches commands from the controller's own memory, which is free again after", async () => {
    const provider = await session.provider(`${devices.nvmeCmb}/cmb`);
    const free = provider.pool.largestFree;
    const plan = planOf([devices.nvmeCmb], { sqInCmb: true, depth: 4, queuePairs: 2 });
    let least = free;
    const { total } = await runPerf(session, {
      ...plan,
      onProgress: () => {
        least = Math.min(least, provider.pool.largestFree);
      },
    });
    assert.ok(total.reads.count > 0);
    assert.ok(least < free, "the queues lay there");
    assert.equal(provider.pool.largestFree, free);
  });

  it("refuses submission queues in a memory that a controller does not have", async () => {
    const plan = planOf([devices.nvmeCmb, devices.nvme1], { sqInCmb: true });
    await assert.rejects(runPerf(session, plan), { code: "NO_ABILITY", device: devices.nvme1 });
  });

  const writesOnlyThere = async (changes: Partial<PerfPlan>): Promise<void> => {
    const namespace = await namespaceOf(session, devices.nvme1);
    const before = pattern(3 * MIB, 21);
    await store(session, namespace, 0, before);
    await runPerf(
      session,
      planOf([`${devices.nvme1}@1m+256k`], {
        ...{ pattern: "write", allowWrite: true, ioSize: 8192 },
        ...changes,
      }),
    );
    const after = await load(session, namespace, 0, 3 * MIB);
    const end = MIB + 256 * 1024;
    assert.deepEqual(after.subarray(0, MIB), before.subarray(0, MIB));
    assert.deepEqual(after.subarray(end), before.subarray(end));
    for (let at = MIB; at < end; at += 8192)
      assert.notDeepEqual(after.subarray(at, at + 8192), before.subarray(at, at + 8192));
  };

  for (const [title, changes] of [
    ["", {}],
    [", told of by interrupts", { interrupts: true }],
  ] as const)
    it(`writes inside the range that was named${title}, all of it, and nowhere else`, () =>
      writesOnlyThere(changes));

  it("refuses to write to a real device unless that was allowed", async function () {
    if (!isLab) this.skip();
    await assert.rejects(runPerf(session, planOf([devices.nvme1], { pattern: "rw" })), {
      code: "WRITE_NOT_ALLOWED",
    });
  });

  for (const interrupts of [false, true])
    it(`stops when it is told to${interrupts ? ", between interrupts" : ""}, and can be run again`, async () => {
      const stop = new AbortController();
      const plan = planOf([devices.nvme1], { runtime: 600, rampTime: 0, signal: stop.signal });
      const onProgress = (bytes: number): void => {
        if (bytes > 0) stop.abort();
      };
      await assert.rejects(runPerf(session, { ...plan, interrupts, onProgress }), {
        code: "INTERRUPTED",
      });
      const { total } = await runPerf(session, planOf([devices.nvme1], { interrupts }));
      assert.ok(total.latency.count > 0);
    });
});
