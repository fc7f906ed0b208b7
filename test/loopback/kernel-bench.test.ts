/** The kernel's paths in benchmarks, on files of the checkout's file system, without a device. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { addon } from "#lib/addon.js";
import { bench, type BenchOptions } from "#lib/bench/bench.js";
import type { BenchReport } from "#lib/bench/report.js";
import { P2pError } from "#lib/errors.js";

const SIZE = 256 * 1024;
/** Not $TMPDIR, which may be a tmpfs: that had no O_DIRECT before Linux 6.6. */
const BUILD = fileURLToPath(new URL("../../build", import.meta.url));

describe("benchmarks with the kernel's paths", () => {
  const folder = mkdtempSync(join(BUILD, "kernel-bench-"));
  const [from, to] = ["from", "to"].map((name) => join(folder, name)) as [string, string];
  const short = { bs: "16k", samples: 2, runtime: "20ms" };
  const run = (job: object, rest: Omit<BenchOptions, "jobs"> = {}): Promise<BenchReport> =>
    bench({ jobs: { job: { ...short, ...job } }, allowWrite: true, ...rest });

  before(function () {
    try {
      addon().createIoRing(1).close();
    } catch (error) {
      if (!(error instanceof P2pError && error.code === "NO_IO_URING")) throw error;
      this.test!.title = `${error.message}: ${error.hint}`;
      this.skip();
    }
    for (const file of [from, to]) writeFileSync(file, randomBytes(SIZE));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  for (const verify of ["memcmp", "pattern", "crc32c"] as const)
    it(`alone are no loopback machine's, and their copies are verified (${verify})`, async () => {
      const ends = { src: `file:${from}`, dst: `file:${to}` };
      const report = await run({ path: "kernel-host", verify, ...ends });
      assert.equal(report.platform, "kernel");
      const [{ verify: found, provider, src, traffic }] = report.results as [
        (typeof report.results)[number],
      ];
      assert.deepEqual([found!.mode, found!.mismatches], [verify, 0]);
      assert.ok(found!.blocks > 0);
      assert.deepEqual([provider, src], [null, `file:${from}`]);
      assert.equal(traffic.host_memory_bytes, null);
    });

  it("warn where the others are the loopback machine's", async () => {
    const { platform, results, warnings } = await run({
      ...{ path: ["host", "kernel-host"], rw: "read" },
      src: ["0000:03:00.0", `file:${from}`],
    });
    assert.equal(platform, "loopback");
    assert.deepEqual(
      results.map(({ path }) => path),
      ["host", "kernel-host"],
    );
    assert.ok(warnings.some((text) => text.includes("they do not compare")));
  });

  it("are without p2p where a built-in job has it of itself, and the machine no memory for it", async () => {
    const overrides = { ...short, samples: 1, src: ["auto", `file:${from}`], iodepth: 1 };
    const { results, warnings } = await bench({
      ...{ jobs: "quick", allowWrite: true },
      overrides: { ...overrides, dst: ["auto", `file:${to}`] },
    });
    assert.deepEqual(
      results.map(({ path, failed }) => [path, failed]),
      ["p2p", "host", "cpu", "kernel-host"].map((path) => [path, null]),
    );
    assert.match(
      warnings.find((text) => text.includes("kernel-p2p"))!,
      /^quick: the path kernel-p2p is left out for file:\S+ and file:\S+: no kernel driver has /,
    );
  });

  it("are refused before the first sample of any path, for whatever is wrong with them", async () => {
    const wrong: [code: string, job: object][] = [
      ["BAD_ENDPOINT", { src: ["0000:03:00.0", `file:${folder}/missing`] }],
      ["UNALIGNED", { src: ["0000:03:00.0", `file:${from}@100`] }],
      ["KERNEL_P2PMEM", { path: ["host", "kernel"], src: ["0000:03:00.0", `file:${from}`] }],
    ];
    for (const [code, job] of wrong) {
      const onProgress = (): void => {
        assert.fail(`${code}: something ran`);
      };
      const parameters = { path: ["host", "kernel-host"], rw: "read", ...job };
      await assert.rejects(run(parameters, { onProgress }), { code });
    }
  });
});
