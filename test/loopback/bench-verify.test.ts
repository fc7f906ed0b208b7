/** Benchmarks on devices that lose data without a word: every sample is looked at, of copies and of writes. */
import assert from "node:assert/strict";
import type { NativeFault } from "#lib/addon.js";
import { bench } from "#lib/bench/bench.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import type { BenchProgress } from "#lib/bench/measure/measure.js";
import type { BenchResult } from "#lib/bench/report.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import { Session } from "#lib/session.js";
import { VERIFY_MODES } from "#lib/verify/mode.js";
import { devicesOf, openSession, type Devices } from "../device/machine.js";

const SAMPLES = 3;
const PLACES = 32;

describe("a benchmark that verifies, where data are lost", () => {
  let session: Session;
  let devices: Devices;
  before(async () => {
    session = await openSession();
    devices = devicesOf(session);
  });
  after(() => session.close());

  /**
   * With a fault of `device` from a sample on, the first is 1; one I/O in flight, so that it is known
   * which one it meets. Not from before the warm-up on, which a busy machine cuts short.
   */
  async function run(
    device: string,
    sample: number,
    fault: NativeFault,
    parameters: JobParameters,
  ): Promise<BenchResult> {
    const { platform } = session;
    assert.ok(platform instanceof LoopbackPlatform);
    let isInjected = false;
    const onProgress = (progress: BenchProgress): void => {
      if (isInjected || progress.phase !== "measure" || progress.sample !== sample) return;
      isInjected = true;
      platform.inject(device, fault);
    };
    const it: JobParameters = {
      ...{ src: `${devices.nvme1}@0+512k`, path: "host", bs: "16k", iodepth: 1, samples: SAMPLES },
      ...{ size: "512k", loops: 1 },
      ...parameters,
    };
    try {
      const { results } = await bench({ session, jobs: { it }, onProgress });
      assert.ok(isInjected);
      assert.equal(results.length, 1);
      return results[0]!;
    } finally {
      platform.clearFaults(device);
    }
  }

  function assertFirst({ verify }: BenchResult, blocks: number, first = /^sample /): void {
    assert.deepEqual([verify!.blocks, verify!.mismatches], [blocks, 1], verify!.first ?? "");
    assert.match(verify!.first!, first);
    assert.doesNotMatch(verify!.first!, /\n/);
  }

  for (const verify of VERIFY_MODES)
    it(`finds by ${verify} the block that the second sample of a copy did not write`, async () => {
      const { nvme2 } = devices;
      const fault = { on: "write", after: 5, effect: "drop-dma" } as const;
      const result = await run(nvme2, 2, fault, { dst: `${nvme2}@0+512k`, verify });
      const lba = `${nvme2}/1, LBA ${5 * 32} (byte ${5 * 16 * 1024})`;
      assertFirst(result, SAMPLES * PLACES);
      assert.ok(result.verify!.first!.startsWith(`sample 2: ${lba}: stale: there is `));
    });

  for (const path of ["p2p", "host"] as const)
    for (const verify of ["crc32c", "pattern"] as const)
      it(`finds by ${verify} what the last sample did not write by ${path}`, async () => {
        const fault = { on: "write", after: 7, effect: "drop-dma" } as const;
        const result = await run(devices.nvme1, 3, fault, { rw: "write", path, verify });
        assertFirst(
          result,
          SAMPLES * PLACES,
          /^sample 3: \S+\/1, LBA 224 \(byte 114688\): stale: there is data of another run/,
        );
      });

  it("finds writes at random places that were lost, and those of a mix", async () => {
    for (const path of ["p2p", "host"] as const)
      for (const rw of ["randwrite", "randrw"] as const) {
        const count = SAMPLES * PLACES;
        const fault = { on: "write", count, effect: "drop-dma" } as const;
        const { verify } = await run(devices.nvme1, 1, fault, { rw, path, verify: "crc32c" });
        assert.ok(verify!.blocks > 0);
        assert.equal(
          verify!.mismatches,
          verify!.blocks,
          "there is no place that was not looked at",
        );
        assert.match(verify!.first!, /^sample 1: \S+\/1, LBA \d+ \(byte \d+\): stale: /);
      }
  });

  it("does not see a write that was lost where another wrote the same, nor reads of a mix", async () => {
    const drop = { after: 7, effect: "drop-dma" } as const;
    const again = await run(
      devices.nvme1,
      1,
      { ...drop, on: "write" },
      { rw: "write", loops: 2, verify: "crc32c" },
    );
    assert.deepEqual([again.verify!.blocks, again.verify!.mismatches], [SAMPLES * PLACES, 0]);
    const mix = await run(
      devices.nvme1,
      1,
      { ...drop, on: "read" },
      { rw: "rw", verify: "pattern" },
    );
    assert.ok(mix.verify!.blocks > 0);
    assert.equal(mix.verify!.mismatches, 0);
  });
});
