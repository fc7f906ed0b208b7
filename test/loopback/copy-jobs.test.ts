import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copy } from "#lib/copy/by-name.js";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import { Session } from "#lib/session.js";
import { load, namespaceOf, planOf } from "../device/machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const [SOURCE, TARGET, CARD, PLAIN] = [
  "0000:03:00.0",
  "0000:04:00.0",
  "0000:05:00.0",
  "0000:06:00.0",
];

const MACHINE = `
root_ports:
  - device: switch
    ports:
      - device: nvme
        copy: { max_ranges: 3, max_range_blocks: 40, max_blocks: 100 }
        namespaces: [{ size: 16m }, { size: 16m }, { size: 16m, block: 4096 }]
      - { device: nvme, namespaces: [{ size: 16m }] }
      - { device: card, memory: 256k }
  - { device: nvme, copy: { formats: [] }, namespaces: [{ size: 4m }, { size: 4m }] }
  - { device: nvme, copy: { formats: [1] }, namespaces: [{ size: 4m }, { size: 4m }] }
`;

let directory: string;
let session: Session;

async function open(): Promise<void> {
  directory = mkdtempSync(join(tmpdir(), "p2pmem-copy-jobs-"));
  writeFileSync(join(directory, "machine.yaml"), MACHINE);
  session = await Session.open({ machine: join(directory, "machine.yaml") });
}

async function close(): Promise<void> {
  await session.close();
  rmSync(directory, { recursive: true, force: true });
}

async function copyAndCheck(plan: CopyPlan, seed: number): ReturnType<typeof runCopy> {
  await prepareSource(
    session,
    { ...plan, source: plan.destination, destination: plan.source },
    "pattern",
    seed + 1000,
  );
  await prepareSource(session, plan, "pattern", seed);
  const run = await runCopy(session, plan);
  const { blocks, mismatches } = await verifyDestination(
    session,
    plan,
    "pattern",
    seed,
    run.covered,
  );
  assert.deepEqual([blocks, mismatches], [Math.ceil(plan.size! / plan.bs), 0]);
  return run;
}

describe("copy by several jobs", () => {
  before(open);
  after(close);

  it("share a range, each block once, and add up what they did", async () => {
    const provider = await session.provider(CARD);
    const size = 8 * MIB + 3 * KIB;
    const plan = planOf(SOURCE, TARGET, { path: "p2p", provider, bs: 4 * KIB, jobs: 3, size });
    const run = await copyAndCheck(plan, 81);
    assert.deepEqual([run.jobs, run.iodepth], [3, 8]);
    assert.deepEqual([run.bytes, run.blocks], [size, 2049]);
    assert.equal(run.latency.count, run.blocks);
    assert.deepEqual(run.covered, [{ start: 0, end: size }]);
    assert.equal(run.traffic.host_memory_bytes, 0);
    assert.ok(run.runtimeNs > 0 && run.runtimeNs < 60e9);
    assert.ok(run.cpu.busyNs > 0);
  });

  it("by the CPU, each from its own buffers", async () => {
    const provider = await session.provider(CARD);
    const rest = { path: "cpu", provider, bs: 16 * KIB, iodepth: 4, jobs: 4 } as const;
    await copyAndCheck(planOf(SOURCE, TARGET, { ...rest, size: 2 * MIB }), 82);
  });

  it("wrap inside their parts where time ends the run, and say what they covered", async () => {
    const plan = planOf(SOURCE, TARGET, { bs: 4 * KIB, jobs: 2, size: 16 * MIB, runtime: 0.02 });
    await prepareSource(
      session,
      { ...plan, source: plan.destination, destination: plan.source },
      "pattern",
      1083,
    );
    await prepareSource(session, plan, "pattern", 83);
    const run = await runCopy(session, plan);
    const covered = run.covered.reduce((sum, { start, end }) => sum + end - start, 0);
    assert.ok(covered <= run.bytes && covered > 0);
    assert.equal(
      (await verifyDestination(session, plan, "pattern", 83, run.covered)).mismatches,
      0,
    );
    // What is not covered is as it was.
    const all = await verifyDestination(session, plan, "pattern", 83);
    assert.equal(all.mismatches, (16 * MIB - covered) / plan.bs);
  });

  it("are fewer than the blocks, or than the provider has room for, with a note", async () => {
    const provider = await session.provider(CARD);
    const few = await runCopy(session, planOf(SOURCE, TARGET, { bs: MIB, jobs: 8, size: 3 * MIB }));
    assert.deepEqual([few.jobs, few.notes], [3, ["3 jobs, not 8: the range has no more blocks"]]);
    const narrow = { path: "p2p", provider, bs: 64 * KIB, size: 4 * MIB } as const;
    const shared = await runCopy(session, planOf(SOURCE, TARGET, { ...narrow, jobs: 2 }));
    assert.deepEqual([shared.jobs, shared.iodepth], [2, 2]);
    assert.match(
      shared.notes.join(),
      /^2 blocks in flight of each job, not 8: .* has room for no more$/,
    );
    const crowded = await runCopy(session, planOf(SOURCE, TARGET, { ...narrow, jobs: 9 }));
    assert.deepEqual([crowded.jobs, crowded.iodepth], [4, 1]);
    assert.equal(provider.pool.available, provider.size);
  });

  it("are as many as there are queues left", async () => {
    const controller = await session.controller(SOURCE);
    const taken: number[] = [];
    while (controller.freeQueuePairs > 5)
      taken.push((await controller.createQueuePair({ depth: 2 })).qid);
    const plan = planOf(`${SOURCE}/1`, `${SOURCE}/2`, { jobs: 4, size: 4 * MIB });
    const run = await copyAndCheck(plan, 84);
    assert.equal(run.jobs, 2, "each has a queue for either side");
    assert.deepEqual(run.notes, [`2 jobs, not 4: ${SOURCE} has no more queues`]);
    assert.equal(controller.freeQueuePairs, 5);
    for (const qid of taken) await controller.deleteQueuePair(qid);
  });

  it("BAD_ARGUMENT: none, or half a one", async () => {
    for (const jobs of [0, 1.5, -1])
      await assert.rejects(runCopy(session, planOf(SOURCE, TARGET, { jobs })), {
        code: "BAD_ARGUMENT",
      });
  });
});

