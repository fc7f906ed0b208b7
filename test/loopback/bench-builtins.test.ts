/** The built-in jobs, each as it is but for short samples and fewer sizes. */
import assert from "node:assert/strict";
import { bench } from "#lib/bench/bench.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import type { BenchReport } from "#lib/bench/report.js";
import { Session } from "#lib/session.js";

const [NVME0, NVME1, NVME2] = ["0000:03:00.0", "0000:04:00.0", "0000:06:00.0"];
const [CMB, CARD] = ["0000:03:00.0/cmb", "0000:05:00.0/bar2"];

describe("the built-in jobs on the loopback machine", () => {
  let session: Session;
  before(async () => {
    session = await Session.open({ platform: "loopback" });
  });
  after(() => session.close());

  async function run(
    jobs: string,
    overrides: JobParameters,
    where = session,
  ): Promise<BenchReport> {
    const report = await bench({
      ...{ session: where, jobs },
      overrides: { runtime: "10ms", samples: 1, ...overrides },
    });
    assert.ok(!report.incomplete && report.results.length > 0);
    for (const { job, bytes, iops, size } of report.results) {
      assert.equal(job, jobs);
      assert.ok(bytes > 0 && iops > 0);
      assert.ok(size !== null && size > 0);
    }
    return report;
  }

  function waysOf({ results }: BenchReport): string[] {
    return [...new Set(results.map(({ path, provider }) => `${path} ${provider ?? "-"}`))];
  }

  it("paths: p2p and cpu through each provider, host, and nvme-copy inside one controller", async () => {
    const short = { bs: ["4k", "1m"], iodepth: 8 };
    const within = await run("paths", {
      ...{ src: `${NVME0}/1@0+4m`, dst: `${NVME0}/1@4m+4m`, ...short },
    });
    const all = [`p2p ${CMB}`, `p2p ${CARD}`, "host -", `cpu ${CMB}`, `cpu ${CARD}`];
    assert.deepEqual(waysOf(within), [...all, "nvme-copy -"]);
    assert.equal(within.results.length, 12);
    for (const { path, bytes, size, traffic } of within.results) {
      assert.equal(size, 4 << 20);
      // Copy commands fetch a list of ranges for each block from host memory.
      if (path === "nvme-copy") assert.ok(traffic.host_memory_bytes! < bytes / 100);
      else assert.equal(traffic.host_memory_bytes, path === "p2p" ? 0 : 2 * bytes);
    }
    const between = await run("paths", { bs: "128k", iodepth: 1 });
    assert.deepEqual(waysOf(between), all);
    assert.deepEqual(
      between.results.map(({ size }) => size),
      all.map(() => 128 << 20),
    );
  });

  it("matrix: reads of each device into each provider, and writes nothing", async () => {
    const { results } = await run("matrix", {});
    assert.deepEqual(
      results.map(({ rw, src, dst, provider }) => [rw, src, dst, provider]),
      [NVME0, NVME1, NVME2].flatMap((device) =>
        [CMB, CARD].map((provider) => ["read", `${device}/1`, null, provider]),
      ),
    );
    for (const { traffic } of results) assert.equal(traffic.host_memory_bytes, 0);
  });

  it("matrix with a destination: copies from each other device to it", async () => {
    const { results } = await run("matrix", { dst: NVME1 });
    assert.deepEqual(
      results.map(({ rw, src, dst }) => [rw, src, dst]),
      [NVME0, NVME2].map((device) => ["copy", `${device}/1`, `${NVME1}/1`]),
    );
    const { results: pairs } = await run("matrix", { dst: "each" });
    assert.equal(pairs.length, 6);
  });

  it("registration: mapped once against mapped for each block", async () => {
    const { results } = await run("registration", { bs: "64k", iodepth: 1, runtime: "50ms" });
    assert.deepEqual(
      results.map(({ path, registration }) => `${path} ${registration}`),
      ["p2p once", "host once", "p2p each", "host each"],
    );
    for (const { ios, cpu } of results) assert.ok(ios > 0 && cpu.busy_ns_per_block! > 0);
  });

  it("mix: 70 % reads at random places, with peer and with host memory", async () => {
    const { results } = await run("mix", { iodepth: 32, runtime: "100ms" });
    assert.deepEqual(
      results.map(({ path, rw, rwmixread }) => [path, rw, rwmixread]),
      [
        ["p2p", "randrw", 70],
        ["host", "randrw", 70],
      ],
    );
    for (const { ios, read, write } of results) {
      assert.equal(read!.ios + write!.ios, ios);
      // Of n draws the share is within six deviations of 70 %: sqrt(0.7 * 0.3 / n) each.
      assert.ok(Math.abs(read!.ios / ios - 0.7) < 6 * Math.sqrt(0.21 / ios), `${read!.ios}/${ios}`);
    }
  });

  it("rdma: p2p and host, and both over the wire of the machine that has a NIC", async () => {
    await using wired = await Session.open({ platform: "loopback", machine: "rdma" });
    const report = await run("rdma", { iodepth: 32, runtime: "100ms" }, wired);
    assert.deepEqual(
      report.warnings.filter((text) => text.includes("left out")),
      [],
    );
    const ways = report.results.map(({ path, bs }) => `${path} ${bs}`);
    assert.deepEqual(
      ways,
      [4096, 131072].flatMap((bs) =>
        ["p2p", "host", "rdma-p2p", "rdma-host"].map((path) => `${path} ${bs}`),
      ),
    );
    const times = { p2p: 0, host: 2, "rdma-p2p": 0, "rdma-host": 4 };
    for (const { path, bytes, traffic, provider } of report.results) {
      assert.equal(traffic.host_memory_bytes, times[path as keyof typeof times] * bytes);
      assert.equal(provider === null, path.endsWith("host"));
    }
  });

  it("soak: copies by p2p, verified", async () => {
    const { results } = await run("soak", { samples: 3, src: `${NVME0}@0+8m`, dst: NVME1 });
    const [{ path, samples, verify }, ...others] = results as [(typeof results)[0]];
    assert.deepEqual(others, []);
    assert.equal(path, "p2p");
    assert.equal(samples.bw_bytes.length, 3);
    assert.equal(verify?.mode, "crc32c");
    assert.ok(verify.blocks > 0);
    assert.equal(verify.mismatches, 0);
  });

  it("go to the same places through the same memory when the report's seed is given again", async () => {
    const first = await run("quick", { path: "p2p", bs: "4k", iodepth: 1 });
    const [{ randseed, provider, size }] = first.results as [BenchReport["results"][0]];
    const again = await run("quick", { path: "p2p", bs: "4k", iodepth: 1, randseed });
    assert.deepEqual(
      again.results.map((result) => [result.randseed, result.provider, result.size]),
      [[randseed, provider, size]],
    );
  });
});
