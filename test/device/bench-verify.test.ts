/** A benchmark that verifies: each of its samples, of copies and of writes that copy nothing. */
import assert from "node:assert/strict";
import { bench } from "#lib/bench/bench.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import type { BenchResult } from "#lib/bench/report.js";
import type { Session } from "#lib/session.js";
import { devicesOf, openSession, type Devices } from "./machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;

describe("a benchmark that verifies", () => {
  let session: Session;
  let devices: Devices;
  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
  });
  after(() => session.close());

  async function run(parameters: JobParameters): Promise<BenchResult[]> {
    const { nvme1, card } = devices;
    const it: JobParameters = {
      ...{ src: `${nvme1}@0+4m`, provider: `${card}/bar2`, path: ["p2p", "host"] },
      ...{ bs: "64k", iodepth: 4, samples: 2 },
      ...parameters,
    };
    return (await bench({ session, allowWrite: true, jobs: { it } })).results;
  }

  it("looks at all samples of each path, apart from their timing", async () => {
    const dst = `${devices.nvme2}@0+4m`;
    for (const verify of ["crc32c", "pattern", "memcmp"] as const)
      for (const result of await run({ dst, verify, size: MIB, loops: 1 })) {
        assert.deepEqual(
          { ...result.verify, runtime_ns: 0 },
          { mode: verify, blocks: 2 * 16, mismatches: 0, first: null, runtime_ns: 0 },
        );
        assert.ok(result.verify!.runtime_ns > 0 && !result.incomplete);
      }
  });

  for (const [verify, registration] of [
    ["crc32c", "once"],
    ["pattern", "each"],
  ] as const)
    it(`finds all that was written, by ${verify}, mapped ${registration}`, async () => {
      const results = await run({
        ...{ rw: ["write", "randwrite", "rw", "randrw"], rwmixread: 30 },
        ...{ verify, registration, bs: ["4k", "16k"], size: MIB, loops: 2 },
      });
      assert.equal(results.length, 4 * 2 * 2);
      for (const { rw, path, bs, ios, write, verify: found, traffic, bytes } of results) {
        assert.deepEqual([found!.mismatches, found!.first], [0, null], `${rw} ${path} ${bs}`);
        const places = MIB / bs;
        // Both samples; of each place that was written, once, however often it was.
        if (rw === "write") assert.equal(found!.blocks, 2 * places);
        else assert.ok(found!.blocks > 0.5 * places && found!.blocks < 2 * places);
        assert.ok(found!.blocks <= (write?.ios ?? ios));
        assert.equal(traffic.host_memory_bytes, path === "p2p" ? 0 : bytes);
      }
    });

  it("finds what several threads wrote to several namespaces, after a ramp", async () => {
    const src = [`${devices.nvme1}@0+2m`, `${devices.nvme2}@1m+2m`];
    for (const rw of ["write", "randwrite"] as const)
      for (const { verify } of await run({
        ...{ rw, src: [src], numjobs: 2, runtime: "50ms", ramp_time: "20ms", verify: "crc32c" },
      })) {
        assert.equal(verify!.mismatches, 0, verify!.first ?? "");
        assert.ok(verify!.blocks > 0 && verify!.blocks <= 2 * 2 * 32);
      }
  });

  it("verifies the writes alone where reads are swept too", async () => {
    const results = await run({ rw: ["randread", "randwrite"], verify: "pattern", size: MIB });
    for (const { rw, verify } of results) assert.equal(verify === null, rw === "randread");
  });

  it("does not take two sources that overlap, nor memcmp, of which there is no source", async () => {
    const src = [`${devices.nvme1}@0+2m`, `${devices.nvme1}@1m+2m`];
    const writes = { rw: "write", verify: "pattern" } as const;
    await assert.rejects(run({ ...writes, src: [src] }), { code: "BAD_RANGE" });
    await assert.rejects(run({ ...writes, verify: "memcmp" }), /has none; hint|memcmp compares/);
  });
});
