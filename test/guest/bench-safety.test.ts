/**
 * That a benchmark writes to no real device whose namespace nobody named: the controllers' own count of
 * write commands, which no mistake of p2pmem's can hide, does not move.
 */
import assert from "node:assert/strict";
import { bench } from "#lib/bench/bench.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import { Session } from "#lib/session.js";

const CONTROLLERS = ["NVME_CMB", "NVME1", "NVME2"].map((name) => process.env[name] ?? "");
const NVME2 = CONTROLLERS[2]!;

describe("a benchmark on real devices", () => {
  let session: Session;
  let counts: unknown[];
  before(async () => {
    session = await Session.open({ platform: "vfio" });
    counts = await written();
  });
  after(() => session.close());
  afterEach(async () => {
    assert.deepEqual(await written(), counts);
  });

  /** Of each controller: write commands that it has completed (SMART, figure 194), and their data. */
  async function written(): Promise<unknown[]> {
    const all: unknown[] = [];
    for (const address of CONTROLLERS) {
      const { admin } = await session.controller(address);
      const { host_write_commands, data_units_written } = await admin.smart();
      all.push([address, host_write_commands, data_units_written]);
    }
    return all;
  }

  const refused: [jobs: string, overrides: JobParameters, allowWrite: boolean][] = [
    ["quick", {}, false],
    ["quick", {}, true],
    ["paths", {}, true],
    ["matrix", { dst: "each" }, false],
    ["matrix", { dst: "each" }, true],
    ["matrix", { rw: "randwrite" }, true],
    ["registration", {}, true],
    ["mix", {}, true],
    ["soak", {}, true],
    ["quick", { dst: NVME2 }, false],
    ["rdma", {}, true],
    ["soak", { dst: NVME2 }, true],
  ];
  for (const [jobs, overrides, allowWrite] of refused)
    it(`writes nothing: ${jobs} ${JSON.stringify(overrides)}, allowed: ${allowWrite}`, async () => {
      const short = { runtime: "50ms", samples: 1, ...overrides };
      await assert.rejects(bench({ session, jobs, overrides: short, allowWrite }), {
        code: "WRITE_NOT_ALLOWED",
        hint: /--(src|dst) [\da-f:.]+\/1 --allow-write(; --verify=memcmp only reads it)?$/,
      });
    });

  it("reads alone for the matrix: each device into each provider", async () => {
    const { results } = await bench({
      ...{ session, jobs: "matrix", allowWrite: true },
      overrides: { runtime: "50ms", samples: 1, iodepth: 4 },
    });
    const sources = new Set(results.map(({ src }) => src));
    assert.deepEqual([...sources].sort(), CONTROLLERS.map((address) => `${address}/1`).sort());
    assert.equal(results.length, 3 * new Set(results.map(({ provider }) => provider)).size);
    for (const { rw, dst, traffic } of results) {
      assert.deepEqual([rw, dst], ["read", null]);
      assert.equal(traffic.host_memory_bytes, 0);
    }
  });
});
