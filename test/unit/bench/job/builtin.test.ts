import assert from "node:assert/strict";
import { BUILTIN_JOBS, isBuiltin, listText, type BuiltinName } from "#lib/bench/job/builtin.js";
import { combinations } from "#lib/bench/job/count.js";
import type { BenchJob } from "#lib/bench/job/job.js";
import { loadJobs } from "#lib/bench/job/load.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";

async function one(name: BuiltinName, overrides?: JobParameters): Promise<BenchJob> {
  const jobs = await loadJobs([name], overrides);
  assert.equal(jobs.length, 1);
  return jobs[0]!;
}

describe("the built-in jobs", () => {
  it("are seven, each with a line that fits the list", () => {
    const names = BUILTIN_JOBS.map(({ name }) => name);
    assert.deepEqual(names, ["quick", "paths", "matrix", "registration", "mix", "rdma", "soak"]);
    const lines = listText().trimEnd().split("\n");
    assert.equal(lines.length, names.length);
    for (const [index, line] of lines.entries()) {
      assert.ok(line.startsWith(`${names[index]} `));
      assert.ok(line.length <= 100, line);
    }
    for (const name of ["global", "toString", "./quick"]) assert.ok(!isBuiltin(name));
  });

  it("make as many points as they say", async () => {
    const jobs = await Promise.all(BUILTIN_JOBS.map(({ name }) => one(name)));
    const counts = jobs.map(combinations);
    assert.deepEqual(counts, [12, 48, 1, 20, 4, 16, 1]);
  });

  for (const [name, seconds] of [
    ["quick", 8],
    ["rdma", 10],
  ] as const)
    it(`are quick where they say so: the samples of ${name} take ${seconds} s at most`, async () => {
      const job = await one(name);
      assert.ok(combinations(job) * job.samples * job.runtime! <= seconds);
      assert.ok(job.timeBased);
    });

  it("write to nothing but loopback devices, unless a destination is named", async () => {
    const { rw, src, provider } = await one("matrix");
    assert.deepEqual([rw, src, provider], [["read"], [["each"]], ["all"]]);
    const named = await one("matrix", { dst: ["04:00.0", "05:00.0"] });
    assert.deepEqual(named.rw, ["copy"]);
    assert.deepEqual(named.dst, ["04:00.0", "05:00.0"]);
    assert.deepEqual(named.provider, ["closest"]);
  });

  const fitting: [name: BuiltinName, overrides: JobParameters, expected: Partial<BenchJob>][] = [
    ["quick", { rw: "read" }, { rw: ["read"], path: ["p2p", "host"] }],
    ["quick", { loops: 2 }, { runtime: null, loops: 2 }],
    ["quick", { size: "1m", runtime: 3 }, { runtime: 3, size: 1 << 20, timeBased: false }],
    ["rdma", { rw: "read" }, { rw: ["read"], path: ["p2p", "host"] }],
    ["rdma", { path: "rdma" }, { path: ["rdma-p2p", "rdma-host"] }],
    ["matrix", { path: "host" }, { path: ["host"], provider: ["closest"] }],
    ["mix", { rw: "read" }, { rw: ["read"] }],
    ["soak", { rw: "randread" }, { verify: null }],
    ["soak", { rw: "randwrite" }, { verify: "crc32c" }],
    ["paths", { bs: "8k", samples: 3 }, { bs: [8192], samples: 3, iodepth: [1, 8, 32] }],
  ];
  for (const [name, overrides, expected] of fitting)
    it(`give way to overrides: ${name} ${JSON.stringify(overrides)}`, async () => {
      const job = await one(name, overrides);
      for (const [field, value] of Object.entries(expected))
        assert.deepEqual(job[field as keyof BenchJob], value, field);
    });

  it("take the kernel's paths where its devices are named, and the others where theirs are", async () => {
    const paths = async (name: BuiltinName, overrides: JobParameters): Promise<readonly string[]> =>
      (await one(name, overrides)).path;
    const [src, dst] = ["/dev/nvme0n1", "file:/x"];
    assert.deepEqual(await paths("paths", { src, dst }), ["kernel-p2p", "kernel-host"]);
    assert.deepEqual(await paths("mix", { src }), ["kernel-p2p", "kernel-host"]);
    assert.deepEqual(await paths("paths", { src: ["03:00.0", src], dst: ["04:00.0", dst] }), [
      ...["p2p", "host", "cpu", "nvme-copy", "kernel-p2p", "kernel-host"],
    ]);
    assert.deepEqual(await paths("quick", { src, dst, path: "kernel-host" }), ["kernel-host"]);
  });

  it("do not hide that overrides contradict each other", async () => {
    const wrong: [BuiltinName, JobParameters, RegExp][] = [
      ["quick", { rw: "read", path: "cpu" }, /^path: cpu is a path of copies/],
      ["quick", { path: "host", provider: "all" }, /^provider: the path host goes through no/],
      ["matrix", { rw: "read", verify: "crc32c" }, /^verify: rw is read: nothing is written/],
      ["rdma", { numjobs: 2 }, /^numjobs: the path rdma-p2p has one thread at each end, not 2/],
      ["quick", { ib_port: 1 }, /^ib_port: the path p2p, host, cpu has no wire/],
      ["mix", { dst: "04:00.0" }, /^dst: nothing is copied/],
      ["quick", { path: "kernel" }, /^src: kernel-p2p needs one of the kernel's devices/],
    ];
    for (const [name, overrides, message] of wrong)
      await assert.rejects(loadJobs([name], overrides), { code: "BAD_ARGUMENT", message });
  });

  it("become several where an override sweeps what a result does not show", async () => {
    const jobs = await loadJobs(["soak"], { rate_iops: [10, 20] });
    assert.deepEqual(
      jobs.map(({ name }) => name),
      ["soak rate_iops=10", "soak rate_iops=20"],
    );
  });
});