describe("the path nvme-copy", () => {
  before(open);
  after(close);

  const within = [`${SOURCE}/1@0+4m`, `${SOURCE}/1@8m`] as const;
  const across = [`${SOURCE}/1`, `${SOURCE}/2`] as const;

  for (const [what, [src, dst]] of [
    ["within a namespace", within],
    ["to another namespace", across],
  ] as const)
    for (const bs of [512, 4 * KIB, 20 * KIB, 128 * KIB])
      it(`copies ${what}, ${bs} bytes a block, split as the limits say`, async () => {
        // 40 blocks a range, 3 ranges, 100 blocks a command; the last block is shorter.
        const size = bs === 512 ? 100 * KIB : 20 * bs + 1536;
        const plan = planOf(src, dst, { path: "nvme-copy", bs, size, jobs: 2, iodepth: 4 });
        const run = await copyAndCheck(plan, 90 + bs);
        assert.equal(run.bytes, size);
      });

  it("moves no data out of the controller: control bytes alone", async () => {
    const plan = planOf(...across, { path: "nvme-copy", bs: 16 * KIB, size: 4 * MIB });
    const { traffic } = await runCopy(session, plan);
    assert.equal(traffic.source, "counted");
    // Lists of descriptors are the commands' data: 32 bytes for each range.
    assert.ok(
      traffic.host_memory_bytes! <= (4 * MIB) / (40 * 512) + 64 * 256,
      `${traffic.host_memory_bytes}`,
    );
    assert.ok(traffic.host_control_bytes! > 0);
  });

  it("copies where format 1 is all there is, within a namespace alone", async () => {
    const device = "0000:07:00.0";
    const rest = { path: "nvme-copy", bs: 64 * KIB, size: MIB } as const;
    await copyAndCheck(planOf(`${device}/1`, `${device}/1@2m`, rest), 95);
    await assert.rejects(runCopy(session, planOf(`${device}/1`, `${device}/2`, rest)), {
      code: "UNSUPPORTED",
      message: /does not copy from one namespace to another \(Identify Controller, OCFS\)$/,
    });
  });

  for (const [what, src, dst, pattern] of [
    ["two controllers", SOURCE, TARGET, /are two$/],
    ["blocks of two sizes", `${SOURCE}/1`, `${SOURCE}/3`, /blocks of 512 and 4096 bytes$/],
    ["a controller without Copy", `${PLAIN}/1`, `${PLAIN}/2`, /has no Copy command/],
  ] as const)
    it(`UNSUPPORTED: ${what}, before anything is written`, async () => {
      const target = await namespaceOf(session, TARGET);
      const before = await load(session, target, 0, 4096);
      await assert.rejects(
        runCopy(session, planOf(src, dst, { path: "nvme-copy", size: 64 * KIB })),
        { code: "UNSUPPORTED", message: pattern, hint: /--via p2p or host/ },
      );
      assert.deepEqual(await load(session, target, 0, 4096), before);
    });

  it("says in its result that no memory was used", async () => {
    const result = await copy(session, {
      ...{ src: within[0], dst: within[1], via: "nvme-copy", bs: "64k", verify: true },
    });
    assert.equal(result.provider, null);
    assert.deepEqual(result.verify, { blocks: 64, mismatches: 0, first: null });
  });

  it("OVERLAP: a range onto itself", async () => {
    const plan = planOf(SOURCE, `${SOURCE}@1m`, { path: "nvme-copy", size: 2 * MIB });
    await assert.rejects(runCopy(session, plan), { code: "OVERLAP" });
  });
});
