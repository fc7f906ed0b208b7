/**
 * `p2pmem bench paths` with the kernel's paths included, on a real kernel, started by
 * test/lab/kernel-p2pdma.test.ts: NVME_CMB and NVME1 are VFIO's, NVME2 is the kernel's, in one run.
 */
import assert from "node:assert/strict";
import { reportSchema } from "#lib/bench/report-schema.js";
import type { BenchReport, BenchResult } from "#lib/bench/report.js";
import { p2pmem } from "../support/command.js";
import { giveToKernel, takeFromKernel } from "../support/kernel-driver.js";

const { NVME_CMB, NVME1, NVME2 } = process.env as Record<string, string>;

const SHORT = ["--runtime", "50ms", "--samples", "2", "--output-format", "json", "--allow-write"];

async function bench(...args: string[]): Promise<BenchReport> {
  const { code, stdout, stderr } = await p2pmem("bench", ...args, ...SHORT);
  assert.equal(code, 0, stderr);
  return reportSchema.parse(JSON.parse(stdout)) as BenchReport;
}

describe("p2pmem bench on the kernel's devices", () => {
  let disk: string;

  before(async () => {
    takeFromKernel(NVME_CMB!);
    takeFromKernel(NVME1!);
    disk = await giveToKernel(NVME2!);
  });

  const assertKernels = (report: BenchReport): void => {
    const kernel = report.machine.devices.find(({ address }) => address === NVME2);
    assert.ok(kernel);
    assert.deepEqual(kernel.files, [disk]);
    assert.equal(kernel.driver, "nvme");
    assert.equal(kernel.role, "source");
    assert.match(kernel.name, /QEMU NVMe Ctrl/);
    const [path] = report.machine.paths.filter(({ client }) => client === NVME2);
    assert.deepEqual([path!.provider, path!.map_type, path!.distance], [NVME2, "BUS_ADDR", 0]);
  };
  const assertLabelled = ({
    path,
    provider,
    src,
    dst,
    warnings,
    traffic,
    bytes,
  }: BenchResult): void => {
    const isPeer = path === "kernel-p2p";
    assert.equal(provider, isPeer ? `${NVME2}/cmb` : null);
    assert.deepEqual([src, dst], [`${disk}@0+64k`, `${disk}@1m+64k`]);
    assert.equal(
      warnings.some((text) => text.startsWith("buffers not registered")),
      isPeer,
    );
    assert.equal(traffic.host_memory_bytes, isPeer ? 0 : 2 * bytes);
  };

  /** The second sample of none before the first of all. */
  const assertTakeTurns = (pass: readonly BenchResult[]): void => {
    const begins = (sample: number): number[] => pass.map(({ samples }) => samples.at_s[sample]!);
    assert.ok(Math.max(...begins(0)) < Math.min(...begins(1)));
  };

  it("measures all paths in one run, each on devices of its own", async function () {
    // Everything is read for the first time, by software emulation.
    this.timeout(300_000);
    const report = await bench(
      ...["paths", "--bs", "4k", "--iodepth", "1"],
      ...["--src", `${NVME_CMB}@0+64k,${disk}@0+64k`, "--dst", `${NVME1}@0+64k,${disk}@1m+64k`],
    );
    assert.equal(report.platform, "vfio");
    assert.equal(report.incomplete, false);
    const providersOf = (way: string): (string | null)[] =>
      report.results.filter(({ path }) => path === way).map(({ provider }) => provider);
    const ways = new Set(report.results.map(({ path }) => path));
    assert.deepEqual([...ways].sort(), ["cpu", "host", "kernel-host", "kernel-p2p", "p2p"]);
    assert.ok(providersOf("p2p").includes(`${NVME_CMB}/cmb`) && providersOf("p2p").length > 1);
    assert.deepEqual(providersOf("cpu"), providersOf("p2p"));
    assert.deepEqual(providersOf("host"), [null]);
    assertKernels(report);
    const [own, kernel] = [false, true].map((isKernel) =>
      report.results.filter(({ path }) => path.startsWith("kernel-") === isKernel),
    ) as [BenchResult[], BenchResult[]];
    kernel.forEach(assertLabelled);
    // In a pass of its own: nothing is given from one driver to the other between samples.
    const last = Math.max(...own.flatMap(({ samples }) => samples.at_s));
    for (const { samples } of kernel) assert.ok(Math.min(...samples.at_s) > last);
    for (const pass of [own, kernel]) assertTakeTurns(pass);
  });
});
